// Histograms as SVG: equal-width bars over the harvest's own bins, with axes, and all of it as words too.

import { h, s } from "./dom.js";
import { count, number, percent } from "./numbers.js";

const WIDTH = 340;
const HEIGHT = 144;
const LEFT = 46;
const RIGHT = 8;
const TOP = 20;
const BOTTOM = 34;

function ticks(largest, log) {
  if (log) {
    const list = [];
    for (let power = 0; 10 ** power <= largest * 1.0001; power += 1) list.push(10 ** power);
    const every = Math.ceil(list.length / 4);
    return list.filter((_, at) => at % every === 0);
  }
  const step = 10 ** Math.floor(Math.log10(largest || 1));
  const size = [0.2, 0.5, 1, 2, 5].map((one) => one * step).find((one) => largest / one <= 4) ?? step;
  const list = [];
  for (let value = 0; value <= largest * 1.0001; value += size) list.push(value);
  return list;
}

function median(counts, edges) {
  const total = counts.reduce((sum, one) => sum + one, 0);
  let seen = 0;
  for (let bin = 0; bin < counts.length; bin += 1) {
    seen += counts[bin];
    if (total && seen * 2 >= total) return [edges[bin], edges[bin + 1]];
  }
  return null;
}

function words(title, counts, edges) {
  const total = counts.reduce((sum, one) => sum + one, 0);
  if (!total) return `${title}: nothing counted`;
  const filled = counts.map((one, bin) => (one ? bin : -1)).filter((bin) => bin >= 0);
  const middle = median(counts, edges);
  return (
    `${title}: ${count(total)} counted, from ${number(edges[filled[0]])} to ${number(edges[filled.at(-1) + 1])}, ` +
    `median between ${number(middle[0])} and ${number(middle[1])}`
  );
}

function table(edges, series) {
  return h(
    "details.numbers",
    {},
    h("summary", {}, "Numbers"),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Numbers of the histogram" }, h(
      "table",
      {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "from"), h("th", { scope: "col" }, "to"), series.map((one) => h("th.number", { scope: "col" }, one.name)))),
      h("tbody", {}, edges.slice(0, -1).map((edge, bin) => h("tr", {}, h("td.number", {}, number(edge)), h("td.number", {}, number(edges[bin + 1])), series.map((one) => h("td.number", {}, count(one.counts[bin])))))),
    )),
  );
}

/** Where 0 stands, in bins, if values lie on both sides of it; null else. */
function zeroAt(edges) {
  const after = edges.findIndex((edge) => edge >= 0);
  if (after < 1) return null;
  return edges[after] === 0 ? after : after - 0.5;
}

/** The bins from the first to the last that hold anything, with one empty bin either side. */
function inSight(edges, series) {
  const filled = edges.slice(0, -1).map((_, bin) => bin).filter((bin) => series.some((one) => one.counts[bin] > 0));
  if (filled.length === 0 || edges.length < 25) return { edges, series };
  const first = Math.max(0, filled[0] - 1);
  const last = Math.min(edges.length - 1, filled.at(-1) + 2);
  return { edges: edges.slice(first, last + 1), series: series.map((one) => ({ ...one, counts: one.counts.slice(first, last) })) };
}

/**
 * A histogram. `series` holds one `{name, counts}` drawn as bars and perhaps a second drawn as an outline; with two,
 * each is shown as a share of its own total. `log` counts in powers of ten. `axis` and `up` name what runs across and
 * upwards.
 */
export function histogram({ title, edges: all, series: full, axis, up, log = false, labels = null }) {
  const { edges, series } = inSight(all, full);
  const totals = series.map((one) => one.counts.reduce((sum, value) => sum + value, 0));
  const shares = series.length > 1;
  const heights = series.map((one, at) => one.counts.map((value) => (shares ? value / Math.max(1, totals[at]) : value)));
  const largest = Math.max(...heights.flat(), shares ? 1e-9 : 1);
  const bins = edges.length - 1;
  const x = (bin) => LEFT + ((WIDTH - LEFT - RIGHT) * bin) / bins;
  const scale = log ? (value) => Math.log10(1 + value) / Math.log10(1 + largest) : (value) => value / largest;
  const y = (value) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * scale(value);
  const base = HEIGHT - BOTTOM;
  const every = Math.max(1, Math.ceil(bins / 6));
  const zero = zeroAt(edges);
  const marks = edges
    .map((edge, bin) => [edge, bin])
    .filter(([, bin]) => bin % every === 0 || (bin === bins && bins % every > every / 2))
    .filter(([, bin]) => zero === null || Math.abs(bin - zero) >= every / 2);
  const drawing = s(
    "svg.histogram",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": series.map((one) => words(series.length > 1 ? `${title}, ${one.name}` : title, one.counts, edges)).join(". ") },
    ticks(largest, log).map((tick) => [
      s("line.grid", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }),
      s("text", { x: LEFT - 5, y: y(tick) + 3.5, "text-anchor": "end" }, shares ? percent(tick) : log && tick >= 1e4 ? number(tick) : count(tick)),
    ]),
    heights[0].map((value, bin) =>
      value > 0 ? s("rect.counted", { x: x(bin) + 0.5, width: Math.max(1, x(bin + 1) - x(bin) - 1), y: Math.min(y(value), base - 1), height: Math.max(1, base - y(value)) },
        s("title", {}, `${number(edges[bin])} to ${number(edges[bin + 1])}: ${count(series[0].counts[bin])}`)) : null,
    ),
    heights[1] && s("path.outline", { d: heights[1].map((value, bin) => `${bin ? "L" : "M"}${x(bin)} ${y(value)}H${x(bin + 1)}`).join("") }),
    s("line.axis", { x1: LEFT, x2: WIDTH - RIGHT, y1: base, y2: base }),
    marks.map(([edge, bin]) => [
      s("line.axis", { x1: x(bin), x2: x(bin), y1: base, y2: base + 3 }),
      s("text", { x: x(bin), y: base + 14, "text-anchor": "middle" }, labels ? labels(edge) : number(edge)),
    ]),
    zero !== null && [
      s("line.zero", { x1: x(zero), x2: x(zero), y1: TOP, y2: base + 3 }),
      s("text.zero-name", { x: x(zero), y: base + 14, "text-anchor": "middle" }, "0"),
    ],
    s("text.up-name", { x: LEFT - 5, y: 9 }, `↑ ${up}`),
    s("text.axis-name", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, axis),
  );
  return h(
    "figure.chart",
    {},
    h("figcaption", {}, title, shares && h("span.key", {}, h("span.swatch.counted", { "aria-hidden": "true" }), series[0].name, h("span.swatch.outline", { "aria-hidden": "true" }), series[1].name)),
    drawing,
    table(all, full),
  );
}
