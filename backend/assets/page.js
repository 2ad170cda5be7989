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
