// A saved table, a page of rows at a time, with the rows that somebody points at marked and in sight.

import { h, replace, said } from "./dom.js";
import { button } from "./lab_parts.js";
import { look } from "./lab_server.js";
import { count } from "./numbers.js";

const PAGE = 100;

/** A cell's value as its column writes it; an exact number is in the cell's title. */
export function cellText(value, column) {
  if (value === null || value === undefined) return h("span.none", {}, "–");
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return said(value);
  if (column?.kind === "integer") return String(value).replace("-", "−");
  const digits = column?.digits ?? 4;
  const size = Math.abs(value);
  const text = size !== 0 && (size < 10 ** -digits / 2 || size >= 1e9) ? value.toExponential(2) : value.toFixed(digits);
  return h("span", { title: String(value) }, text.replaceAll("-", "−"));
}

/**
 * Rows of a table with buttons to its other pages. `mark` is `{rows, column}`: the numbers of the rows that
 * count, from 0, and the column of their cells.
 */
export class TablePart {
  constructor({ run, table, signal, mark = null, rows = PAGE }) {
    Object.assign(this, { run, table, signal, mark, page: rows });
    this.caption = h("p.help");
    this.words = h("span.total", { role: "status" });
    this.back = button("Earlier rows", () => this.show(this.offset - this.page));
    this.next = button("Later rows", () => this.show(this.offset + this.page));
    this.turn = h("p.buttons", {}, this.back, this.next, this.words);
    this.scroll = h("div.scroll.table-scroll", { tabindex: "0", role: "region", "aria-label": `Rows of ${table}` });
    this.root = h("div.table-part", {}, this.caption, this.scroll, this.turn);
  }

  /** The first page, or the one that holds the marked row. */
  open() {
    const row = this.mark?.rows[0] ?? 0;
    return this.show(Math.floor(row / this.page) * this.page);
  }

  async show(offset) {
    const answer = await look("table", { run: this.run, table: this.table, offset: Math.max(0, offset), limit: this.page }, this.signal);
    this.offset = answer.offset;
    replace(this.caption, answer.caption && said(answer.caption));
    const counted = (column) => column.kind === "integer" || column.kind === "number";
    const marked = this.mark ? answer.columns.findIndex((column) => column.name === this.mark.column) : -1;
    const counting = new Set(this.mark?.rows);
    const body = answer.rows.map((row, number_) => {
      const chosen = counting.has(answer.offset + number_);
      return h(chosen ? "tr.chosen" : "tr", { "aria-current": chosen ? "true" : null }, row.map((value, at) =>
        h(`td${counted(answer.columns[at]) ? ".number" : ""}${chosen && at === marked ? ".cell" : ""}`, {}, cellText(value, answer.columns[at]))));
    });
    replace(this.scroll, h("table.saved", {},
      h("thead", {}, h("tr", {}, answer.columns.map((column, at) => h(`th${counted(column) ? ".number" : ""}${at === marked ? ".cell" : ""}`, { scope: "col" }, said(column.name), column.unit && h("span.dim", {}, " ", said(column.unit)))))),
      h("tbody", {}, body)));
    const last = answer.offset + answer.rows.length;
    this.back.disabled = answer.offset === 0;
    this.next.disabled = last >= answer.total;
    this.turn.hidden = answer.total <= this.page;
    replace(this.words, `rows ${count(answer.offset + 1)} to ${count(last)} of ${count(answer.total)}`);
    const first = this.scroll.querySelector("tr.chosen");
    if (first) this.scroll.scrollTop = Math.max(0, first.offsetTop - this.scroll.clientHeight / 2);
    return answer;
  }
}
