// Small parts that the views of a prediction share: badges, whiskers, bars of sides, links.

import { h, s, said } from "./dom.js";
import { count, number, share } from "./numbers.js";
import { address } from "./route.js";

export const SIDES = ["chosen", "rejected", "both", "neither"];
const MARKS = { chosen: "▲", rejected: "▼", both: "◆", neither: "○" };
const WIDTH = 160;

/** A number with its sign, about three digits. */
export function signed(value) {
  return typeof value === "number" && value > 0 ? `+${number(value)}` : number(value);
}

/** `+1.5 (1.1 to 1.9)` */
export function changeText({ change, low, high }) {
  if (typeof change !== "number") return "–";
  return typeof low === "number" && typeof high === "number" ? `${signed(change)} (${signed(low)} to ${signed(high)})` : signed(change);
}

/** Which side a column or a pair is on, as a mark and a word. */
export function sideBadge(side, title) {
  if (!MARKS[side]) return h("span.none", {}, "–");
  return h(`span.side.on-${side}`, { title }, h("span", { "aria-hidden": "true" }, MARKS[side], " "), side);
}

/** Whether a column is said to change. */
export function standsBadge(stands) {
  if (typeof stands !== "boolean") return h("span.none", {}, "–");
  return h("span.stands", {}, h("span", { "aria-hidden": "true" }, stands ? "● " : "○ "), stands ? "stands" : "does not");
}

/** A value and its interval on a line from `from` to `to`, with a mark at `middle`. */
export function whisker({ value, low, high, from, to, middle }) {
  if (typeof value !== "number") return null;
  const place = (one) => 4 + (WIDTH - 8) * Math.min(1, Math.max(0, to > from ? (one - from) / (to - from) : 0.5));
  return s(
    "svg.whisker",
    { viewBox: `0 0 ${WIDTH} 16`, "aria-hidden": "true" },
    s("line.axis", { x1: place(from), x2: place(to), y1: 8, y2: 8 }),
    s("line.chance", { x1: place(middle), x2: place(middle), y1: 1, y2: 15 }),
    typeof low === "number" && typeof high === "number" && s("line.range", { x1: place(low), x2: place(high), y1: 8, y2: 8 }),
    s("circle", { cx: place(value), cy: 8, r: 3.5 }),
  );
}

/** A change with its interval around 0. */
export function changeCell(entry, most) {
  return h("span.change-cell", {}, whisker({ value: entry.change, low: entry.low, high: entry.high, from: -most, to: most, middle: 0 }), h("span.figure", {}, changeText(entry)));
}

/** `92 % of the 23 that differ have more in the chosen reply`, as a whisker with its interval, and in words. */
export function leanCell(sides) {
  if (typeof sides.lean !== "number") return h("p.none", {}, "No pair's replies differ in it.");
  const differ = sides.more_chosen + sides.more_rejected;
  return h("p.lean-line", {},
    whisker({ value: sides.lean, low: sides.lean_low, high: sides.lean_high, from: 0, to: 1, middle: 0.5 }),
    h("span", {}, h("b", {}, share(sides.lean)), ` (${share(sides.lean_low)} to ${share(sides.lean_high)}) of the ${count(differ)} pairs that differ in it have more in the chosen reply; half is no lean. 95 %, pairs taken as independent.`));
}

/** How many pairs a column fires in, by side, as one bar. */
export function sideBar(sides) {
  const total = Math.max(1, SIDES.reduce((sum, side) => sum + sides[side], 0));
  return h("span.side-bar", { role: "img", "aria-label": SIDES.map((side) => `${side} ${count(sides[side])}`).join(", ") },
    SIDES.map((side) => sides[side] > 0 && h(`span.part.on-${side}`, { title: `${side}: ${count(sides[side])}`, vars: { "--size": sides[side] / total } })));
}

export function columnLink(overview, column) {
  return h("a.column-name", { href: address(overview.id, "column", { name: column }) }, said(column));
}

/** A pair by its row, called by its id. */
export function pairLink(overview, { row, id }, query = {}) {
  return h("a.pair-id", { href: address(overview.id, "pair", { row: String(row), ...query }) }, said(id));
}

/** A select of `[value, title]` that tells `changed` what was chosen. */
export function choice(options, value, changed, properties = {}) {
  const select = h("select", { ...properties, on: { change: (event) => changed(event.target.value) } }, options.map(([one, title]) => h("option", { value: one }, title)));
  select.value = value;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
  return select;
}

/** A button that asks for more rows of a list, and how many are shown. */
export function more(press) {
  const words = h("span.total", { role: "status" });
  const button = h("button.quiet", { type: "button", on: { click: press } }, "More");
  const root = h("p.buttons.more", {}, button, words);
  const update = (shown, total, noun) => {
    button.hidden = shown >= total;
    words.textContent = total ? `${count(shown)} of ${count(total)} ${noun}` : `no ${noun}`;
  };
  return { root, update };
}
