// A figure in space that turns: by drag, by two fingers, by the wheel and by keys, with names under the pointer.

import { visibleText } from "./characters.js";
import { h, replace, said } from "./dom.js";
import { number } from "./numbers.js";
import { palette } from "./scene_colours.js";
import { FIRST, dotAt, marksOf, moved } from "./scene_math.js";
import { paint, toSvg } from "./scene_paint.js";

const STEP = Math.PI / 24;
const PER_PIXEL = 0.008;
const KEYS = {
  ArrowLeft: [-STEP, 0, 1], ArrowRight: [STEP, 0, 1], ArrowUp: [0, STEP, 1], ArrowDown: [0, -STEP, 1],
  "+": [0, 0, 1.15], "=": [0, 0, 1.15], "-": [0, 0, 1 / 1.15],
};

/**
 * `update(figure)` shows a figure of `scene_math.js`; `words` says it for who does not see it, and `rows` is its table:
 * `{columns, rows}`. `choose(key)` hears which dot was pressed.
 */
export class Scene3D {
  constructor({ title, signal, ratio = 0.8, choose = null }) {
    Object.assign(this, { title, ratio, choose, camera: FIRST, figure: null, marks: [], rows: null, bounds: undefined, frame: 0 });
    this.canvas = h("canvas.scene", { tabindex: "0", role: "img", "aria-label": visibleText(title) });
    this.readout = h("p.readout-line", { "aria-live": "off" });
    this.table = h("div.scroll", { tabindex: "0", role: "region", "aria-label": `Numbers of ${visibleText(title)}` });
    this.details = h("details.numbers", {}, h("summary", {}, "The drawing as a table"), this.table);
    this.depth = h("input", { type: "checkbox", checked: true, on: { change: () => this.turn({ perspective: this.depth.checked }) } });
    this.root = h("div.scene-part", {}, this.canvas,
      h("p.scene-tools", {}, h("button.quiet", { type: "button", on: { click: () => this.turn({ ...FIRST, perspective: this.camera.perspective }) } }, "Turn back"),
        h("label.tick", {}, this.depth, "perspective"), h("span.help", {}, "Drag or arrow keys turn it; once it has the focus, the wheel, two fingers, + and − zoom.")),
      this.readout, this.details);
    this.details.addEventListener("toggle", () => this.tell());
    this.listen(signal);
    const observer = new ResizeObserver(() => this.draw());
    observer.observe(this.root);
    signal.addEventListener("abort", () => (observer.disconnect(), cancelAnimationFrame(this.frame)));
    const schemes = new MutationObserver(() => this.draw());
    schemes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-scheme"] });
    signal.addEventListener("abort", () => schemes.disconnect());
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), { signal });
  }

  update(figure, { words = "", rows = null, bounds } = {}) {
    const others = this.rows !== rows;
    Object.assign(this, { figure, words, rows, bounds });
    this.canvas.setAttribute("aria-label", visibleText(`${this.title}. ${words} Arrow keys turn it; the table below has its numbers.`));
    if (others) this.tell();
    this.draw();
  }

  /** Changes the camera. */
  turn(changes) {
    this.camera = { ...this.camera, ...changes };
    this.depth.checked = this.camera.perspective;
    this.draw();
  }

  size() {
    const width = Math.max(200, Math.floor(this.root.clientWidth));
    return { width, height: Math.round(Math.min(width * this.ratio, Math.max(300, globalThis.innerHeight * 0.6))) };
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      if (!this.figure || !this.root.clientWidth) return;
      const size = this.size();
      this.canvas.style.setProperty("height", `${size.height}px`);
      this.marks = marksOf(this.figure, this.camera, size, this.bounds);
      paint(this.canvas, this.marks, palette(), { ...size, scale: globalThis.devicePixelRatio || 1 });
    });
  }

  /** The drawing as an SVG file's text. */
  svg() {
    const size = this.size();
    return toSvg(marksOf(this.figure, this.camera, size, this.bounds), palette(), size, this.title, this.words);
  }

  /** Another figure, or this one, from another side, on a canvas of its own. */
  picture({ figure = this.figure, camera = this.camera, size = this.size(), scale = 2, canvas = document.createElement("canvas") } = {}) {
    paint(canvas, marksOf(figure, camera, size, this.bounds), palette(), { ...size, scale });
    return canvas;
  }

  tell() {
    if (!this.details.open || !this.rows) return;
    const { columns, rows } = this.rows;
    const cell = (value) => (typeof value === "number" ? h("td.number", {}, number(value)) : h("td", {}, said(value)));
    replace(this.table, h("table", {}, h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, said(name))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell))))));
  }

  listen(signal) {
    const pointers = new Map();
    let gone = 0;
    const on = (event, listener, options = {}) => this.canvas.addEventListener(event, listener, { signal, ...options });
    const at = (event) => {
      const frame = this.canvas.getBoundingClientRect();
      return { x: event.clientX - frame.left, y: event.clientY - frame.top };
    };
    const spread = () => {
      const [a, b] = [...pointers.values()];
      return Math.hypot(a.x - b.x, a.y - b.y);
    };
    on("pointerdown", (event) => {
      if (event.button !== 0) return;
      pointers.set(event.pointerId, at(event));
      this.canvas.setPointerCapture(event.pointerId);
      gone = 0;
    });
    on("pointermove", (event) => {
      const [before, now] = [pointers.get(event.pointerId), at(event)];
      if (!before) {
        this.name(dotAt(this.marks, now.x, now.y));
        return;
      }
      const wide = pointers.size === 2 ? spread() : 0;
      pointers.set(event.pointerId, now);
      gone += Math.hypot(now.x - before.x, now.y - before.y);
      if (pointers.size === 2) this.turn(moved(this.camera, 0, 0, wide > 0 ? spread() / wide : 1));
      else if (gone > 3) this.turn(moved(this.camera, (before.x - now.x) * PER_PIXEL, (now.y - before.y) * PER_PIXEL));
    });
    const end = (event) => {
      const place = pointers.get(event.pointerId);
      if (!pointers.delete(event.pointerId) || event.type !== "pointerup" || gone > 3) return;
      const dot = dotAt(this.marks, place.x, place.y, 14);
      this.name(dot);
      if (dot && dot.key !== null) this.choose?.(dot.key);
    };
    on("pointerup", end);
    on("pointercancel", end);
    on("pointerleave", () => this.name(null));
    // A wheel without the key scrolls the page, which the drawing would otherwise hold fast.
    on("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== this.canvas) return;
      event.preventDefault();
      this.turn(moved(this.camera, 0, 0, Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.002))));
    }, { passive: false });
    on("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "0") this.turn({ ...FIRST, perspective: this.camera.perspective });
      else if (event.key === "p") this.turn({ perspective: !this.camera.perspective });
      else if (KEYS[event.key]) this.turn(moved(this.camera, ...KEYS[event.key]));
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  name(dot) {
    replace(this.readout, dot && said(dot.name));
    this.canvas.classList.toggle("pointing", dot !== null && dot?.key !== null);
  }
}
