// What is near a feature: alike in what it reads, alike in what it writes, or firing at the same tokens.

import { h, said } from "./dom.js";
import { count, share } from "./numbers.js";
import { featureLink, labelText } from "./parts.js";

function list(overview, title, help, rows, figures, none) {
  return h(
    "div.near",
    {},
    h("h3", {}, title),
    h("p.help", {}, help),
    rows.length
      ? h("table", { "aria-label": title },
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Name and label"), figures.map(([name]) => h("th.number", { scope: "col" }, name)))),
          h("tbody", {}, rows.map((row) =>
            h("tr", {},
              h("td.who", {}, featureLink(overview, row.name), " ", labelText(row.label)),
              figures.map(([, cell]) => h("td.number", {}, cell(row)))))))
      : h("p.none", {}, said(none)),
  );
}

/** Three lists side by side. */
export function neighbours(overview, answer) {
  const none = answer.directions_note || "None.";
  const cosine = [["Cosine", (row) => share(row.cosine)]];
  return h(
    "div.nears",
    {},
    list(overview, "Reads alike", "By the direction that is read", answer.nearest_read, cosine, none),
    list(overview, "Writes alike", "By the direction that is written", answer.nearest_write, cosine, none),
    list(overview, "Fires together", `By tokens shared, counted on the ${count(answer.pool_tokens)} tokens of the harvest's pool`, answer.partners, [
      ["Shared", (row) => count(row.together)],
      ["Jaccard", (row) => share(row.jaccard)],
      ["PMI", (row) => share(row.pmi)],
    ], "It shares no token with any other."),
  );
}
