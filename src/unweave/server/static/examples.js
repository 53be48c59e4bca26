// Example windows of a feature: a sample of where it fires, drawn evenly, not the strongest ones.

import { h, replace, said } from "./dom.js";
import { count } from "./numbers.js";
import { remember } from "./route.js";
import { largestActivation, legend, reading, shadedText } from "./shading.js";

function entry(example, number, scale) {
  const readout = h("span.readout", { "aria-live": "off" }, reading(example.tokens[example.offset] ?? example.tokens[0]));
  const about = `Example ${number}, ${example.label}, ${example.held ? "held out" : "shown"}`;
  return h(
    "li.example",
    {},
    h(
      "p.about",
      {},
      h("span.number", {}, number), " ", said(example.label),
      example.held && h("span.tag", { title: "Held-out windows score labels; labellers never see them" }, "held out"),
      h("span.where", {}, `window ${count(example.window)}, token ${count(example.position)}`),
      readout,
    ),
    shadedText(example.tokens, {
      scale,
      focus: example.offset,
      label: about,
      read: (token) => replace(readout, reading(token)),
    }),
  );
}

/** A text to ask the model about a feature: up to a token where it fires fully, with as much before it as there is. */
export function prompt(list) {
  const shown = list.filter((example) => !example.held);
  const all = shown.length ? shown : list;
  const importance = (example) => example.tokens[example.offset]?.importance ?? 0;
  const full = all.filter((example) => importance(example) > 0.9);
  const [best] = full.length
    ? full.sort((a, b) => b.offset - a.offset)
    : [...all].sort((a, b) => importance(b) - importance(a));
  return best?.tokens.slice(0, best.offset + 1).map((token) => token.text).join("") ?? "";
}

/** The examples with their legend, and a choice of the corpus label they come from. */
export function examples(list, chosen) {
  if (!list.length) return h("p.none", {}, "It never fired in the harvest, so there is no example.");
  const scale = largestActivation(list.flatMap((example) => example.tokens));
  const labels = [...new Set(list.map((example) => example.label))].sort();
  const place = h("ol.examples");
  const draw = (label) =>
    replace(place, list.filter((example) => !label || example.label === label).map((example, at) => entry(example, at + 1, scale)));
  const select = h(
    "select",
    { "aria-label": "Examples from", on: { change: (event) => (remember({ from: event.target.value }), draw(event.target.value)) } },
    h("option", { value: "" }, `all ${list.length}`),
    labels.map((label) => h("option", { value: label }, `${label} (${list.filter((example) => example.label === label).length})`)),
  );
  const first = labels.includes(chosen) ? chosen : "";
  select.value = first;
  draw(first);
  return [h("div.examples-head", {}, legend({ framed: true }), labels.length > 1 && select), place];
}
