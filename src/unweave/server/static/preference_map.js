// Two maps, of rows and of features: near where alike, marked by lean, with the groups as a list beside each.

import { announce, append, h, replace, s, said } from "./dom.js";
import { count, number } from "./numbers.js";
import { visibleText } from "./characters.js";
import { trouble } from "./parts.js";
import { columnLink, pairLink, signed } from "./preference_parts.js";
import { address, remember } from "./route.js";
import { ask } from "./server.js";

const SIZE = 480;
const EDGE = 14;
const NEAR = 18;
const LISTED = 30;
const NAMES = {
  rows: { title: "Rows", group: "topic", groups: "Topics", more: "pushes with the changes that stand", less: "pushes against them" },
  features: { title: "Features", group: "cluster", groups: "Clusters", more: "more in chosen replies", less: "more in rejected replies" },
};

/** Where values stand between two edges; all in the middle where they are one. */
function placed(values, from, to) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return (value) => (high > low ? from + ((value - low) / (high - low)) * (to - from) : (from + to) / 2);
}

function leanOf(value) {
  if (typeof value !== "number" || value === 0) return "level";
  return value > 0 ? "more" : "less";
}

/** One map. `chosen` is the group in sight of all others, which `choose(name)` hears. */
class PreferenceMap {
  constructor({ answer, overview, chosen, choose }) {
    Object.assign(this, { answer, overview, chosen, choose, words: NAMES[answer.of] });
    const x = placed(answer.points.map((point) => point.x), EDGE, SIZE - EDGE);
    const y = placed(answer.points.map((point) => point.y), SIZE - EDGE, EDGE);
    this.places = answer.points.map((point) => ({ point, x: x(point.x), y: y(point.y) }));
    this.marks = this.places.map((place) => s(`circle.point.${leanOf(place.point.lean)}`, { cx: place.x.toFixed(1), cy: place.y.toFixed(1), r: answer.points.length > 800 ? 2.4 : 4 }));
    this.cursor = s("circle.cursor", { r: 8, cx: -20, cy: -20 });
    this.drawing = s("svg.preference-map", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img", "aria-label": this.said() }, this.marks, this.cursor);
    this.drawing.addEventListener("pointermove", (event) => this.point(this.nearest(event)));
    this.drawing.addEventListener("pointerleave", () => this.point(null));
    this.drawing.addEventListener("click", (event) => this.press(this.nearest(event)));
    this.readout = h("p.readout-line", { "aria-live": "off" });
    this.list = h("ul.map-groups", { "aria-label": `${this.words.groups}, which the list chooses as the map does` });
    this.members = h("div.map-members");
    this.root = h("section.map-part", { "aria-label": `Map of ${answer.of}` },
      h("h2", {}, this.words.title, h("small.dim", {}, ` ${count(answer.points.length)} of ${count(answer.total)}`)),
      answer.caption && h("p.help", {}, said(answer.caption)),
      legend(this.words), this.drawing, this.readout, h("h3", {}, this.words.groups), this.list, this.members);
    this.select(chosen, false);
  }

  said() {
    const { points, groups, of } = this.answer;
    return `Map of ${count(points.length)} ${of}. Largest: ${groups.slice(0, 5).map((one) => `${visibleText(one.name)}, ${count(one.points)}`).join("; ")}. The list below chooses the same.`;
  }

  nearest(event) {
    const box = this.drawing.getBoundingClientRect();
    const scale = SIZE / Math.max(1, box.width);
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let best = null;
    let least = (NEAR * scale) ** 2;
    for (const place of this.places) {
      const far = (place.x - x) ** 2 + (place.y - y) ** 2;
      if (far < least) [best, least] = [place, far];
    }
    return best;
  }

  point(place) {
    this.cursor.setAttribute("cx", place ? place.x : -20);
    this.cursor.setAttribute("cy", place ? place.y : -20);
    replace(this.readout, place && [said(place.point.name), " · ", said(place.point.group ?? `no ${this.words.group}`), typeof place.point.lean === "number" && ` · ${signed(place.point.lean)}`, place.point.label && [h("br"), said(place.point.label)]]);
  }

  press(place) {
    if (!place) return;
    this.point(place);
    if (place.point.group !== null) this.select(place.point.group, true);
    this.show(place.point.group, place.point);
  }

  /** Shows one group before all others, or all alike; chosen again, it is let go. */
  select(name, told) {
    this.chosen = name;
    this.places.forEach((place, at) => this.marks[at].classList.toggle("aside", name !== null && place.point.group !== name));
    this.drawList();
    this.show(name, null);
    if (!told) return;
    this.choose(name);
    announce(name === null ? "all points" : `${visibleText(name)} chosen`);
  }

  drawList() {
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.group : null;
    replace(this.list, this.answer.groups.slice(0, 60).map((group) => h("li", {},
      h("button.quiet", { type: "button", "data-group": group.name, "aria-pressed": String(group.name === this.chosen), on: { click: () => this.select(group.name === this.chosen ? null : group.name, true) } },
        said(group.name), h("span.dim", {}, ` ${count(group.points)}`, typeof group.lean === "number" && `, mean ${signed(group.lean)}`)))));
    if (focused !== null) [...this.list.querySelectorAll("button")].find((one) => one.dataset.group === focused)?.focus();
  }

  show(name, pressed) {
    if (name === null && !pressed) {
      replace(this.members);
      return;
    }
    const inside = pressed ? [pressed, ...this.of(name).filter((point) => point !== pressed)] : this.of(name);
    const rows = this.answer.of === "rows";
    replace(this.members,
      name !== null && h("p", {}, h("b", {}, said(name)), " · ", rows ? h("a", { href: address(this.overview.id, "pairs", { topic: name }) }, "its pairs") : /^cluster:\d+$/.test(name) && columnLink(this.overview, name)),
      h("ol.map-points", {}, inside.slice(0, LISTED).map((point) => h("li", {}, rows ? pairLink(this.overview, { row: point.row, id: point.name }) : said(point.name), typeof point.lean === "number" && h("span.dim", {}, ` ${signed(point.lean)}`)))),
      inside.length > LISTED && h("p.help", {}, `the first ${LISTED} of ${number(inside.length)}`));
  }

  of(name) {
    return this.answer.points.filter((point) => name !== null && point.group === name);
  }
}

function legend(words) {
  const mark = (kind, words) => h("span", {}, s("svg.swatch-point", { viewBox: "0 0 12 12", width: "12", height: "12", "aria-hidden": "true" }, s(`circle.point.${kind}`, { cx: 6, cy: 6, r: 4 })), ` ${words}`);
  return h("p.legend", {}, mark("more", words.more), mark("less", words.less), mark("level", "neither"));
}

export async function show(page) {
  const { overview, route, signal } = page;
  const place = h("div.maps");
  append(page.root, h("h1", {}, "Maps"), h("p.lead", {}, "Near where alike; directions and distances between far points mean nothing."), place);
  if (!overview.maps.length) append(place, h("p.none", {}, "This run drew no maps."));
  for (const { of } of overview.maps) {
    try {
      const answer = await ask(overview.id, "preferences-map", { of }, signal);
      const wanted = route.query[of] ?? null;
      const chosen = answer.groups.some((group) => group.name === wanted) ? wanted : null;
      append(place, new PreferenceMap({ answer, overview, chosen, choose: (name) => remember({ [of]: name }) }).root);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      append(place, trouble(error));
    }
  }
  return "Maps";
}
