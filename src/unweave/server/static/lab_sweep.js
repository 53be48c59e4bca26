// The part of the start form that varies fields: every combination of some values, or draws from values and ranges.

import { h, replace } from "./dom.js";
import { button } from "./lab_parts.js";
import { field } from "./parts.js";

const RANGE = /^(float|log|int|logint):[^:]+:[^:]+$/;
const MOST = 6;

/** What varies, from rows of `[field, text]`: a text with commas is a list, `log:1e-4:1e-1` and its like are ranges. */
export function space(rows, draws, written) {
  const fields = Object.fromEntries(rows.filter(([name, text]) => name && text.trim()).map(([name, text]) => {
    const plain = text.trim();
    if (RANGE.test(plain)) return [name, plain];
    const list = plain.startsWith("[") ? written(plain) : plain.split(",").map((one) => written(one));
    return [name, Array.isArray(list) ? list : [list]];
  }));
  return draws > 0 ? { random: fields, draws } : { grid: fields };
}

/**
 * A closed part with rows of a field and its values. `start(request)` hears what makes a sweep of a run: its space and
 * its seeds.
 */
export function sweeping(fields, written, start) {
  const rows = [];
  const place = h("div.sweep-rows");
  const row = () => {
    const select = h("select", {}, h("option", { value: "" }, "choose a field"), fields.map((one) => h("option", { value: one.name }, one.name)));
    const values = h("input", { placeholder: "4, 8, 16 or log:1e-4:1e-1", autocomplete: "off", spellcheck: "false", maxlength: "2000" });
    rows.push([select, values]);
    replace(place, rows.map(([one, other]) => h("div.filters", {}, field("Field", one), field("Values", other, "wide"))));
    more.hidden = rows.length >= MOST;
  };
  const more = button("Another field", row);
  const seeds = h("input", { type: "number", min: "1", max: "100", step: "1", value: "3" });
  const draws = h("input", { type: "number", min: "0", max: "10000", step: "1", value: "0" });
  const send = button("Start the sweep", () => start({
    ...space(rows.map(([one, other]) => [one.value, other.value]), Math.round(Number(draws.value)), written),
    seeds: Math.round(Number(seeds.value)),
  }), { quiet: false });
  row();
  return h("details.write", {}, h("summary", {}, "Vary some of it: a sweep"),
    h("p.help", {}, "Without draws every combination is run, each on several seeds; with draws that many configs are drawn from the values and ranges."),
    place, h("p.buttons", {}, more),
    h("div.filters", {}, field("Seeds each", seeds, "short"), field("Draws", draws, "short")), h("p.buttons", {}, send));
}
