// A label's scores on held-out examples, each as a mark with its interval against chance.

import { h, s } from "./dom.js";
import { count, interval, number, share } from "./numbers.js";

const CHANCE = { detection: 0.5, fuzzing: 0.5, intruder: null };
const MEANS = {
  detection: "telling examples where it fires from others by the label alone (balanced accuracy)",
  fuzzing: "telling the right marked tokens from wrong ones by the label alone (balanced accuracy)",
  intruder: "picking the example that does not belong; needs no label",
};
const WIDTH = 160;

function whisker(value, low, high, chance) {
  const x = (score) => 4 + (WIDTH - 8) * Math.min(1, Math.max(0, score));
  return s(
    "svg.whisker",
    { viewBox: `0 0 ${WIDTH} 16`, "aria-hidden": "true" },
    s("line.axis", { x1: x(0), x2: x(1), y1: 8, y2: 8 }),
    chance !== null && s("line.chance", { x1: x(chance), x2: x(chance), y1: 1, y2: 15 }),
    typeof low === "number" && typeof high === "number" && s("line.range", { x1: x(low), x2: x(high), y1: 8, y2: 8 }),
    s("circle", { cx: x(value), cy: 8, r: 3.5 }),
  );
}

/** A table of scores. Names ending in `_low` and `_high` are a score's interval, in `_trials` how many it rests on. */
export function scores(all) {
  const names = Object.keys(all).filter((name) => !/_(low|high|trials)$/.test(name) && typeof all[name] === "number");
  if (!names.length) return h("p.none", {}, "This label was not scored.");
  const scored = names.filter((name) => `${name}_low` in all || name in CHANCE);
  const others = names.filter((name) => !scored.includes(name));
  return [
    h("table.scores", { "aria-label": "Scores on held-out examples" }, h("tbody", {}, scored.map((name) => {
      const [low, high] = [all[`${name}_low`], all[`${name}_high`]];
      const control = all[`${name}_control`];
      const chance = control ?? CHANCE[name] ?? null;
      return h(
        "tr",
        { title: MEANS[name] },
        h("th", { scope: "row" }, name.replaceAll("_", " ")),
        h("td", {}, whisker(all[name], low, high, chance)),
        h("td.number", {}, interval(all[name], low, high)),
        h("td.number.help", {}, `${name}_trials` in all ? `${count(all[`${name}_trials`])} trials` : ""),
        h("td.help", {}, chance === null ? "" : `${typeof control === "number" ? "control" : "chance"} ${share(chance)}`),
      );
    }))),
    others.length > 0 && h("dl.facts.small", {}, others.map((name) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, number(all[name]))])),
  ];
}
