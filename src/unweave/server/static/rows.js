// A table of any length that keeps only the rows in sight in the document, and asks for them a hundred at a time.

import { h, replace } from "./dom.js";
import { newest } from "./server.js";

const PAGE = 100;
const AHEAD = 8;
/** Pages that are kept; those furthest from sight are asked for again when somebody comes back to them. */
const KEPT = 20;

/**
 * A scrolling table over `total` rows.
 *
 * `columns` are `{key, title, sort, number, cell(row)}`; `fetchPage(offset, limit, signal)` gives `{total, rows}`;
 * `moved(index)` hears which row is the current one.
 */
export class Rows {
  constructor({ columns, caption, fetchPage, sortBy, moved, failed, signal }) {
    Object.assign(this, { columns, fetchPage, sortBy, moved, failed });
    this.total = 0;
    this.index = 0;
    this.pages = new Map();
    this.shown = new Map();
    this.ask = newest(40, signal);
    this.head = h("thead", { role: "rowgroup" });
    this.body = h("tbody", { role: "rowgroup" });
    this.above = h("tbody.gap", { "aria-hidden": "true" }, h("tr", {}, h("td", { colspan: columns.length })));
    this.below = h("tbody.gap", { "aria-hidden": "true" }, h("tr", {}, h("td", { colspan: columns.length })));
    this.table = h("table.rows", { role: "table", "aria-label": caption }, this.head, this.above, this.body, this.below);
    this.root = h("div.scroller", { tabindex: "-1" }, this.table);
    this.root.addEventListener("scroll", () => this.draw(), { passive: true });
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.root);
    signal.addEventListener("abort", () => this.observer.disconnect());
  }

  get height() {
    return parseFloat(getComputedStyle(this.table).getPropertyValue("--row")) || 32;
  }

  /** Shows other rows: the first page is here already. */
  fill(first, { sort, descending, index = 0 }) {
    this.pages = new Map([[Math.floor(first.offset / PAGE), first.rows]]);
    // What the rows before waited for is dropped when it comes.
    this.wanted = "";
    this.total = first.total;
    this.index = Math.max(0, Math.min(index, this.total - 1));
    this.table.setAttribute("aria-rowcount", String(this.total + 1));
    replace(
      this.head,
      h("tr", { role: "row", "aria-rowindex": "1" }, this.columns.map((column) => this.header(column, sort, descending))),
    );
    this.root.scrollTop = 0;
    this.range = "";
    this.place(this.index);
    this.draw(true);
  }

  /** Rows of the same question asked again: what stays the same is not touched, and nothing moves. */
  async refresh(signal) {
    const { first, last, height } = this.inSight();
    const top = Math.round(this.root.scrollTop / height);
    const held = this.row(top)?.id;
    const pages = new Map();
    let total = this.total;
    for (let page = Math.floor(first / PAGE); page === Math.floor(first / PAGE) || page * PAGE < last; page += 1) {
      const answer = await this.fetchPage(page * PAGE, PAGE, signal);
      pages.set(page, answer.rows);
      ({ total } = answer);
    }
    if (signal.aborted) return;
    // Rows that came or went have moved the others.
    this.pages = total === this.total ? new Map([...this.pages, ...pages]) : pages;
    this.wanted = "";
    this.total = total;
    // What came above must not push away what somebody reads.
    const now = top > 0 && held !== undefined ? this.find(held) : top;
    const moved = now < 0 ? 0 : now - top;
    this.index = Math.max(0, Math.min(this.index + moved, total - 1));
    this.table.setAttribute("aria-rowcount", String(total + 1));
    this.draw(true);
    if (moved) this.root.scrollTop += moved * height;
  }

  find(id) {
    for (const [page, rows] of this.pages) {
      const at = rows.findIndex((row) => row.id === id);
      if (at >= 0) return page * PAGE + at;
    }
    return -1;
  }

  inSight() {
    const height = this.height;
    // A scroller that grows with its rows would ask for more of them for ever; no more than two windows are in sight.
    const view = Math.min(this.root.clientHeight || 600, 2 * window.innerHeight);
    const first = Math.max(0, Math.floor(this.root.scrollTop / height) - AHEAD);
    return { height, first, last: Math.min(this.total, Math.ceil((this.root.scrollTop + view) / height) + AHEAD) };
  }

  header(column, sort, descending) {
    const name = h("span", {}, column.title);
    const sorted = column.sort && column.sort === sort;
    return h(
      `th.${column.key}${column.number ? ".number" : ""}`,
      {
        role: "columnheader",
        scope: "col",
        title: column.help,
        "aria-sort": sorted ? (descending ? "descending" : "ascending") : null,
      },
      column.sort ? h("button", { type: "button", on: { click: () => this.sortBy(column) } }, name) : name,
    );
  }

  row(index) {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  draw(always = false) {
    const { height, first, last } = this.inSight();
    this.want(first, last);
    const range = `${first} ${last} ${height}`;
    if (range === this.range && (!always || this.patch(first, last))) return;
    this.range = range;
    const focused = this.body.contains(document.activeElement);
    this.above.hidden = first === 0;
    this.below.hidden = last === this.total;
    this.above.firstChild.firstChild.style.height = `${first * height}px`;
    this.below.firstChild.firstChild.style.height = `${(this.total - last) * height}px`;
    const drawn = [];
    this.shown.clear();
    for (let index = first; index < last; index += 1) {
      drawn.push(this.line(index));
      this.shown.set(index, this.written(index));
    }
    replace(this.body, drawn);
    if (focused) this.body.querySelector("tr.current a")?.focus({ preventScroll: true });
  }

  /** Draws every line in sight anew: what stands in the cells depends on more than the rows. */
  redraw() {
    this.range = "";
    this.draw(true);
  }

  written(index) {
    return JSON.stringify(this.row(index) ?? null);
  }

  /** Draws only the lines whose rows are others now; false when the lines themselves are others. */
  patch(first, last) {
    if (this.body.children.length !== last - first) return false;
    for (let index = first; index < last; index += 1) {
      const now = this.written(index);
      if (this.shown.get(index) === now) continue;
      const old = this.body.children[index - first];
      const focused = old.contains(document.activeElement) && (document.activeElement.matches("input") ? "input" : "a");
      const line = this.line(index);
      old.replaceWith(line);
      if (focused) line.querySelector(focused)?.focus({ preventScroll: true });
      this.shown.set(index, now);
    }
    return true;
  }

  line(index) {
    const row = this.row(index);
    const attributes = { role: "row", "aria-rowindex": String(index + 2), "data-index": String(index) };
    const current = index === this.index ? ".current" : "";
    if (!row) return h(`tr.waiting${current}`, attributes, h("td", { role: "cell", colspan: this.columns.length }, "…"));
    const line = h(
      `tr${current}`,
      attributes,
      this.columns.map((column) => h(`td.${column.key}${column.number ? ".number" : ""}`, { role: "cell" }, column.cell(row))),
    );
    const link = line.querySelector("a");
    if (link) link.tabIndex = index === this.index ? 0 : -1;
    line.addEventListener("click", (event) => {
      this.set(index);
      if (!event.target.closest("a, button, label") && !window.getSelection()?.toString()) link?.click();
    });
    link?.addEventListener("focus", () => this.set(index));
    return line;
  }

  want(first, last) {
    const missing = [];
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) if (!this.pages.has(page)) missing.push(page);
    const key = missing.join(" ");
    if (!missing.length || key === this.wanted) return;
    this.wanted = key;
    const pages = this.pages;
    this.ask(
      async (signal) => {
        const answers = await Promise.all(missing.map((page) => this.fetchPage(page * PAGE, PAGE, signal)));
        if (pages !== this.pages) return;
        missing.forEach((page, at) => pages.set(page, answers[at].rows));
        this.drop(missing[0]);
        this.wanted = "";
        this.draw(true);
      },
      (error) => {
        this.wanted = "";
        this.failed(error);
      },
    );
  }

  drop(near) {
    const far = [...this.pages.keys()].sort((a, b) => Math.abs(a - near) - Math.abs(b - near)).slice(KEPT);
    for (const page of far) this.pages.delete(page);
  }

  set(index) {
    if (index === this.index) return;
    this.index = index;
    for (const line of this.body.children) {
      const here = line.dataset.index === String(index);
      line.classList.toggle("current", here);
      const link = line.querySelector("a");
      if (link) link.tabIndex = here ? 0 : -1;
    }
    this.moved(index);
  }

  place(index) {
    const height = this.height;
    const head = this.head.offsetHeight;
    const top = index * height;
    const room = this.root.clientHeight - head;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (top + height > this.root.scrollTop + room) this.root.scrollTop = top + height - room;
  }

  /** Makes another row the current one, brings it into sight and gives it the focus. */
  move(to) {
    if (!this.total) return;
    const index = Math.max(0, Math.min(this.total - 1, to));
    this.set(index);
    this.place(index);
    this.draw(true);
    (this.body.querySelector("tr.current a") ?? this.root).focus({ preventScroll: true });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.root.clientHeight / this.height) - 2);
    const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: page, PageUp: -page };
    const ends = { Home: 0, End: this.total - 1 };
    if (event.key in steps) this.move(this.index + steps[event.key]);
    else if (event.key in ends) this.move(ends[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
