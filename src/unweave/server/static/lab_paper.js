// Papers as rows: what each reports, where, and what a run of this lab found in its place.

import { h, said } from "./dom.js";
import { button, plain, runLink, threadLink, verdict } from "./lab_parts.js";
import { count, number } from "./numbers.js";

const WORDS = { reproduced: "held", "not reproduced": "failed" };

function rowVerdict(word) {
  const mark = WORDS[word] ? verdict(WORDS[word]).firstChild.cloneNode(true) : null;
  return h(`span.verdict.${{ reproduced: "good", "not reproduced": "bad" }[word] ?? "open"}`, {}, mark, " ", said(word || "open"));
}

function reported(row) {
  if (row.unknowable) return h("span.none", {}, "not known");
  const value = typeof row.reported === "number" ? number(row.reported) : said(row.reported ?? "–");
  return [value, row.tolerance !== null && row.tolerance !== undefined && ` ± ${number(row.tolerance)}`, row.unit && [" ", said(row.unit)]];
}

function ours(value) {
  if (!value || !Object.keys(value).length) return "–";
  if (typeof value.value === "number") return h("span", { title: String(value.value) }, number(value.value), typeof value.low === "number" && ` (${number(value.low)} to ${number(value.high)})`);
  return plain(value);
}

function rows(list) {
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "What the paper claims" }, h("table.paper-rows", {},
    h("thead", {}, h("tr", {}, ["Statement", "Where", "Reported", "Here", "Verdict", "Run"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, list.map((row) => h("tr", {},
      h("th", { scope: "row" }, said(row.statement)), h("td", {}, said(row.where)), h("td", {}, reported(row)), h("td", {}, ours(row.ours)),
      h("td", {}, rowVerdict(row.verdict), h("p.reason", {}, said(row.unknowable || row.reason || ""))),
      h("td", {}, row.run ? runLink(row.run) : "–"))))));
}

function deviations(list) {
  return list?.length > 0 && [h("h4", {}, "Deviations"), h("ul", {}, list.map((one) => h("li", {}, typeof one === "string" ? said(one) : plain(one))))];
}

function correction(text) {
  return text && h("p", {}, h("b", {}, "Correction. "), typeof text === "string" ? said(text) : plain(text));
}

/** The papers that ship or were added, each with its threads and, for a runner, a way to replicate it. */
export function papers(list, who, does) {
  if (!list.length) return h("p.none", {}, "No paper is known here.");
  return list.map((paper) => h("details.paper", {},
    h("summary", {}, said(paper.title), " ", h("span.about", {}, `${count(paper.rows.length)} claims`)),
    h("p.help", {}, said(paper.source), paper.threads.length > 0 && [". Threads: ", paper.threads.map((id, at) => [at ? ", " : "", threadLink(id)])]),
    correction(paper.correction), rows(paper.rows), deviations(paper.deviations),
    who.may("run") && h("p.buttons", {}, button("Replicate in a thread", () => does("replicate", { paper: paper.id }, "the replication is queued")))));
}

/** The paper of a thread with the auditor's verdicts on its rows. */
export function replicated(thread) {
  const { paper } = thread;
  const verdicts = new Map(thread.verdicts.map((one) => [one.row, one]));
  const list = (paper.rows ?? []).map((row) => ({ ...row, reported: row.reported ?? row.number, ...verdicts.get(row.id), ours: verdicts.get(row.id)?.ours ?? {}, verdict: verdicts.get(row.id)?.verdict ?? "open" }));
  return [h("p", {}, h("b", {}, said(paper.title ?? paper.id)), " ", paper.source && said(paper.source)), correction(paper.correction), rows(list), deviations(paper.deviations)];
}
