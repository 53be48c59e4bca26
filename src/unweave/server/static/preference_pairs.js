// The list of pairs: by column and side, topic and text, each with the beginnings of its texts.

import { announce, append, h, replace, said } from "./dom.js";
import { count } from "./numbers.js";
import { field, trouble } from "./parts.js";
import { SIDES, choice, more, pairLink, sideBadge } from "./preference_parts.js";
import { remember } from "./route.js";
import { ask, newest } from "./server.js";

const PAGE = 50;
const TAKEN = { yes: true, no: false };

function choices(query) {
  return {
    text: query.q ?? "", column: query.column ?? "", topic: query.topic ?? "",
    side: SIDES.includes(query.side) && query.column ? query.side : "",
    removed: query.removed in TAKEN ? query.removed : "",
  };
}

function request(chosen, offset) {
  return {
    text: chosen.text, column: chosen.column || null, side: (chosen.column && chosen.side) || null,
    topic: chosen.topic || null, removed: TAKEN[chosen.removed] ?? null, offset, limit: PAGE,
  };
}

function entry(overview, one, column) {
  return h("li.pair-entry", {},
    h("p.about", {}, pairLink(overview, one, { column }), one.topic && said(one.topic), one.side && h("span", {}, "fires on ", sideBadge(one.side)), one.removed && h("span.tag", {}, "removed")),
    one.prompt && h("p.excerpt", {}, said(one.prompt)),
    (one.chosen || one.rejected) && h("div.pair-two", {}, h("p.excerpt", {}, h("b", {}, "chosen "), said(one.chosen)), h("p.excerpt", {}, h("b", {}, "rejected "), said(one.rejected))));
}

export async function show(page) {
  const { overview, signal } = page;
  const chosen = choices(page.route.query);
  const columns = await ask(overview.id, "preferences-columns", { limit: 1000 }, signal);
  const errors = h("div");
  const note = h("div");
  const list = h("ol.pair-list");
  const asked = newest(200, signal);
  let shown = 0;
  const failed = (error) => error.name !== "AbortError" && replace(errors, trouble(error));
  const next = more(() => load(signal, shown).catch(failed));

  const load = async (stop, offset) => {
    const answer = await ask(overview.id, "preferences-pairs", request(chosen, offset), stop);
    replace(errors);
    replace(note, !answer.texts.available && h("p.problem", {}, said(answer.texts.reason)));
    if (!offset) replace(list);
    append(list, answer.rows.map((one) => entry(overview, one, chosen.column)));
    shown = offset + answer.rows.length;
    next.update(shown, answer.total, "pairs");
    announce(`${count(answer.total)} pairs`);
  };
  const side = choice([["", "any"], ...SIDES.map((one) => [one, one])], chosen.side, (value) => changed({ side: value }));
  side.disabled = !chosen.column;
  const changed = (changes) => {
    Object.assign(chosen, changes);
    if (!chosen.column) chosen.side = "";
    side.value = chosen.side;
    side.disabled = !chosen.column;
    remember({ q: chosen.text, column: chosen.column, side: chosen.side, topic: chosen.topic, removed: chosen.removed }, { step: !("text" in changes) });
    asked((stop) => load(stop, 0), (error) => (replace(list), next.update(0, 0, "pairs"), failed(error)));
  };
  append(
    page.root,
    h("h1", {}, "Pairs of ", said(overview.data || overview.run)),
    h("form.filters", { role: "search", on: { submit: (event) => event.preventDefault() } },
      field("Search", h("input", { type: "search", value: chosen.text, maxlength: "200", "data-first-field": true, placeholder: "words of a prompt or a reply", autocomplete: "off", spellcheck: "false", on: { input: (event) => changed({ text: event.target.value }) } }), "wide"),
      field("Behaviour or cluster", choice([["", "none"], ...columns.rows.map((one) => [one.column, one.column])], chosen.column, (column) => changed({ column }))),
      field("Fires on", side),
      overview.topics.length > 0 && field("Topic", choice([["", "all"], ...overview.topics.map((one) => [one.name, one.name])], chosen.topic, (topic) => changed({ topic }))),
      overview.removed > 0 && field("Removed", choice([["", "either"], ["yes", "removed"], ["no", "kept"]], chosen.removed, (removed) => changed({ removed })))),
    errors,
    note,
    list,
    next.root,
  );
  await load(signal, 0).catch(failed);
  return "Pairs";
}
