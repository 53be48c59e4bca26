// One pair: the conversation, both replies side by side and shaded by a column, and what was measured of each.

import { tokenText, visibleText } from "./characters.js";
import { announce, append, h, replace, said } from "./dom.js";
import { number, share } from "./numbers.js";
import { field, section, trouble } from "./parts.js";
import { choice, columnLink, sideBadge, signed, standsBadge } from "./preference_parts.js";
import { address, remember } from "./route.js";
import { ask, newest } from "./server.js";
import { shadedText } from "./shading.js";

/** The entry of the list of columns that shades nothing and names what fires. */
const TOKENS = "tokens";

/** What one part of a text is, in words. */
function reading(part, read) {
  const text = tokenText(part.text);
  if (read === "words") return `${text}  ${part.value === 0 ? "changes nothing" : `${signed(part.value)} with it`}`;
  const fired = part.firing.map((one) => `${one.column} ${share(one.share)} of its features, up to ${number(one.activation)}`);
  return `${text}  ${fired.length ? fired.join("; ") : "no cluster fires"}`;
}

/** A text with its parts shaded by how much each has of the column, or plain. */
function text(span, read, most, label, shaded) {
  const cut = span.cut && h("p.help", {}, "Some of this text was not read for the shading, or is not shown.");
  if (read === "nothing" || !shaded) return [h("p.whole-text", { dir: "auto" }, said(span.parts.map((part) => part.text).join(""))), cut];
  const readout = h("p.readout-line", { "aria-live": "off" });
  const tokens = span.parts.map((part) => ({
    text: part.text, part, importance: Math.max(0, part.value) / most, activation: part.value < 0 ? part.value / most : 0,
  }));
  const say = (token) => reading(token.part, read);
  return [shadedText(tokens, { scale: 1, label, say, read: (token) => replace(readout, visibleText(say(token))) }), readout, cut];
}

function turns(list) {
  return list.map((turn) => h("div.turn", {}, h("p.role", {}, said(turn.role)), h("p.whole-text", { dir: "auto" }, said(turn.content)), turn.cut && h("p.help", {}, "The rest is not shown.")));
}

function values(overview, list, column) {
  if (!list.length) return h("p.none", {}, "Every column is 0 on both sides.");
  const line = (one) => h(one.column === column ? "tr.chosen" : "tr", {},
    h("th", { scope: "row" }, columnLink(overview, one.column)),
    h("td.number", {}, number(one.chosen)), h("td.number", {}, number(one.rejected)), h("td.number", {}, signed(one.chosen - one.rejected)),
    h("td", {}, standsBadge(one.stands)), h("td.number", {}, signed(one.change)));
  const head = [["Column"], ["Chosen", "number"], ["Rejected", "number"], ["Difference", "number"], ["Over all pairs"], ["Change", "number"]];
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "What was measured of both replies" }, h("table.pair-values", {},
    h("thead", {}, h("tr", {}, head.map(([title, kind]) => h(kind ? `th.${kind}` : "th", { scope: "col" }, title)))),
    h("tbody", {}, list.map(line))));
}

function draw(overview, answer, column, shaded) {
  const spans = [answer.prompt, answer.chosen, answer.rejected].filter(Boolean);
  const most = Math.max(1e-9, ...spans.flatMap((span) => span.parts.map((part) => Math.abs(part.value))));
  const reply = (side) => h(`section.reply.${side}`, { "aria-label": `${side} reply` }, h("h2", {}, side === "chosen" ? "Chosen" : "Rejected"), text(answer[side], answer.read, most, `${side} reply`, shaded));
  return [
    answer.note && h("p.problem", {}, said(answer.note)),
    answer.removed && h("p.removed-note", {}, h("b", {}, "Removed from the cleaned data. "), answer.why.map((why) => [said(why), " "])),
    section("Prompt", answer.prompt && shaded ? text(answer.prompt, answer.read, most, "prompt", shaded) : turns(answer.turns)),
    h("div.pair-two", {}, reply("chosen"), reply("rejected")),
    section("Measured", values(overview, answer.values, column)),
  ];
}

export async function show(page) {
  const { overview, route, signal } = page;
  const asks = route.query.row === undefined ? { id: route.query.id ?? "" } : { row: Number(route.query.row) };
  const chosen = { column: route.query.column ?? "", shaded: route.query.plain !== "1" };
  const columns = await ask(overview.id, "preferences-columns", { limit: 1000 }, signal);
  const place = h("div.pair-place", { "aria-live": "off" });
  const badge = h("span");
  const name = h("h1", {}, "Pair");
  const walk = h("p.buttons.pair-walk");
  const asked = newest(0, signal);
  let answer = null;

  const redraw = () => {
    replace(place, draw(overview, answer, chosen.column, chosen.shaded));
    replace(badge, answer.side && [chosen.column && said(chosen.column), " fires on ", sideBadge(answer.side)]);
    const link = (row, title) => row >= 0 && row < answer.pairs && h("a", { href: address(overview.id, "pair", { row: String(row), column: chosen.column }) }, title);
    replace(walk, link(answer.row - 1, "← Earlier row"), link(answer.row + 1, "Later row →"), h("a", { href: address(overview.id, "pairs", { column: chosen.column === TOKENS ? "" : chosen.column }) }, "All pairs"));
  };
  const load = async (stop) => {
    place.setAttribute("aria-busy", "true");
    const tokens = chosen.column === TOKENS;
    try {
      answer = await ask(overview.id, "preferences-pair", { ...asks, column: tokens ? null : chosen.column || null, tokens }, stop);
      redraw();
      announce(chosen.column ? `shaded by ${visibleText(chosen.column)}` : "not shaded");
    } finally {
      place.removeAttribute("aria-busy");
    }
  };
  const toggle = h("button.quiet", { type: "button", "aria-pressed": String(chosen.shaded), on: { click: () => {
    chosen.shaded = !chosen.shaded;
    toggle.setAttribute("aria-pressed", String(chosen.shaded));
    remember({ plain: !chosen.shaded });
    if (answer) redraw();
  } } }, "Shade");
  const options = [["", "nothing"], overview.tokens.available && [TOKENS, "which clusters fire"], ...columns.rows.map((one) => [one.column, one.column])].filter(Boolean);
  const select = choice(options, chosen.column, (column) => {
    chosen.column = column;
    remember({ column }, { step: true });
    asked(load, (error) => replace(place, trouble(error)));
  });
  append(
    page.root,
    name,
    h("div.filters", {}, field("Shade by", select, "wide"), h("div.field.act", {}, h("span", { "aria-hidden": "true" }, "\u00a0"), toggle)),
    h("p.run-facts", {}, badge, walk),
    place,
  );
  await load(signal);
  replace(name, "Pair ", said(answer.id));
  if (answer.topic) append(badge, " · topic ", h("a", { href: address(overview.id, "pairs", { topic: answer.topic }) }, said(answer.topic)));
  return `Pair ${visibleText(answer.id)}`;
}
