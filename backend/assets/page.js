// On every page: the key "/" leads to the search box, unless something is being written.
document.addEventListener("keydown", (event) => {
  const written = event.target instanceof Element && event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key !== "/" || written || event.ctrlKey || event.metaKey || event.altKey) return;
  const box = document.getElementById("search");
  if (!box) return;
  event.preventDefault();
  box.focus();
  box.select();
});

// Pages of things under way come anew by themselves: only their content is put in place, so that the place on the page, what is unfolded and where the
// keyboard is stay. Not while something is written or marked, nor where nobody looks. Without scripts the browser loads the whole page (base.html).
const anew = (page) => Number(page.querySelector('meta[name="refresh-seconds"]')?.content);

async function refresh() {
  const main = document.getElementById("main");
  const active = document.activeElement;
  const busy = active?.closest("input, select, textarea") || getSelection()?.type === "Range";
  if (document.hidden || busy) return true;
  const answer = await fetch(location.href);
  if (!answer.ok) return true;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = page.getElementById("main");
  if (next && next.innerHTML !== main.innerHTML) {
    const open = [...main.querySelectorAll("details")].map((one) => one.open);
    const link = main.contains(active) ? active.getAttribute("href") : null;
    main.replaceChildren(...next.childNodes);
    main.querySelectorAll("details").forEach((one, index) => { one.open = open[index] ?? one.open; });
    if (link) main.querySelector(`[href="${CSS.escape(link)}"]`)?.focus({ preventScroll: true });
  }
  return anew(page) > 0;
}

const seconds = anew(document);
if (seconds > 0) {
  const wait = () => setTimeout(() => refresh().catch(() => true).then((again) => again && wait()), seconds * 1000);
  wait();
}
