// Valence and six emotions after each sentence, one small chart each: the model's reading, gold dashed, the lexicon faint.

import { visibleText } from "./characters.js";
import { h, replace, s } from "./dom.js";
import { clamp, number } from "./numbers.js";

const HEIGHT = 58;
const TALL = 84;
const SIDE = 6;
const TOP = 5;

function path(values, x, y) {
  let text = "";
  let pen = false;
  values.forEach((value, at) => {
    if (value !== null) text += `${pen ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = value !== null;
  });
  return text;
}

/** `choose(sentence)` hears which sentence was pressed. */
export class StoryLines {
  constructor({ signal, choose }) {
    Object.assign(this, { choose, scene: null, at: 0 });
    this.list = h("div.story-lines");
    this.key = h("p.legend.story-key");
    this.root = h("div", {}, this.key, this.list);
    const observer = new ResizeObserver(() => this.draw());
    observer.observe(this.root);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  update(scene, readout) {
    this.scene = scene;
    const line = (kind, words) => h("span", {}, s("svg.swatch-line", { width: "26", height: "8", "aria-hidden": "true" }, s(`path.${kind}`, { d: "M0 4H26" })), ` ${words}`);
    replace(this.key, line("read", readout),
      scene.series.some((one) => one.gold) && line("gold", "gold, by whoever wrote the story"),
      scene.series.some((one) => one.lexicon) && line("lexicon", "VADER, a list of words"));
    this.draw();
  }

  draw() {
    const width = Math.floor(this.list.clientWidth);
    if (!width || !this.scene) return;
    this.width = width;
    this.marks = [];
    replace(this.list, this.scene.series.map((series, index) => this.chart(series, index === 0 ? TALL : HEIGHT, width)));
    this.move(this.at);
  }

  x(at) {
    return SIDE + (Math.max(1, this.width - 2 * SIDE) * at) / Math.max(1, this.scene.sentences.length - 1);
  }

  chart(series, height, width) {
    const y = (value) => height - TOP - ((clamp(value, series.low, series.high) - series.low) / (series.high - series.low)) * (height - 2 * TOP);
    const x = (at) => this.x(at);
    const cursor = s("line.cursor", { y1: 0, y2: height, x1: -9, x2: -9 });
    const dot = s("circle.dot", { r: 3.5, cx: -9, cy: -9 });
    const figure = h("span.figure");
    this.marks.push({ series, cursor, dot, figure, y });
    const middle = series.low < 0 ? 0 : series.low;
    const drawing = s("svg.story-line", { width: String(width), height: String(height), viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": this.words(series) },
      s("line.grid", { x1: 0, x2: width, y1: y(middle), y2: y(middle) }),
      series.low < 0 && [series.low, series.high].map((edge) => s("line.grid.edge", { x1: 0, x2: width, y1: y(edge), y2: y(edge) })),
      series.lexicon && s("path.lexicon", { d: path(series.lexicon, x, y) }),
      series.gold && s("path.gold", { d: path(series.gold, x, y) }),
      s("path.read", { d: path(series.values, x, y) }), cursor, dot);
    drawing.addEventListener("click", (event) => {
      const share = (event.clientX - drawing.getBoundingClientRect().left - SIDE) / Math.max(1, width - 2 * SIDE);
      this.choose(clamp(Math.round(share * (this.scene.sentences.length - 1)), 0, this.scene.sentences.length - 1));
    });
    return h("div.story-chart", {}, h("p.story-chart-name", {}, h("b", {}, series.name), h("small.dim", {}, ` ${series.unit}`), figure), drawing);
  }

  words(series) {
    const known = series.values.filter((value) => value !== null).map((value) => value * series.shown);
    if (!known.length) return `${visibleText(series.name)}: nothing was read.`;
    return `${visibleText(series.name)}, ${series.unit}: begins at ${number(known[0])}, ends at ${number(known.at(-1))}, between ${number(Math.min(...known))} and ${number(Math.max(...known))}.`;
  }

  /** Shows where the story stands. */
  move(at) {
    this.at = at;
    const here = Math.floor(at + 1e-9);
    for (const { series, cursor, dot, figure, y } of this.marks ?? []) {
      cursor.setAttribute("x1", this.x(at));
      cursor.setAttribute("x2", this.x(at));
      const value = series.values[here];
      dot.setAttribute("cx", value === null ? -9 : this.x(here));
      dot.setAttribute("cy", value === null ? -9 : y(value));
      const gold = series.gold?.[here];
      replace(figure, number(value === null ? null : value * series.shown), typeof gold === "number" && h("span.dim", {}, ` · gold ${number(gold * series.shown)}`));
    }
  }
}
