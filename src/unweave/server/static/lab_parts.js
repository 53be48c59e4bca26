// Small parts that the lab's views share: states, times, hashes, facts, buttons that ask the lab for something.

import { announce, h, replace, said } from "./dom.js";
import { count, number } from "./numbers.js";
import { trouble } from "./parts.js";
import { lab } from "./route.js";
import { act } from "./lab_server.js";

const MARKS = { running: "◐", waiting: "○", paused: "‖", finished: "●", failed: "✕", cancelled: "◼", interrupted: "!" };
const VERDICTS = { held: "✓", valid: "✓", failed: "✕", invalid: "✕", "not checkable": "?" };
/** What may still change by itself. */
export const LIVE = new Set(["running", "waiting", "paused"]);

/** A run's or a job's state, as a mark and a word. */
export function state(word) {
  return h(`span.state.is-${/^[a-z]+$/.test(word ?? "") ? word : "other"}`, {}, h("span.sign", { "aria-hidden": "true" }, MARKS[word] ?? "·"), " ", said(word ?? "not known"));
}

/** A verdict, as a mark and a word. */
export function verdict(word) {
  const name = { held: "good", valid: "good", failed: "bad", invalid: "bad" }[word] ?? "open";
  return h(`span.verdict.${name}`, {}, h("span.sign", { "aria-hidden": "true" }, VERDICTS[word] ?? "·"), " ", said(word ?? "not audited"));
}

/** Whether what a finished run wrote is still what it wrote. */
export function validity({ status, valid }) {
  if (valid === false) return verdict("invalid");
  return status === "finished" ? verdict("valid") : h("span.none", {}, "–");
}

/** `1:05` or `2:00:05` for a minute and more, `4.2 s` for less. */
export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "–";
  if (seconds < 0.05) return "0 s";
  if (seconds < 60) return `${number(seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds))} s`;
  const whole = Math.round(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const rest = `${two(Math.floor((whole % 3600) / 60))}:${two(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest.replace(/^0/, "");
}

/** A time as this person's calendar writes it. */
export function when(text, style = { dateStyle: "medium", timeStyle: "short" }) {
  if (!text) return h("span.none", {}, "–");
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return said(text);
  return h("time", { datetime: date.toISOString(), title: date.toLocaleString() }, date.toLocaleString(undefined, style));
}

const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [86400 * 14, 86400, "d"]];

function since(date) {
  const seconds = (Date.now() - date.getTime()) / 1000;
  const step = STEPS.find(([below]) => seconds < below);
  if (seconds < 5) return "now";
  return step ? `${Math.floor(seconds / step[1])} ${step[2]} ago` : date.toLocaleDateString(undefined, { dateStyle: "medium" });
}

/** How long ago a time was; the words are kept true while they are in sight. */
export function ago(text) {
  const date = new Date(text ?? NaN);
  if (Number.isNaN(date.getTime())) return h("span.none", {}, "–");
  return h("time", { datetime: date.toISOString(), title: date.toLocaleString(), "data-ago": true }, since(date));
}

setInterval(() => {
  if (document.hidden) return;
  for (const one of document.querySelectorAll("time[data-ago]")) {
    const words = since(new Date(one.dateTime));
    if (one.textContent !== words) one.textContent = words;
  }
}, 5000);

/** `1 thread`, `2 threads`. */
export function plural(many, one) {
  return `${number(many)} ${one}${many === 1 ? "" : "s"}`;
}

export function bytes(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  const step = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]].find(([size]) => value >= size);
  return step ? `${number(value / step[0])} ${step[1]}` : `${count(value)} B`;
}

/** A sentence with what stands between backticks set as code. */
export function coded(text) {
  return String(text ?? "").split(/`+/).map((part, at) => (at % 2 ? h("code", {}, said(part)) : said(part)));
}

export function runLink(id, text = id) {
  return h("a.run-name", { href: lab("run", id), title: text === id ? null : id }, said(text));
}

/** A long id without its middle: what tells the runs of one sweep or session apart stands at its end. */
export function shortened(id, most = 28) {
  return id.length <= most ? id : `${id.slice(0, most - 14)}…${id.slice(-13)}`;
}

export function threadLink(id, text = id) {
  return id ? h("a.run-name", { href: lab("thread", id) }, said(text)) : h("span.none", {}, "–");
}

/** A sha256, short, and whole when it is opened. */
export function hash(text) {
  if (!text) return h("span.none", {}, "no hash");
  return h("details.hash", {}, h("summary", {}, h("code", {}, said(String(text).slice(0, 12)))), h("code.whole", {}, said(text)));
}

/** A bar of something used of something there is. `text` stands beside it. */
export function meter(name, used, most, text) {
  const share = most > 0 ? Math.min(1, Math.max(0, used / most)) : 0;
  return h("div.meter", {},
    h("span.meter-name", {}, name),
    h("span.track", { role: "meter", "aria-label": name, "aria-valuemin": "0", "aria-valuemax": String(most || 1), "aria-valuenow": String(used), "aria-valuetext": text }, h("span.filled", { vars: { "--size": share } })),
    h("span.figure", {}, text));
}

/** Names with values, each value already an element or a text. */
export function facts(list) {
  return h("dl.named", {}, list.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Plain JSON as names with values; what is nested is shown below its name. */
export function plain(value, depth = 0) {
  if (value === null || value === undefined) return h("span.none", {}, "none");
  if (typeof value === "number") return Number.isInteger(value) ? count(value).replace(/\u202f(?=\d{3}$)/, Math.abs(value) < 10000 ? "" : "\u202f") : String(value).replace("-", "−");
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "object") return value === "" ? h("span.none", {}, "empty") : said(value);
  const simple = Array.isArray(value) && value.every((one) => one === null || typeof one !== "object");
  if (simple) return value.length ? value.map((one, at) => [at ? ", " : "", plain(one, depth + 1)]) : h("span.none", {}, "none");
  if (depth > 5) return said(JSON.stringify(value));
  const entries = Object.entries(value);
  if (!entries.length) return h("span.none", {}, "none");
  return h("dl.named.inner", {}, entries.map(([name, inner]) => h("div", {}, h("dt", {}, Array.isArray(value) ? String(Number(name) + 1) : said(name)), h("dd", {}, plain(inner, depth + 1)))));
}

/**
 * A place for refusals and a function that asks the lab to do something: `does(operation, request, said)`.
 *
 * It announces `said` and calls `then(answer)`; a refusal is shown in the place until something works.
 */
export function doing(signal, then = () => {}) {
  const place = h("div.refusals");
  const does = async (operation, request, done) => {
    try {
      const answer = await act(operation, request, signal);
      replace(place);
      announce(done);
      await then(answer);
      return answer;
    } catch (error) {
      if (error.name !== "AbortError") replace(place, trouble(error));
      return null;
    }
  };
  return { place, does };
}

/** A button; `busy` keeps it from being pressed twice. */
export function button(text, press, { quiet = true, ...properties } = {}) {
  const made = h(quiet ? "button.quiet" : "button", { type: "button", ...properties }, text);
  made.addEventListener("click", async () => {
    if (made.getAttribute("aria-disabled") === "true") return;
    made.setAttribute("aria-disabled", "true");
    try {
      await press(made);
    } finally {
      made.removeAttribute("aria-disabled");
    }
  });
  return made;
}
