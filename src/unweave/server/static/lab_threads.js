// Threads of research: what each asks, how far it is, and whether somebody has to look at it.

import { append, h, replace, said } from "./dom.js";
import { ago, doing } from "./lab_parts.js";
import { papers } from "./lab_paper.js";
import { look } from "./lab_server.js";
import { count } from "./numbers.js";
import { field, section, trouble } from "./parts.js";
import { go, lab } from "./route.js";

const STATES = { open: "◐ open", concluded: "● concluded", stopped: "◼ stopped" };
const VERDICTS = { accept: "✓ accepted", revise: "↻ to be revised", reject: "✕ rejected" };

export function threadState(word) {
  return h("span.state", {}, STATES[word] ?? said(word));
}

export function reviewWord(word) {
  return h(`span.verdict.${{ accept: "good", reject: "bad" }[word] ?? "open"}`, {}, VERDICTS[word] ?? said(word));
}

function start(signal) {
  const { place, does } = doing(signal, (answer) => go(lab("thread", answer.thread)));
  const question = h("input", { maxlength: "1000", required: true, autocomplete: "off" });
  const submit = (event) => {
    event.preventDefault();
    does("start-thread", { question: question.value.trim() }, "thread started");
  };
  return [h("form.make", { on: { submit } }, field("A question to be answered by runs", question, "wide"), h("button", {}, "Start a thread")), place];
}

function list(threads) {
  return h("table.threads", { "aria-label": "Threads, the one changed last first" },
    h("thead", {}, h("tr", {}, ["Question", "State", "Runs", "Review", "Changed"].map((name, at) => h(at === 2 ? "th.number" : "th", { scope: "col" }, name)))),
    h("tbody", {}, threads.map((one) => h("tr", {},
      h("th", { scope: "row" }, h("a.question", { href: lab("thread", one.id) }, said(one.question)), h("code.about", {}, said(one.id)), h("span.about", {}, "by ", said(one.by))),
      h("td.of-state", {}, one.broken ? h("span.problem", {}, said(one.broken)) : threadState(one.state), one.waits && h("span.tag.wanted", {}, "a plan waits for approval")),
      h("td.number", { "data-name": "runs" }, count(one.runs)),
      h("td", {}, one.verdict ? reviewWord(one.verdict) : h("span.none", {}, "–")),
      h("td", {}, ago(one.changed))))));
}

export async function show(page) {
  const { signal, who } = page;
  const { place: refusals, does } = doing(signal, (made) => go(lab("thread", made.thread)));
  const answer = await look("threads", {}, signal);
  append(
    page.root,
    h("div.heading", {}, h("h1", {}, "Threads"), h("p.total", {}, count(answer.threads.length))),
    who.may("run") && start(signal),
    answer.threads.length ? list(answer.threads) : h("p.none", {}, "None yet."),
  );
  const place = h("div");
  append(page.root, section("Papers that can be replicated", refusals, place));
  look("replications", {}, signal).then(
    (found) => replace(place, papers(found.papers, who, does)),
    (error) => error.name !== "AbortError" && replace(place, trouble(error)),
  );
  return "Threads";
}
