// What a dataset would teach: behaviours and clusters of features, ranked, with intervals, sides and topics.

import { announce, append, h, replace, said } from "./dom.js";
import { count, number, share } from "./numbers.js";
import { field, trouble } from "./parts.js";
import { SIDES, changeCell, choice, columnLink, more, sideBadge, standsBadge } from "./preference_parts.js";
import { address, remember } from "./route.js";
import { ask, newest } from "./server.js";

const PAGE = 100;
const RISING = new Set(["rank", "column", "kind", "p", "half", "topic"]);
const COLUMNS = [
  ["rank", "#", "number"], ["column", "Behaviour or cluster", ""], ["change", "Predicted change", ""], ["p", "p", "number"],
  ["lean", "Leans to", ""], ["topic", "Leading topic", ""], ["half", "Rows for half", "number"],
];
const HELP = {
  change: "With its 95 % interval; more to the right",
  p: "That labels say nothing, adjusted over columns; it stands where both halves of the data agree too",
  lean: "Which replies have more of it, by the share of pairs that differ in it",
  half: "The fewest rows that hold half of all pushes with the change",
};

function choices(query) {
  return {
    query: query.q ?? "",
    kind: query.kind ?? "",
    leans: SIDES.includes(query.leans) ? query.leans : "",
    stands: query.stands === "1",
    sort: COLUMNS.some(([key]) => key === query.sort) ? query.sort : "rank",
    descending: query.down === "1",
  };
}

function request(chosen, offset) {
  return {
    query: chosen.query, kind: chosen.kind || null, leans: chosen.leans || null, stands: chosen.stands ? true : null,
    sort: chosen.sort, descending: chosen.descending, offset, limit: PAGE,
  };
}

function head(chosen, sortBy) {
  return h("thead", {}, h("tr", {}, COLUMNS.map(([key, title, kind]) =>
    h(`th.${key}${kind ? `.${kind}` : ""}`, { scope: "col", title: HELP[key], "aria-sort": chosen.sort === key ? (chosen.descending ? "descending" : "ascending") : null },
      h("button", { type: "button", on: { click: () => sortBy(key) } }, title)))));
}

function line(overview, entry, most) {
  const lean = typeof entry.lean === "number" ? `${share(entry.lean)} (${share(entry.lean_low)} to ${share(entry.lean_high)}) of pairs that differ have more in the chosen reply` : null;
  return h("tr", {},
    h("td.rank.number", {}, count(entry.rank)),
    h("th.column", { scope: "row" }, columnLink(overview, entry.column), h("span.tag", {}, said(entry.kind)), entry.meaning && h("span.meaning", {}, said(entry.meaning))),
    h("td.change", {}, changeCell(entry, most)),
    h("td.p.number", {}, standsBadge(entry.stands), " ", h("span.dim", {}, typeof entry.p === "number" ? `p ${entry.p < 0.001 ? "<.001" : share(entry.p, 3)}` : "")),
    h("td.lean", {}, sideBadge(entry.leans, lean)),
    h("td.topic", {}, entry.topic ? h("a", { href: address(overview.id, "pairs", { topic: entry.topic, column: entry.column }) }, said(entry.topic)) : h("span.none", {}, "–")),
    h("td.half.number", {}, number(entry.half)));
}

function facts(overview) {
  const list = [
    [count(overview.pairs), "pairs"], [count(overview.prompts), "prompts"], [`${count(overview.stands)} of ${count(overview.columns)}`, "columns stand"],
    overview.features > 0 && [count(overview.features), `features in ${count(overview.clusters)} clusters`], [count(overview.removed), "rows removed"],
  ].filter(Boolean);
  return h("dl.facts", {}, list.map(([value, name]) => h("div", {}, h("dt", {}, name), h("dd", {}, h("b", {}, value)))));
}

export async function show(page) {
  const { overview, signal } = page;
  const chosen = choices(page.route.query);
  const errors = h("div");
  const body = h("tbody");
  const table = h("table.ranked", { "aria-label": `Predicted changes of ${overview.title}` });
  const asked = newest(150, signal);
  let rows = [];
  const next = more(() => load(signal, rows.length).catch(failed));
  const failed = (error) => error.name !== "AbortError" && replace(errors, trouble(error));

  const load = async (stop, offset) => {
    const answer = await ask(overview.id, "preferences-columns", request(chosen, offset), stop);
    rows = offset ? [...rows, ...answer.rows] : answer.rows;
    replace(errors);
    replace(table, head(chosen, sortBy), body);
    replace(body, rows.map((entry) => line(overview, entry, answer.most)));
    next.update(rows.length, answer.total, "columns");
    announce(`${count(answer.total)} columns`);
  };
  const changed = (changes) => {
    Object.assign(chosen, changes);
    remember({ q: chosen.query, kind: chosen.kind, leans: chosen.leans, stands: chosen.stands, sort: chosen.sort === "rank" ? "" : chosen.sort, down: chosen.descending }, { step: !("query" in changes) });
    asked((stop) => load(stop, 0), failed);
  };
  const sortBy = (key) => changed({ sort: key, descending: chosen.sort === key ? !chosen.descending : !RISING.has(key) });

  append(
    page.root,
    h("h1", {}, "What ", said(overview.data || overview.run), " would teach ", said(overview.target)),
    overview.caption && h("details", {}, h("summary", {}, "How to read this", overview.unit && [": changes are in ", said(overview.unit)]), h("p.lead", {}, said(overview.caption))),
    facts(overview),
    h("form.filters", { role: "search", on: { submit: (event) => event.preventDefault() } },
      field("Search", h("input", { type: "search", value: chosen.query, maxlength: "200", "data-first-field": true, placeholder: "a behaviour, a word, a topic", autocomplete: "off", spellcheck: "false", on: { input: (event) => changed({ query: event.target.value }) } }), "wide"),
      overview.kinds.length > 1 && field("Kind", choice([["", "all"], ...overview.kinds.map((kind) => [kind, kind])], chosen.kind, (kind) => changed({ kind }))),
      field("Leans to", choice([["", "any"], ...SIDES.map((side) => [side, side])], chosen.leans, (leans) => changed({ leans }))),
      h("fieldset.field", {}, h("legend", {}, "Show"), h("label.tick", {}, h("input", { type: "checkbox", checked: chosen.stands, on: { change: (event) => changed({ stands: event.target.checked }) } }), "only what stands"))),
    errors,
    h("div.scroll.ranked-place", {}, table),
    next.root,
  );
  await load(signal, 0).catch(failed);
  return "Predictions";
}
