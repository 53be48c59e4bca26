// Tokens shaded by what a feature does on each: importance as background and underline, activation as a bar below.

import { tokenText, visible } from "./characters.js";
import { h } from "./dom.js";
import { change, share } from "./numbers.js";

function inside(text) {
  const shown = visible(text).map((part) => (part.mark ? h("span.mark", { title: part.title }, part.text) : part.text));
  return shown.length ? shown : "∅";
}

/** The largest absolute activation, which the bars under the tokens are measured by. */
export function largestActivation(tokens) {
  return Math.max(1e-9, ...tokens.map((token) => Math.abs(token.activation ?? 0)));
}

/** A token's reading in words. */
export function reading(token) {
  return `${tokenText(token.text)}  importance ${share(token.importance)}, activation ${change(token.activation, 2)}`;
}

function shaded(token, scale, { focus = false, say = reading }) {
  const importance = Math.min(1, Math.max(0, token.importance ?? 0));
  const activation = Math.max(-1, Math.min(1, (token.activation ?? 0) / scale));
  const lead = /^ +(?=\S)/.exec(token.text)?.[0] ?? "";
  const classes = ["span.token"];
  if (importance > 0.1) classes.push("fires");
  if (focus) classes.push("focus");
  const element = h(
    classes.join("."),
    {
      role: "img",
      tabindex: "-1",
      title: say(token),
      "aria-label": say(token),
      vars: { "--importance": importance.toFixed(3), "--activation": Math.abs(activation).toFixed(3) },
    },
    inside(token.text.slice(lead.length)),
    Math.abs(activation) > 0.02 && h(activation > 0 ? "i.activation.up" : "i.activation.down", { "aria-hidden": "true" }),
  );
  return [lead, element];
}

/**
 * A line of shaded tokens with one tab stop: the arrow keys walk the tokens, and `read` hears the one with the focus.
 * `say(token)` is its reading in words.
 */
export function shadedText(tokens, { scale, focus = -1, label, read, say = reading }) {
  const line = h("p.shaded", { dir: "auto", role: "group", "aria-label": label }, tokens.map((token, at) => shaded(token, scale, { focus: at === focus, say })));
  const all = [...line.querySelectorAll(".token")];
  const first = all[Math.max(0, focus)];
  if (first) first.tabIndex = 0;
  line.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = all.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    all[Math.max(0, Math.min(all.length - 1, at + step))].focus();
  });
  const hear = (event) => {
    const at = all.indexOf(event.target.closest?.(".token"));
    if (at >= 0) read?.(tokens[at]);
  };
  line.addEventListener("focusin", hear);
  line.addEventListener("pointerover", hear);
  return line;
}

/** What the shading means, drawn with the shading itself; `framed` where one token of a line stands out. */
export function legend({ framed = false } = {}) {
  const sample = (text, importance, activation) => shaded({ text, importance, activation }, 1, {});
  return h(
    "p.legend",
    {},
    h("span", {}, "importance: ", h("span.shaded.inline", {}, sample("0", 0, 0), " ", sample(".25", 0.25, 0), " ", sample(".5", 0.5, 0), " ", sample("1", 1, 0))),
    h("span", {}, "activation: ", h("span.shaded.inline", {}, sample("positive", 0, 0.9), " ", sample("negative", 0, -0.9))),
    framed && h("span", {}, "framed: the token it was drawn for"),
  );
}
