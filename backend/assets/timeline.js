// The timeline on a canvas: drag to zoom, wheel, keys, tooltips, shift-click two points to compare, click a gap to queue it.
// Without it the page shows the same as a picture with links.

const root = document.getElementById("timeline");
const START = new URLSearchParams(root ? root.dataset.api.split("?")[1] : "");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const seriesColour = (index) => css(`--series-${index % 12}`);

const UNITS = {
  seconds: [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]],
  bytes: [[1073741824, "GiB"], [1048576, "MiB"], [1024, "KiB"], [1, "B"]],
  count: [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]],
  joules: [[1, "J"], [1e-3, "mJ"], [1e-6, "µJ"], [1e-9, "nJ"]],
};

function format(value, unit) {
  if (value == null || !isFinite(value)) return "";
  const scales = unit && UNITS[unit];
  if (!scales) return String(Number(value.toPrecision(4))) + (unit === "per_second" ? " /s" : "");
  const [scale, word] = scales.find(([scale]) => Math.abs(value) >= scale * 0.9995) ?? (value === 0 ? [1, ""] : scales.at(-1));
  return `${Number((value / scale).toPrecision(4))}${word ? "\u00a0" + word : ""}`;
}

// A value with its interval, to the digits that the interval leaves; as the page's tables (backend/src/web/format.rs).
function estimate(values, unit) {
  const [value, low, high] = values;
  const scales = UNITS[unit] ?? [[1, unit === "per_second" ? "/s" : ""]];
  const [scale, word] = scales.find(([scale]) => Math.abs(value) >= scale * 0.9995) ?? scales.at(-1);
  const [size, width] = [Math.abs(value / scale), (high - low) / scale];
  if (!(width > 0 && isFinite(width) && size >= 1e-4 && size < 1e6)) return values.map((one) => format(one, unit));
  const leading = Math.floor(Math.log10(size));
  const wanted = Math.min(8 - leading, Math.max(2 - leading, 1 - Math.floor(Math.log10(width))));
  return values.map((one) => `${(one / scale).toFixed(Math.max(0, wanted))}${word ? "\u00a0" + word : ""}`);
}

const day = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);
const moment = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16);

class Timeline {
  constructor(uPlot) {
    this.uPlot = uPlot;
    this.plots = [];
    this.parameters = new URLSearchParams(START);
    this.first = null; // Of two points to compare.
    this.figures = [...root.querySelectorAll("figure")];
    this.said = document.createElement("p");
    this.said.className = "quiet";
    this.said.setAttribute("role", "status");
    root.after(this.said);
    this.box = document.createElement("div");
    this.box.className = "tooltip";
    this.box.hidden = true;
    root.append(this.box);
  }

  say(words) { this.said.textContent = words; }

  async fetch(parameters) {
    const asked = new URLSearchParams(parameters);
    asked.set("width", String(Math.max(200, Math.round(root.clientWidth - 120))));
    const answer = await fetch(`/api/v1/timeline?${asked}`, { headers: { accept: "application/json" } });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error ?? `the service answered ${answer.status}`);
    return body;
  }

  async load() {
    const number = (this.asked = (this.asked ?? 0) + 1);
    try {
      const data = await this.fetch(this.parameters);
      if (number !== this.asked) return; // A newer zoom is on its way.
      const found = data.lines.length > 0;
      // In an empty range the axes stay, to go back by.
      this.data = found || !this.data ? data : { ...data, lines: this.data.lines, changes: [] };
      this.draw();
      this.say(found ? this.summary() : "No points here: zoom out with − or go back with Home.");
    } catch (error) {
      this.say(`The points could not be loaded: ${error.message}. The picture is as it was.`);
    }
  }

  summary() {
    const drawn = this.data.lines.reduce((sum, line) => sum + line.x.length, 0);
    return `${this.data.points} points, ${drawn} drawn. Drag or wheel: zoom; double click or Home: all; keys + − ← →; `
      + "shift-click two points: compare them; click between two points: queue what is not measured there.";
  }

  // The range that is shown: what was asked for, else that of the points.
  range() {
    const end = (name, fallback) => {
      const text = this.parameters.get(name);
      if (!text) return fallback;
      if (this.data.by_date) return /^-?\d+$/.test(text) ? fallback : Date.parse(text.length > 10 ? text + "Z" : text) / 1000;
      return /^-?\d+$/.test(text) ? Number(text) : fallback;
    };
    const [from, to] = [end("from", this.data.range[0]), end("to", this.data.range[1])];
    const air = from === to ? 1 : (to - from) * 0.01;
    return [from - air, to + air];
  }

  zoom(from, to) {
    if (!(to > from)) return;
    const end = (place, round) => this.data.by_date ? moment(round(place)) : String(Math.max(0, round(place)));
    const [low, high] = [end(from, Math.floor), end(to, Math.ceil)];
    if (this.data.by_date && low === high) return;
    this.parameters.set("from", low);
    this.parameters.set("to", high);
    this.parameters.delete("last");
    this.moved();
  }

  moved() {
    history.replaceState(null, "", `/timeline?${this.parameters}`);
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.load(), 120);
  }

  reset() {
    for (const name of ["from", "to", "last"]) {
      this.parameters.delete(name);
      if (START.get(name)) this.parameters.set(name, START.get(name));
    }
    this.moved();
  }

  by(factor, shift = 0) {
    const [from, to] = this.range();
    const middle = (from + to) / 2 + shift * (to - from);
    const half = (to - from) / 2 * factor;
    this.zoom(middle - half, middle + half);
  }

  draw() {
    this.plots.forEach((plot) => plot.destroy());
    this.plots = [];
    this.figures.forEach((figure, panel) => {
      const holder = figure.querySelector(".chart-scroll");
      const lines = this.data.lines.map((line, index) => ({ ...line, index })).filter((line) => line.panel === panel);
      const picture = holder.querySelector("svg.chart");
      if (!lines.length) return;
      if (picture) picture.remove();
      holder.querySelector(".canvas")?.remove();
      const place = document.createElement("div");
      place.className = "canvas";
      holder.append(place);
      const plot = new this.uPlot(this.options(lines, holder), this.columns(lines), place);
      plot.lines = lines;
      this.plots.push(plot);
    });
  }

  // Every line as value, low and high over one x, with a hole at each break.
  columns(lines) {
    const tables = lines.map((line) => {
      const rows = [[], [], [], []];
      const seen = new Set();
      line.at = new Map();
      line.x.forEach((x, index) => {
        // Two commits of one second share a place: they are moved apart by a little.
        while (seen.has(x)) x += 1e-3;
        if (index && line.stretch[index] !== line.stretch[index - 1]) {
          const hole = (rows[0].at(-1) + x) / 2;
          if (!seen.has(hole)) { seen.add(hole); rows[0].push(hole); for (const row of rows.slice(1)) row.push(null); }
        }
        seen.add(x);
        line.at.set(x, index);
        rows[0].push(x); rows[1].push(line.value[index]); rows[2].push(line.low[index]); rows[3].push(line.high[index]);
      });
      // By date, stretches may overlap a little: uPlot wants rising places.
      const order = rows[0].map((_, index) => index).sort((a, b) => rows[0][a] - rows[0][b]);
      return rows.map((row) => order.map((index) => row[index]));
    });
    // Where a line only has no commit of another's it goes on; its own holes stay.
    return this.uPlot.join(tables, tables.map(() => [0, 1, 1, 1]));
  }

  options(lines, holder) {
    const unit = root.dataset.relative === undefined ? lines[0].unit : null;
    const series = [{}];
    const bands = [];
    for (const line of lines) {
      const colour = seriesColour(line.colour);
      const few = line.x.length <= 150;
      const at = series.length;
      series.push({ label: line.label, stroke: colour, width: 2, spanGaps: false, points: { show: few, size: 7, fill: colour } });
      for (const name of ["low", "high"]) series.push({ label: `${line.label} ${name}`, stroke: "transparent", width: 0, points: { show: false } });
      bands.push({ series: [at + 2, at + 1], fill: colour + "28" });
    }
    const grid = { stroke: css("--grid"), width: 1 };
    // Lines of a range before are only there for their axes.
    const positive = lines.every((line) => line.low.every((value) => value > 0));
    const range = this.range();
    return {
      width: Math.max(320, holder.clientWidth), height: this.figures.length > 1 ? 300 : 420,
      padding: [26, 8, 0, 0], legend: { show: false }, series, bands,
      scales: {
        x: { time: this.data.by_date, range },
        y: root.dataset.log !== undefined && positive ? { distr: 3 } : { range: (_, low, high) => {
          if (low == null) return [0, 1];
          const air = Math.max((high - low) * 0.08, Math.abs(high) * 0.005) || 0.5;
          return [low >= 0 ? Math.max(0, low - air) : low - air, high + air];
        } },
      },
      axes: [
        { stroke: css("--muted"), grid: { show: false }, ticks: grid },
        { stroke: css("--muted"), grid, ticks: grid, size: 84, values: (_, ticks) => ticks.map((value) => format(value, unit)) },
        { scale: "y", side: 1, size: Math.min(170, holder.clientWidth / 4), grid: { show: false }, ticks: { show: false }, values: (_, ticks) => ticks.map(() => "") },
      ],
      tzDate: (seconds) => this.uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      cursor: {
        drag: { x: true, y: false, setScale: false }, points: { show: false },
        bind: { dblclick: () => () => { this.reset(); return null; } },
      },
      hooks: {
        drawClear: [(plot) => this.under(plot, lines)],
        draw: [(plot) => this.over(plot, lines)],
        setSelect: [(plot) => {
          if (plot.select.width > 3) this.zoom(plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x"));
        }],
        setCursor: [(plot) => this.hover(plot, lines, unit)],
        ready: [(plot) => this.listen(plot, lines)],
      },
    };
  }

  under(plot, lines) {
    const { ctx, bbox } = plot;
    const one = devicePixelRatio;
    const across = (x, colour, dash, width) => {
      const at = Math.round(plot.valToPos(x, "x", true));
      if (at < bbox.left || at > bbox.left + bbox.width) return null;
      ctx.save();
      ctx.strokeStyle = colour; ctx.lineWidth = width * one; ctx.setLineDash(dash.map((length) => length * one));
      ctx.beginPath(); ctx.moveTo(at, bbox.top); ctx.lineTo(at, bbox.top + bbox.height); ctx.stroke();
      ctx.restore();
      return at;
    };
    ctx.save();
    ctx.font = `${12 * one}px system-ui, "DejaVu Sans", sans-serif`; ctx.textAlign = "left";
    let free = 0;
    for (const release of this.data.releases) {
      const at = across(release.x, css("--accent"), [], 1);
      if (at === null || !release.is_final || at < free) continue;
      ctx.fillStyle = css("--muted"); ctx.fillText(release.name, at, bbox.top - 6 * one);
      free = at + ctx.measureText(release.name).width + 8 * one;
    }
    const own = new Set(lines.map((line) => line.index));
    for (const one of this.data.breaks) if (one.lines.some((index) => own.has(index))) across(one.x, css("--muted"), [4, 4], 1.5);
    ctx.restore();
  }

  over(plot, lines) {
    const { ctx, bbox } = plot;
    const one = devicePixelRatio;
    ctx.save();
    ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    // Points that stand out from those before them, as in the picture.
    const judged = { improved: ["--better", "--better"], regressed: ["--worse", "--worse"], held: ["--card", "--same"] };
    for (const line of lines) {
      for (const [x, index] of line.at) {
        const commit = line.commit[index];
        const colours = commit && judged[commit.held ? "held" : commit.verdict];
        if (!colours) continue;
        ctx.beginPath();
        ctx.arc(plot.valToPos(x, "x", true), plot.valToPos(line.value[index], "y", true), 5 * one, 0, 2 * Math.PI);
        ctx.fillStyle = css(colours[0]); ctx.strokeStyle = css(colours[1]); ctx.lineWidth = 2.5 * one;
        ctx.fill(); ctx.stroke();
      }
    }
    for (const change of this.data.changes) {
      if (!lines.some((line) => line.index === change.line)) continue;
      const [x, y] = [plot.valToPos(change.x, "x", true), plot.valToPos(change.value, "y", true)];
      const way = change.change > 0 ? -1 : 1;
      ctx.beginPath();
      ctx.moveTo(x, y + way * 20 * one); ctx.lineTo(x - 7 * one, y + way * 9 * one); ctx.lineTo(x + 7 * one, y + way * 9 * one); ctx.closePath();
      ctx.lineWidth = 2 * one;
      ctx.strokeStyle = css(change.better ? "--better" : "--worse");
      ctx.fillStyle = change.state === "confirmed" ? ctx.strokeStyle : css("--card");
      ctx.fill(); ctx.stroke();
    }
    ctx.restore();
    // Names at the ends of the lines, moved apart.
    const ends = [];
    for (const line of lines) {
      for (let index = line.x.length - 1; index >= 0; index--) {
        const place = plot.valToPos(line.x[index], "x", true);
        if (line.value[index] != null && place >= bbox.left && place <= bbox.left + bbox.width) { ends.push({ line, y: plot.valToPos(line.value[index], "y", true), x: plot.valToPos(line.x[index], "x", true) }); break; }
      }
    }
    ends.sort((a, b) => a.y - b.y);
    let least = bbox.top;
    for (const end of ends) { end.at = Math.max(end.y, least); least = end.at + 15 * one; }
    let most = bbox.top + bbox.height;
    for (const end of ends.slice().reverse()) { end.at = Math.min(end.at, most); most = end.at - 15 * one; }
    ctx.save();
    ctx.font = `600 ${13 * one}px system-ui, "DejaVu Sans", sans-serif`; ctx.textBaseline = "middle"; ctx.textAlign = "left";
    const left = bbox.left + bbox.width + 18 * one;
    const room = plot.width * one - left;
    for (const { line, x, y, at } of ends) {
      ctx.fillStyle = ctx.strokeStyle = seriesColour(line.colour);
      ctx.lineWidth = one; ctx.globalAlpha = 0.7;
      ctx.beginPath(); ctx.moveTo(Math.min(x + 3 * one, left), y); ctx.lineTo(left - 10 * one, at); ctx.lineTo(left - 3 * one, at); ctx.stroke();
      ctx.globalAlpha = 1;
      let name = line.label;
      while (name.length > 3 && ctx.measureText(name).width > room) name = name.slice(0, -2) + "…";
      ctx.fillText(name, left, at);
    }
    ctx.restore();
  }

  // The drawn point next to the cursor, within 24 pixels.
  nearest(plot, lines) {
    const { left, top } = plot.cursor;
    if (left == null || left < 0) return null;
    let best = null;
    for (const line of lines) {
      for (const [x, index] of line.at) {
        const across = plot.valToPos(x, "x") - left;
        if (Math.abs(across) > 24) continue;
        const distance = Math.hypot(across, plot.valToPos(line.value[index], "y") - top);
        if (distance <= 24 && (!best || distance < best.distance)) best = { line, index, distance };
      }
    }
    return best;
  }

  // The unmeasured stretch of a line at the cursor; only where every point is drawn.
  gap(plot, lines) {
    if (this.data.by_date || !lines.every((line) => line.commit.length)) return null;
    const at = plot.posToVal(plot.cursor.left, "x");
    const line = lines[0];
    for (let index = 1; index < line.position.length; index++) {
      const [before, after] = [line.position[index - 1], line.position[index]];
      if (at > before && at < after && after - before > 1) return { line, before, after };
    }
    return null;
  }

  hover(plot, lines, unit) {
    const found = this.nearest(plot, lines);
    if (!found) { if (!this.box.dataset.kept) this.box.hidden = true; return; }
    delete this.box.dataset.kept;
    const { line, index } = found;
    const commit = line.commit[index];
    const [value, low, high] = estimate([line.value[index], line.low[index], line.high[index]], unit);
    const rows = [
      `${line.label}, ${day(line.committed_at[index])}, position ${line.position[index]}`,
      commit ? `${commit.hash.slice(0, 10)} ${commit.subject}` : "zoom in for its commit",
      `${value}, 95 % interval ${low} to ${high}, ${line.samples[index]} samples`,
      ...(commit ? [commit.words] : []),
    ];
    this.show(plot, rows.map((words) => { const row = document.createElement("div"); row.textContent = words; return row; }));
  }

  show(plot, nodes) {
    this.box.replaceChildren(...nodes);
    this.box.hidden = false;
    const [outer, inner] = [root.getBoundingClientRect(), plot.over.getBoundingClientRect()];
    const left = inner.left - outer.left + plot.cursor.left + 14;
    this.box.style.left = `${Math.max(0, Math.min(left, outer.width - this.box.offsetWidth - 4))}px`;
    this.box.style.top = `${inner.top - outer.top + plot.cursor.top + 16}px`;
  }

  listen(plot, lines) {
    const over = plot.over;
    over.addEventListener("wheel", (event) => {
      event.preventDefault();
      const at = plot.posToVal(event.offsetX, "x");
      const factor = event.deltaY < 0 ? 0.8 : 1.25;
      const [from, to] = this.range();
      this.zoom(at - (at - from) * factor, at + (to - at) * factor);
    }, { passive: false });
    let pressed = null;
    over.addEventListener("mousedown", (event) => { pressed = [event.clientX, event.clientY]; });
    over.addEventListener("click", (event) => {
      if (!pressed || Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) > 4) return;
      const found = this.nearest(plot, lines);
      if (found && event.shiftKey) this.compare(found);
      else if (found) this.open(found);
      else this.offer(plot, lines);
    });
  }

  // The commit of a point; it is asked for where points are too many to have come with theirs.
  async commit({ line, index }) {
    if (line.commit[index]) return line.commit[index];
    const asked = new URLSearchParams(this.parameters);
    asked.delete("last");
    for (const [name, value] of [["benchmark", line.benchmark], ["runtime", line.runtime], ["host", line.host], ["metric", line.metric], ["from", line.position[index]], ["to", line.position[index]]]) asked.set(name, value);
    const data = await this.fetch(asked);
    return data.lines[0]?.commit[0] ?? null;
  }

  async open(found) {
    try {
      const commit = await this.commit(found);
      if (commit) location.href = `/commits/${commit.hash}`;
    } catch (error) { this.say(error.message); }
  }

  async compare(found) {
    try {
      const commit = await this.commit(found);
      if (!commit) return;
      if (!this.first) {
        this.first = commit;
        this.say(`A: ${commit.key}. Shift-click another point to compare with it.`);
      } else {
        location.href = `/compare?${new URLSearchParams({ a: this.first.key, b: commit.key })}`;
      }
    } catch (error) { this.say(error.message); }
  }

  offer(plot, lines) {
    const gap = this.gap(plot, lines);
    if (!gap) return;
    const words = document.createElement("div");
    const count = gap.after - gap.before - 1;
    words.textContent = `${count} ${count === 1 ? "commit is" : "commits are"} not measured between positions ${gap.before} and ${gap.after}.`;
    const nodes = [words];
    if (root.dataset.mayQueue !== undefined) {
      const form = document.createElement("form");
      form.method = "post";
      form.action = "/timeline/queue";
      const fields = { runtime: gap.line.runtime, host: gap.line.host, after: gap.before, before: gap.after, back: location.pathname + location.search };
      for (const [name, value] of Object.entries(fields)) {
        const input = document.createElement("input");
        input.type = "hidden"; input.name = name; input.value = value;
        form.append(input);
      }
      const button = document.createElement("button");
      button.textContent = count > 25 ? "Queue 25 of them, evenly spread" : count === 1 ? "Queue it" : `Queue all ${count}`;
      form.append(button);
      nodes.push(form);
    }
    this.box.dataset.kept = "yes";
    this.show(plot, nodes);
    this.box.querySelector("button")?.focus();
  }
}

async function start() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = root.dataset.plotStyle;
  document.head.append(style);
  const { default: uPlot } = await import(root.dataset.plot);
  const timeline = new Timeline(uPlot);
  await timeline.load();
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("button, input")) return;
    const moves = { "+": [0.5], "=": [0.5], "-": [2], ArrowLeft: [1, -0.25], ArrowRight: [1, 0.25] };
    if (event.key === "Home") timeline.reset();
    else if (event.key === "Escape") timeline.box.hidden = true;
    else if (moves[event.key]) timeline.by(...moves[event.key]);
    else return;
    event.preventDefault();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => timeline.draw());
  let width = root.clientWidth;
  addEventListener("resize", () => {
    if (root.clientWidth === width) return;
    width = root.clientWidth;
    clearTimeout(timeline.waiting);
    timeline.waiting = setTimeout(() => timeline.load(), 200);
  });
}

if (root) start();
