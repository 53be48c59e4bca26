// The drawing of a prompt graph: SVG that is panned, zoomed and walked by mouse, touch and keyboard.

import { tokenText, visibleText } from "./characters.js";
import { replace, s } from "./dom.js";
import { NodeNames } from "./graph_names.js";
import { size, towards } from "./graph_layout.js";
import { clamp, number } from "./numbers.js";
import { pannable } from "./pan.js";

const MARGIN = { left: 128, right: 30, top: 30, bottom: 46 };

function cut(text, length) {
  const characters = Array.from(text);
  return characters.length > length ? `${characters.slice(0, length - 1).join("")}…` : text;
}

function shape(node, half) {
  if (node.kind !== "feature") return s("rect", { x: -half, y: -half, width: 2 * half, height: 2 * half });
  return s("circle", { r: half });
}

/** One drawing. `select(id)`, `open(node)`, `pin(node)`, `hide(node)` and `moved(id, [x, y])` hear what a person does. */
export class Drawing {
  constructor({ overview, select, open, pin, hide, moved, signal }) {
    Object.assign(this, { overview, select, open, pin, hide, moved });
    this.lines = s("g.columns-of-tokens");
    this.edgeLayer = s("g.edges");
    this.nodeLayer = s("g.nodes");
    this.world = s("g", {}, this.lines, this.edgeLayer, this.nodeLayer);
    this.names = s("g.row-names", { "aria-hidden": "true" });
    this.nodeNames = new NodeNames(overview);
    this.root = s("svg.graph", { role: "group", tabindex: "0", "aria-label": "Prompt graph: arrow keys walk the nodes, Enter opens one" }, this.world, this.names, this.nodeNames.root);
    this.view = { x: 0, y: 0, k: 1 };
    this.selected = null;
    this.pan = pannable(this.root, this, signal);
    this.root.addEventListener("keydown", (event) => this.key(event));
    const observer = new ResizeObserver(() => this.root.clientWidth && !this.touched && this.layout && this.fit());
    observer.observe(this.root);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  /** Draws what is left of a graph after pruning. */
  draw(kept, layout, pinned) {
    Object.assign(this, { kept, layout, pinned });
    this.nodes = new Map(kept.nodes.map((node) => [node.id, node]));
    if (!this.nodes.has(this.selected)) this.selected = null;
    const most = Math.max(1e-12, ...kept.nodes.filter((node) => node.kind === "feature").map(size));
    const bottom = layout.height + 18;
    replace(
      this.lines,
      layout.columns.map((column, at) => [
        at > 0 && s("line", { x1: column.x, x2: column.x, y1: -14, y2: bottom }),
        s("text.token-name", { x: column.middle, y: bottom + 10, "text-anchor": "middle" }, cut(tokenText(column.text), 14), s("title", {}, tokenText(column.text))),
      ]),
    );
    this.edges = kept.edges.map((edge) => ({ edge, line: s(edge.weight < 0 ? "path.edge.less" : "path.edge", { "stroke-width": clamp(4.5 * Math.sqrt(edge.strength / (kept.most || 1)), 0.5, 4.5).toFixed(2) }) }));
    replace(this.edgeLayer, this.edges.map(({ line }) => line));
    this.marks = new Map(kept.nodes.map((node) => [node.id, this.mark(node, most)]));
    replace(this.nodeLayer, [...this.marks.values()]);
    replace(this.names, layout.rows.filter((row) => row.key !== "token" && row.key !== "answer").map((row) => s("text", {}, cut(visibleText(this.overview.short(row.key)), 19), s("title", {}, visibleText(row.key)))));
    this.nodeNames.choose(kept.nodes, pinned);
    for (const id of this.nodes.keys()) this.put(id);
    this.apply();
    this.shine();
  }

  mark(node, most) {
    const half = node.kind === "feature" ? 3.5 + 4.5 * Math.sqrt(size(node) / most) : 5.5;
    const words = node.kind === "feature" ? `${this.overview.short(node.name)} ${node.label}` : `${node.kind} ${node.name}`;
    const classes = ["g.node", node.kind];
    if (this.pinned.has(node.name)) classes.push("pinned");
    const mark = s(
      classes.join("."),
      { role: "button", tabindex: "-1", "data-id": node.id, "aria-label": visibleText(`${words}, at token ${node.position + 1}${node.contribution === null ? "" : `, moves the answer by ${number(node.contribution)}`}`) },
      s("circle.reach", { r: 10 }),
      shape(node, half),
      s("title", {}, visibleText(words)),
      node.kind === "answer" && s("text.answer-name", { y: -11, "text-anchor": "middle" }, cut(tokenText(node.name), 16)),
    );
    mark.addEventListener("focus", () => this.choose(node.id, false));
    return mark;
  }

  put(id) {
    const at = this.layout.places.get(id);
    this.marks.get(id).setAttribute("transform", `translate(${at.x} ${at.y})`);
    for (const { edge, line } of this.edges) {
      if (edge.source !== id && edge.target !== id) continue;
      const a = this.layout.places.get(edge.source);
      const b = this.layout.places.get(edge.target);
      const bend = (b.y - a.y) / 2 || -18;
      line.setAttribute("d", `M${a.x} ${a.y}C${a.x} ${a.y + bend} ${b.x} ${b.y - bend} ${b.x} ${b.y}`);
    }
  }

  /** Makes a node the selected one; where it was that already, `again`, it is opened. */
  choose(id, again) {
    if (again && id === this.selected) {
      this.open(this.nodes.get(id));
      return;
    }
    if (id === this.selected) return;
    this.selected = id;
    this.shine();
    this.select(id);
  }

  shine() {
    this.root.classList.toggle("choosing", this.selected !== null);
    for (const { edge, line } of this.edges) line.classList.toggle("near", edge.source === this.selected || edge.target === this.selected);
    for (const [id, mark] of this.marks) {
      mark.classList.toggle("selected", id === this.selected);
      mark.setAttribute("aria-pressed", String(id === this.selected));
    }
  }

  move(id, dx, dy) {
    const at = this.layout.places.get(id);
    at.x += dx / this.view.k;
    at.y += dy / this.view.k;
    this.put(id);
    this.nodeNames.put(this.layout.places, this.view, this.root, this.narrow);
    this.moved(id, [at.x, at.y]);
  }

  zoom(times, x = this.root.clientWidth / 2, y = this.root.clientHeight / 2) {
    this.touched = true;
    const k = clamp(this.view.k * times, 0.15, 6);
    const real = k / this.view.k;
    this.view = { k, x: x - (x - this.view.x) * real, y: y - (y - this.view.y) * real };
    this.apply();
  }

  shift(dx, dy) {
    this.touched = true;
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
    this.apply();
  }

  get narrow() {
    return this.root.clientWidth < 500;
  }

  /** Shows all of it, or as much as stays readable, the last positions first. */
  fit() {
    const { width, height } = this.layout;
    const left = this.narrow ? 14 : MARGIN.left;
    const roomX = this.root.clientWidth - left - MARGIN.right;
    const roomY = this.root.clientHeight - MARGIN.top - MARGIN.bottom;
    const k = clamp(Math.min(roomX / Math.max(1, width), roomY / Math.max(1, height)), 0.45, 1.6);
    const over = width * k > roomX;
    this.view = { k, x: over ? this.root.clientWidth - MARGIN.right - width * k : left + (roomX - width * k) / 2, y: MARGIN.top + Math.max(0, (roomY - height * k) / 2) };
    this.touched = false;
    this.apply();
  }

  apply() {
    const { x, y, k } = this.view;
    this.world.setAttribute("transform", `translate(${x} ${y}) scale(${k})`);
    // There is no room beside a narrow drawing, and over it names would hide nodes.
    this.names.classList.toggle("no-room", this.narrow);
    if (this.layout) this.nodeNames.put(this.layout.places, this.view, this.root, this.narrow);
    const rows = this.layout?.rows.filter((row) => row.key !== "token" && row.key !== "answer") ?? [];
    [...this.names.children].forEach((name, at) => {
      name.setAttribute("x", "6");
      name.setAttribute("y", String(y + k * rows[at].y + 3.5));
    });
  }

  focus(id) {
    const mark = this.marks.get(id);
    if (!mark) return;
    this.choose(id, false);
    mark.focus({ preventScroll: true });
    const at = this.layout.places.get(id);
    const [px, py] = [this.view.x + at.x * this.view.k, this.view.y + at.y * this.view.k];
    const dx = clamp(px, 40, this.root.clientWidth - 40) - px;
    const dy = clamp(py, 30, this.root.clientHeight - 30) - py;
    if (dx || dy) this.shift(dx, dy);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const node = this.nodes?.get(this.selected);
    const shift = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (shift && event.shiftKey) this.shift(...shift);
    else if (shift && node) this.focus(towards(this.layout.places, this.selected, event.key) ?? this.selected);
    else if (shift) this.focus(this.kept.nodes.find((one) => one.kind === "answer")?.id ?? this.kept.nodes[0]?.id);
    else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else if (event.key === "0") this.fit();
    else if ((event.key === "Enter" || event.key === " ") && node) this.open(node);
    else if (event.key === "p" && node) this.pin(node);
    else if (event.key === "x" && node) this.hide(node);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
