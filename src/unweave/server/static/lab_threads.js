// Threads of research: what each asks, how far it is, and whether somebody has to look at it.

import { h, replace, said } from "./dom.js";
import { ago, doing, threadLink } from "./lab_parts.js";
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
    h("thead", {}, h("tr", {}, ["Question", "State", "Runs", "Concluded", "Review", "Changed"].map((name, at) => h(at === 2 || at === 3 ? "th.number" : "th", { scope: "col" }, name)))),
    h("tbody", {}, threads.map((one) => h("tr", {},
      h("th", { scope: "row" }, h("a.question", { href: lab("thread", one.id) }, said(one.question)), h("code.about", {}, said(one.id)), h("span.about", {}, "by ", said(one.by))),
      h("td.of-state", {}, threadState(one.status), one.waits && h("span.tag.wanted", {}, "a plan waits for approval")),
      h("td.number", { "data-name": "runs" }, count(one.runs)),
      h("td.number", { "data-name": "conclusions" }, count(one.conclusions)),
      h("td", {}, one.verdict ? reviewWord(one.verdict) : h("span.none", {}, "–")),
      h("td", {}, ago(one.updated))))));
}

function papers(answer) {
  if (!answer.papers.length) return h("p.none", {}, "No paper is known here.");
  return answer.papers.map((paper) => h("details.paper", {},
    h("summary", {}, said(paper.title), h("span.about", {}, ` ${count(paper.rows.length)} claims`)),
    h("p.help", {}, said(paper.source), paper.threads.length > 0 && [". Thread: ", paper.threads.map((id, at) => [at ? ", " : "", threadLink(id)])]),
    paper.correction && h("p", {}, h("b", {}, "Correction. "), said(paper.correction)),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "What the paper claims" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Statement", "Where", "Reported", "Measured", "Verdict", "Run"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, paper.rows.map((row) => h("tr", {},
        h("th", { scope: "row" }, said(row.statement)), h("td", {}, said(row.where)),
        h("td", {}, said(row.reported ?? "–"), row.tolerance !== null && ` ± ${row.tolerance}`, row.unit && ` ${row.unit}`),
        h("td", {}, row.measured === null ? "–" : said(row.measured)),
        h("td", {}, said(row.verdict), h("p.help", {}, said(row.unknowable ?? row.reason))),
        h("td", {}, row.run ? h("a", { href: lab("run", row.run) }, said(row.run)) : "–")))))),
    paper.deviations.length > 0 && [h("h4", {}, "Deviations"), h("ul", {}, paper.deviations.map((one) => h("li", {}, said(one))))]));
}

export async function show(page) {
  const { signal, who } = page;
  const answer = await look("threads", {}, signal);
  page.root.append(
    h("div.heading", {}, h("h1", {}, "Threads"), h("p.total", {}, count(answer.threads.length))),
    who.may("run") && start(signal),
    answer.threads.length ? list(answer.threads) : h("p.none", {}, "None yet."),
  );
  const place = h("div");
  page.root.append(section("Papers that can be replicated", place));
  look("replications", {}, signal).then(
    (found) => replace(place, papers(found)),
    (error) => error.name !== "AbortError" && replace(place, trouble(error)),
  );
  return "Threads";
}
