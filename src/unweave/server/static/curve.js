// Curves as SVG, drawn at their real size: one line a series, told apart by dashes and names too, readable by keyboard.

import { range, scale } from "./curve_scale.js";
import { h, replace, s, said } from "./dom.js";
import { clamp, count, number } from "./numbers.js";
import { visibleText } from "./characters.js";

const HEIGHT = 220;
const TOP = 14;
const BOTTOM = 32;
const LEFT = 52;
const COLOURS = 8;
const ROWS = 200;

/** The index of the point nearest to `x` in a list sorted by its first member. */
function nearest(points, x) {
  let low = 0;
  let high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < x) low = middle;
    else high = middle;
  }
  return Math.abs((points[high]?.[0] ?? Infinity) - x) < Math.abs((points[low]?.[0] ?? Infinity) - x) ? high : low;
}

function path(points, x, y) {
  let text = "";
  let pen = false;
  for (const [across, up] of points) {
    const [px, py] = [x.at(across), y.at(up)];
    const known = up !== null && Number.isFinite(px) && Number.isFinite(py);
    if (known) text += `${pen ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`;
    pen = known;
  }
  return text;
}

/** What lies between the lowest and the highest value that a thinned-out point stands for, where they differ. */
function band(points, x, y) {
  const known = points.filter(([, , low, high]) => Number.isFinite(y.at(low ?? NaN)) && Number.isFinite(y.at(high ?? NaN)));
  if (known.length < 2 || known.every(([, , low, high]) => low === high)) return null;
  const edge = (list, at) => list.map((point) => `${x.at(point[0]).toFixed(1)} ${y.at(point[at]).toFixed(1)}`).join("L");
  return `M${edge(known, 3)}L${edge([...known].reverse(), 2)}Z`;
}

/** Points that no line leads to, because what is on either side of them is missing. */
function alone(points) {
  const known = (one) => one !== undefined && one[1] !== null;
  return points.filter((point, at) => known(point) && !known(points[at - 1]) && !known(points[at + 1]));
}

/**
 * A chart of curves. `update(series)` shows series of `{name, points, link?}` without moving anything.
 *
 * A point is `[x, y]` or `[x, y, low, high]`; a y of null is a gap. `across` names the axis below. Few or many points are drawn as they are: whoever asks has thinned them out.
 */
export class Curve {
  constructor({ title, across, signal, height = HEIGHT }) {
    Object.assign(this, { title, across, height, series: [], log: false, cursor: null });
    this.drawing = s("svg.curve", { height: String(height), tabindex: "0", role: "img" });
    this.key = h("ul.curve-key");
    this.readout = h("p.curve-readout", { role: "status" });
    this.numbers = h("div.scroll", { tabindex: "0", role: "region", "aria-label": `Numbers of ${visibleText(title)}` });
    this.details = h("details.numbers", {}, h("summary", {}, "Numbers"), this.numbers);
    this.toggle = h("button.quiet.small", { type: "button", "aria-pressed": "false" }, "Powers of ten");
    this.root = h("figure.chart.curve-chart", {}, h("figcaption", {}, said(title), this.toggle), this.key, this.drawing, this.readout, this.details);
    this.toggle.addEventListener("click", () => this.setLog(!this.log));
    this.details.addEventListener("toggle", () => this.fillNumbers());
    this.drawing.addEventListener("pointermove", (event) => this.point(event.clientX));
    this.drawing.addEventListener("pointerleave", () => this.read(null));
    this.drawing.addEventListener("blur", () => this.read(null));
    this.drawing.addEventListener("keydown", (event) => this.press(event));
    const observer = new ResizeObserver(() => this.draw());
    observer.observe(this.root);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  setLog(log) {
    this.log = log;
    this.toggle.setAttribute("aria-pressed", String(log));
    this.draw();
  }

  update(series) {
    this.series = series;
    const values = series.flatMap((one) => one.points.flatMap((point) => point.slice(1)));
    this.toggle.hidden = !values.some((value) => value > 0) || values.some((value) => typeof value === "number" && value <= 0);
    if (this.toggle.hidden) this.log = false;
    replace(this.key, series.length > 1 && series.map((one, at) => h("li", {}, this.swatch(at), one.link ?? said(one.name))));
    this.key.hidden = series.length < 2;
    this.draw();
    this.fillNumbers();
  }

  swatch(at) {
    return s(`svg.swatch-line.c${at % COLOURS}`, { width: "26", height: "8", "aria-hidden": "true" }, s(`path.line.d${Math.floor(at / COLOURS) + (at % 4)}`, { d: "M0 4H26" }));
  }

  draw() {
    const width = Math.floor(this.root.clientWidth);
    if (!width) return;
    const right = 10;
    const xs = this.series.flatMap((one) => one.points.map((point) => point[0]));
    const ys = this.series.flatMap((one) => one.points.flatMap((point) => point.slice(1)));
    const x = (this.x = scale(xs, LEFT, width - right, clamp(width / 90, 2, 9), { widen: false }));
    const y = (this.y = scale(ys, this.height - BOTTOM, TOP, 5, { log: this.log }));
    this.drawing.setAttribute("width", String(width));
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.drawing.setAttribute("aria-label", `${visibleText(this.title)}. ${this.words()} Arrow keys read values.`);
    const base = this.height - BOTTOM;
    this.cross = s("g.cross", { "aria-hidden": "true" });
    replace(
      this.drawing,
      y.ticks.map((tick) => [s("line.grid", { x1: LEFT, x2: width - right, y1: y.at(tick), y2: y.at(tick) }), s("text", { x: LEFT - 6, y: y.at(tick) + 4, "text-anchor": "end" }, number(tick))]),
      s("line.axis", { x1: LEFT, x2: width - right, y1: base, y2: base }),
      x.ticks.map((tick) => [s("line.axis", { x1: x.at(tick), x2: x.at(tick), y1: base, y2: base + 4 }), s("text", { x: clamp(x.at(tick), LEFT, width - 16), y: base + 16, "text-anchor": "middle" }, Math.abs(tick) >= 1000 && Number.isInteger(tick) ? count(tick) : number(tick))]),
      s("text.axis-name", { x: width - right, y: this.height - 2, "text-anchor": "end" }, this.across),
      this.series.map((one, at) => s(`g.c${at % COLOURS}`, {}, s("path.band", { d: band(one.points, x, y) }),
        s(`path.line.d${this.series.length > 1 ? Math.floor(at / COLOURS) + (at % 4) : 0}`, { d: path(one.points, x, y) }),
        alone(one.points).slice(0, 500).map((point) => s("circle.dot", { cx: x.at(point[0]), cy: y.at(point[1]), r: 2.5 })))),
      this.cross,
    );
    this.read(this.cursor);
  }

  words() {
    if (!this.series.some((one) => one.points.length)) return "Nothing logged yet.";
    const said_ = this.series.slice(0, 8).map((one) => {
      const found = range(one.points.map((point) => point[1]));
      const last = one.points.findLast((point) => point[1] !== null);
      return found ? `${visibleText(one.name)}: last ${number(last[1])} at ${number(last[0])}, between ${number(found[0])} and ${number(found[1])}.` : "";
    });
    return said_.join(" ");
  }

  point(clientX) {
    const box = this.drawing.getBoundingClientRect();
    const share = (clientX - box.left - LEFT) / Math.max(1, box.width - LEFT - 10);
    this.read(this.x.low + clamp(share, 0, 1) * (this.x.high - this.x.low));
  }

  press(event) {
    const longest = this.series.reduce((best, one) => (one.points.length > best.length ? one.points : best), []);
    const here = this.cursor === null ? (event.key === "ArrowLeft" ? longest.length : -1) : nearest(longest, this.cursor);
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: longest.length - 1 }[event.key];
    if (to === undefined || !longest.length || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.read(longest[clamp(to, 0, longest.length - 1)][0]);
  }

  /** Reads every curve at the point nearest to `x`, or none. */
  read(x) {
    this.cursor = x;
    const found = x === null ? [] : this.series.map((one, at) => [one, at, one.points[nearest(one.points, x)]]).filter(([, , point]) => point);
    replace(
      this.readout,
      found.length > 0 && [h("b", {}, `${this.across} ${number(found[0][2][0])}`), found.slice(0, 12).map(([one, , point]) => h("span", {}, this.series.length > 1 && [said(one.name), " "], number(point[1])))],
    );
    if (!this.cross) return;
    const at = found.length ? this.x.at(found[0][2][0]) : 0;
    replace(
      this.cross,
      found.length > 0 && s("line.cursor", { x1: at, x2: at, y1: TOP, y2: this.height - BOTTOM }),
      found.filter(([, , point]) => Number.isFinite(this.y.at(point[1])) && point[1] !== null).map(([, index, point]) => s(`circle.dot.c${index % COLOURS}`, { cx: this.x.at(point[0]), cy: this.y.at(point[1]), r: 3.5 })),
    );
  }

  fillNumbers() {
    if (!this.details.open) return;
    const every = Math.ceil(Math.max(1, ...this.series.map((one) => one.points.length)) / ROWS);
    const rows = this.series.flatMap((one) => one.points.filter((_, at) => at % every === 0 || at === one.points.length - 1).map((point) => [one.name, point[0], point[1]]));
    replace(this.numbers, h("table", {},
      h("thead", {}, h("tr", {}, this.series.length > 1 && h("th", { scope: "col" }, "Series"), h("th.number", { scope: "col" }, this.across), h("th.number", { scope: "col" }, said(this.title)))),
      h("tbody", {}, rows.map(([name, x, y]) => h("tr", {}, this.series.length > 1 && h("td", {}, said(name)), h("td.number", {}, number(x)), h("td.number", {}, number(y)))))));
  }
}
