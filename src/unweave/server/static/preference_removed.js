// Rows that the cleaned data lack, each with the column that it pushes and why it was taken out.

import { append, h, replace, said } from "./dom.js";
import { count } from "./numbers.js";
import { trouble } from "./parts.js";
import { columnLink, more, pairLink, signed } from "./preference_parts.js";
import { ask } from "./server.js";

const PAGE = 100;

export async function show(page) {
  const { overview, signal } = page;
  const body = h("tbody");
  const errors = h("div");
  let shown = 0;
  const load = async () => {
    const answer = await ask(overview.id, "preferences-removed", { offset: shown, limit: PAGE }, signal);
    append(body, answer.rows.map((one) => h("tr", {},
      h("th", { scope: "row" }, pairLink(overview, one, { column: one.column })),
      h("td", {}, one.column ? columnLink(overview, one.column) : "–"),
      h("td.number", {}, signed(one.share)),
      h("td.why", {}, said(one.why)))));
    shown += answer.rows.length;
    next.update(shown, answer.total, "rows");
  };
  const next = more(() => load().catch((error) => error.name !== "AbortError" && replace(errors, trouble(error))));
  append(
    page.root,
    h("h1", {}, "Removed rows"),
    h("p.lead", {}, `${count(overview.removed)} of ${count(overview.pairs)} pairs push what was to be undone. `,
      overview.cleaned && ["The data without them are ", h("code", {}, "cleaned.jsonl"), " in the folder of run ", said(overview.run), ", as TRL reads them."]),
    errors,
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Removed rows" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Row"), h("th", { scope: "col" }, "Pushes"), h("th.number", { scope: "col" }, "Share"), h("th", { scope: "col" }, "Why"))), body)),
    next.root,
  );
  await load();
  return "Removed rows";
}
