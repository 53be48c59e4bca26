// Arms of a comparison: means over seeds, differences paired by seed, and the noise floor below which none is believed.

import { range } from "./curve_scale.js";
import { h, s, said } from "./dom.js";
import { runLink } from "./lab_parts.js";
import { count, number } from "./numbers.js";

const WIDTH = 160;

/** A value with its interval on a scale that all rows share. A floor is a band either side of no difference. */
function whisker(middle, low, high, across, floor = null) {
  if (middle === null || !across) return h("span.none", {}, "–");
  const [least, most] = across;
  const at = (value) => 4 + ((WIDTH - 8) * (value - least)) / (most - least || 1);
  return s("svg.whisker", { viewBox: `0 0 ${WIDTH} 16`, "aria-hidden": "true" },
    floor !== null && s("rect.floor", { x: at(-floor), y: 1, width: Math.max(1, at(floor) - at(-floor)), height: 14 }),
    s("line.axis", { x1: 0, x2: WIDTH, y1: 8, y2: 8 }),
    floor !== null && s("line.chance", { x1: at(0), x2: at(0), y1: 1, y2: 15 }),
    low !== null && high !== null && s("line.range", { x1: at(low), x2: at(high), y1: 8, y2: 8 }),
    s("circle", { cx: at(middle), cy: 8, r: 3.5 }));
}

/** A number with the decimals that its uncertainty allows. */
function exact(value, digits, signed = false) {
  if (typeof value !== "number") return "–";
  const text = value.toFixed(digits);
  return `${signed && value > 0 ? "+" : ""}${text}`.replace("-", "−");
}

function spread(low, high, digits) {
  return low === null || high === null ? "–" : `${exact(low, digits)} to ${exact(high, digits)}`;
}

function chance(value) {
  return typeof value === "number" && value < 0.001 ? "< 0.001" : number(value);
}

function verdictOf(arm) {
  const good = { better: "good", worse: "bad" }[arm.verdict] ?? "open";
  return h(`span.verdict.${good}`, {}, said(arm.verdict));
}

function table(label, heads, body) {
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": label }, h("table", {},
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, body)));
}

function means(answer) {
  const across = range(answer.arms.flatMap((arm) => [arm.mean, arm.low, arm.high, ...arm.values]));
  const { digits } = answer;
  return table("Means over seeds", ["Arm", "Seeds", "Mean", "95 % interval", "", "Median", "Runs"], answer.arms.map((arm) => h("tr", {},
    h("th", { scope: "row" }, said(arm.name)),
    h("td", { title: `seeds ${arm.seeds.join(", ")}` }, count(arm.seeds.length), arm.seeds.length < 3 && h("span.tag", {}, "too few")),
    h("td", {}, h("b", {}, exact(arm.mean, digits))), h("td", {}, spread(arm.low, arm.high, digits)),
    h("td", {}, whisker(arm.mean, arm.low, arm.high, across)), h("td", {}, exact(arm.median, digits)),
    h("td", {}, arm.runs.map((run, at) => [at ? ", " : "", runLink(run)])))));
}

function differences(answer) {
  const [base, ...others] = answer.arms;
  if (!others.length) return h("p.none", {}, "There is one arm, and nothing to compare it with.");
  const across = range(others.flatMap((arm) => [arm.difference, arm.difference_low, arm.difference_high, arm.floor, arm.floor === null ? null : -arm.floor, 0]));
  const { digits } = answer;
  return [
    h("p.help", {}, "Less ", said(base.name), `, paired by seed. ${answer.better === "lower" ? "Lower" : "Higher"} is better. The band is the noise floor: what arms equal to it stay within. An arm is called better or worse only past it.`),
    table("Paired differences", ["Arm", "Shared seeds", "Difference", "95 % interval", "", "Noise floor", "p, by Holm", "Verdict"], others.map((arm) => h("tr", {},
      h("th", { scope: "row" }, said(arm.name)), h("td", {}, count(arm.pairs)), h("td", {}, h("b", {}, exact(arm.difference, digits, true))),
      h("td", {}, spread(arm.difference_low, arm.difference_high, digits)),
      h("td", {}, whisker(arm.difference, arm.difference_low, arm.difference_high, across, arm.floor)),
      h("td", {}, exact(arm.floor, digits), arm.detectable !== null && h("p.reason", {}, `${exact(arm.detectable, digits)} would be seen 4 times in 5`)),
      h("td", { title: arm.test }, chance(arm.adjusted)), h("td", {}, verdictOf(arm))))),
  ];
}

/** The answer of a comparison. */
export function arms(answer) {
  return [
    h("p.lead", {}, h("code", {}, said(answer.measure)), " of ", said(answer.study), answer.by.length > 0 && [", by ", said(answer.by.join(", "))]),
    means(answer),
    h("h3.pairs-title", {}, "Differences"),
    differences(answer),
    h("ul.sentences", {}, answer.said.filter((one) => !one.startsWith("left out: ")).map((one) => h("li", {}, said(one)))),
    answer.left_out.length > 0 && h("ul.sentences", {}, answer.left_out.map((one) => h("li", {}, "Left out: ", runLink(one.run), " ", said(one.reason)))),
  ];
}
