// Token statistics: the tokens a feature fires on, and what the model predicts where it fires.

import { tokenText } from "./characters.js";
import { h } from "./dom.js";
import { count, share } from "./numbers.js";
import { bar } from "./parts.js";

const COLUMNS = [
  ["count", "Count", (row) => count(row.count)],
  ["precision", "Precision", (row) => bar(row.precision, share(row.precision), "small")],
  ["recall", "Recall", (row) => bar(row.recall, share(row.recall), "small")],
  ["pmi", "PMI", (row) => share(row.pmi)],
];

/** A token in a table: its spaces and hidden characters seen, its direction kept to itself. */
export function tokenCell(text, id) {
  return h("bdi.token-text", { dir: "auto", title: id === undefined ? null : `token ${id}` }, tokenText(text));
}

/** A table of tokens, sorted by any column on the page itself. */
export function tokenTable(caption, help, rows) {
  if (!rows.length) return h("div.tokens", {}, h("h3", {}, caption), h("p.none", {}, "Nothing was counted."));
  const body = h("tbody");
  const heads = [];
  const more = h("button.quiet", { type: "button", on: { click: () => draw(sorted, true) } }, `All ${rows.length}`);
  let sorted = "count";
  const draw = (key, all = false) => {
    sorted = key;
    const list = [...rows].sort((a, b) => (b[key] ?? -Infinity) - (a[key] ?? -Infinity)).slice(0, all ? undefined : 10);
    body.replaceChildren(...list.map((row) => h("tr", {}, h("th", { scope: "row" }, tokenCell(row.text, row.token)), COLUMNS.map(([name, , cell]) => h(`td.number.${name}`, {}, cell(row))))));
    for (const head of heads) {
      if (head.dataset.key === key) head.setAttribute("aria-sort", "descending");
      else head.removeAttribute("aria-sort");
    }
    more.hidden = all || rows.length <= 10;
  };
  for (const [key, title] of COLUMNS) {
    heads.push(h("th.number", { scope: "col", "data-key": key }, h("button", { type: "button", on: { click: () => draw(key, more.hidden) } }, title)));
  }
  draw("count");
  return h(
    "div.tokens",
    {},
    h("h3", {}, caption),
    h("p.help", {}, help),
    h("table", { "aria-label": caption }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Token"), heads)), body),
    more,
  );
}
