// Small parts that several views share.

import { h, said } from "./dom.js";
import { address } from "./route.js";

/** An error, plainly, with the server's own line and a way to try again. */
export function problem(error, again) {
  return h(
    "div.problem",
    { role: "alert" },
    h("h1", {}, "This did not work"),
    h("p", {}, said(error.message)),
    again && h("button", { type: "button", on: { click: again } }, "Try again"),
  );
}

/** The same beside a form, without a heading. */
export function trouble(error) {
  return h("p.problem", { role: "alert" }, said(error.message));
}

/** How sure a label is, as a word with a mark that needs no colour. */
export function confidence(level) {
  if (!level) return h("span.confidence.none", {}, "–");
  const mark = { clear: "●", weak: "◐", unclear: "○" }[level] ?? "";
  return h(`span.confidence.${level}`, {}, h("span", { "aria-hidden": "true" }, mark, " "), level);
}

/** A bar from 0 to 1 with its number beside it. */
export function bar(value, text, className = "") {
  const size = Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : 0;
  return h(
    className ? `span.bar-cell.${className}` : "span.bar-cell",
    {},
    h("span.track", { "aria-hidden": "true" }, h("span.filled", { vars: { "--size": size } })),
    h("span.figure", {}, text),
  );
}

/** A feature's short name as a link to its page. */
export function featureLink(overview, name, properties = {}) {
  const short = overview.short(name);
  const colon = short.lastIndexOf(":");
  return h(
    "a.feature-name",
    { href: address(overview.id, "feature", {}, name), title: name, ...properties },
    h("bdi", {}, h("span.site", {}, short.slice(0, colon)), h("span.index", {}, short.slice(colon))),
  );
}

/** A label's text, what is read and what is written each in its own line, or that there is none. */
export function labelText(text) {
  if (!text) return h("span.none", {}, "no label");
  const [reads, ...writes] = text.split(" → ");
  const label = h("span.label", {}, said(reads, "reads"), writes.length > 0 && [" ", said(`→ ${writes.join(" → ")}`, "writes")]);
  label.title = label.textContent;
  return label;
}

/** A field with its name above it. */
export function field(name, control, className = "") {
  return h(className ? `label.field.${className}` : "label.field", {}, h("span", {}, name), control);
}

export function section(title, ...children) {
  const id = `section-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h("section", { "aria-labelledby": id }, h("h2", { id }, title), children);
}
