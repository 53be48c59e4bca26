// One behaviour or cluster: what every predictor says, on which side it fires, by topic, and the rows that push it.

import { append, h, said } from "./dom.js";
import { count, number } from "./numbers.js";
import { section } from "./parts.js";
import { SIDES, changeCell, leanCell, pairLink, sideBadge, sideBar, signed, standsBadge } from "./preference_parts.js";
import { address } from "./route.js";
import { ask } from "./server.js";

const WHERE = { chosen: "on the chosen reply alone", rejected: "on the rejected reply alone", both: "on both", neither: "on neither" };

function head(...names) {
  return h("thead", {}, h("tr", {}, names.map(([title, kind]) => h(kind ? `th.${kind}` : "th", { scope: "col" }, title))));
}

function predictors(list) {
  if (!list.length) return h("p.none", {}, "No other predictor was asked.");
  return [
    h("p.help", {}, "Each in its own unit where it is not calibrated: compare signs, not sizes."),
    h("table.predictors", { "aria-label": "By the other predictors" }, head(["Other predictors"], ["Change", "number"]), h("tbody", {}, list.map((one) =>
      h("tr", {}, h("th", { scope: "row" }, said(one.name), h("span.meaning", {}, said(one.meaning))), h("td.number", {}, signed(one.change)))))),
  ];
}

function sides(overview, answer) {
  if (!answer.sides) return h("p.none", {}, "It was not measured in the pairs.");
  const link = (side) => address(overview.id, "pairs", { column: answer.column.column, side });
  return [
    sideBar(answer.sides),
    h("ul.side-list", {}, SIDES.map((side) => h("li", {}, h(`span.swatch.on-${side}`, { "aria-hidden": "true" }), h("a", { href: link(side) }, `${count(answer.sides[side])} ${WHERE[side]}`)))),
    leanCell(answer.sides),
  ];
}

function topics(overview, answer) {
  if (!answer.topics.length) return h("p.none", {}, "No topics are known.");
  return [
    answer.topics_of < overview.pairs && h("p.help", {}, `Of the ${count(answer.topics_of)} rows on the map, out of ${count(overview.pairs)}.`),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "By topic" }, h("table", {}, head(["Topic"], ["Rows", "number"], ["Fires"], ["More in chosen", "number"], ["More in rejected", "number"]), h("tbody", {}, answer.topics.slice(0, 40).map((one) =>
      h("tr", {},
        h("th", { scope: "row" }, h("a", { href: address(overview.id, "pairs", { column: answer.column.column, topic: one.topic }) }, said(one.topic))),
        h("td.number", {}, count(one.rows)), h("td", {}, sideBar(one.sides)), h("td.number", {}, count(one.sides.more_chosen)), h("td.number", {}, count(one.sides.more_rejected))))))),
  ];
}

function rows(overview, answer) {
  if (!answer.rows.length) return h("p.none", {}, "The run kept no rows of this column.");
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Rows that push it" }, h("table", {}, head(["#", "number"], ["Row"], ["Share", "number"], ["Fires on"], ["Chosen", "number"], ["Rejected", "number"], ["Prompt"]), h("tbody", {}, answer.rows.map((one) =>
    h("tr", {},
      h("td.number", {}, count(one.rank)),
      h("th", { scope: "row" }, pairLink(overview, one, { column: answer.column.column }), one.removed && h("span.tag", {}, "removed")),
      h("td.number", {}, signed(one.share)), h("td", {}, sideBadge(one.side)), h("td.number", {}, number(one.chosen)), h("td.number", {}, number(one.rejected)),
      h("td.beginning", {}, h("span.excerpt", {}, said(one.prompt))))))));
}

export async function show(page) {
  const { overview, route, signal } = page;
  const answer = await ask(overview.id, "preferences-column", { column: route.query.name ?? "", rows: 30 }, signal);
  const { column } = answer;
  const most = Math.max(1e-12, ...[column.change, column.low, column.high].map((value) => Math.abs(value ?? 0)));
  append(
    page.root,
    h("h1", {}, said(column.column)),
    h("p.run-facts", {}, h("span", {}, said(column.kind)), h("span", {}, standsBadge(column.stands)), h("span", {}, "leans to ", sideBadge(column.leans)), answer.unit && h("span", {}, "unit: ", said(answer.unit)), h("span", {}, `rank ${count(column.rank)}`)),
    column.meaning && h("p.lead", {}, said(column.meaning)),
    h("div.columns", {},
      h("div.left", {}, section("Predicted change", changeCell(column, most), h("p.help", {}, overview.by && ["By ", said(overview.by), overview.unit && ", "], overview.unit && ["in ", said(overview.unit)], typeof column.agrees === "boolean" && (column.agrees ? "; both halves of the data agree." : "; the halves of the data disagree.")), predictors(answer.predictors)), section("Rows that push it most", rows(overview, answer), answer.removed > 0 && h("p.help", {}, h("a", { href: address(overview.id, "removed") }, `${count(answer.removed)} rows were removed for it`)))),
      h("div.right", {}, section("Fires on", sides(overview, answer)), section("By topic", topics(overview, answer)),
        answer.feature_count > 0 && section("Features", h("p.feature-list", {}, answer.features.map((name) => h("code", {}, said(name)))), answer.feature_count > answer.features.length && h("p.help", {}, `the first ${count(answer.features.length)} of ${count(answer.feature_count)}`)))),
  );
  return column.column;
}
