// Papers as rows: what each reports, where, and what a run of this lab found in its place.

import { h, said } from "./dom.js";
import { button, plain, runLink, threadLink } from "./lab_parts.js";
import { count, number } from "./numbers.js";

const WORDS = { reproduced: ["✓", "good"], "not reproduced": ["✕", "bad"], "not testable": ["?", "open"] };

function rowVerdict(word) {
  const [sign, kind] = WORDS[word] ?? ["○", "open"];
  return h(`span.verdict.${kind}`, {}, h("span.sign", { "aria-hidden": "true" }, sign), " ", said(word || "open"));
}

/** What a tolerance of a paper's own file allows, in words. */
function tolerated(row) {
  const { kind, by } = row.tolerance ?? {};
  if (kind === ">=" || kind === "<=") return `${kind === ">=" ? "≥" : "≤"} ${number(row.number)}`;
  return kind ? `${number(row.number)} ± ${kind === "relative" ? `${number(by * 100)} %` : number(by)}` : number(row.number);
}

function reported(row) {
  const value = row.allowed || (typeof row.reported === "number" ? number(row.reported) : "");
  return [value || h("span.none", {}, "no number"), value && row.unit && [" ", said(row.unit)], h("p.reason", {}, said(row.known ?? ""))];
}

function ours(value) {
  if (!value || typeof value.value !== "number") return value && Object.keys(value).length ? plain(value) : "–";
  const spread = typeof value.low === "number" && typeof value.high === "number" ? ` (${number(value.low)} to ${number(value.high)})` : "";
  return h("span", { title: String(value.value) }, h("b", {}, number(value.value)), spread);
}

function table(list) {
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "What the paper states" }, h("table.paper-rows", {},
    h("thead", {}, h("tr", {}, ["Statement", "Reported", "Here", "Verdict", "Run"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, list.map((row) => h("tr", {},
      h("th", { scope: "row" }, said(row.statement), h("p.reason", {}, said(row.where), row.reading && [". ", said(row.reading)])),
      h("td", {}, reported(row)), h("td", {}, ours(row.ours)),
      h("td", {}, rowVerdict(row.verdict), h("p.reason", {}, said(row.unknowable || row.reason || ""))),
      h("td", {}, row.run ? runLink(row.run) : "–"))))));
}

function deviations(list) {
  if (!list?.length) return null;
  return h("details", {}, h("summary", {}, `Deviations (${list.length})`), h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Deviations" }, h("table", {},
    h("thead", {}, h("tr", {}, ["What", "Theirs", "Ours"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, list.map((one) => h("tr", {}, h("th", { scope: "row" }, said(one.what)), h("td", {}, said(one.theirs)), h("td", {}, said(one.ours))))))));
}

function corrections(list) {
  return (list ?? []).map((one) => h("p", {}, h("b", {}, "Correction. "), said(one.what), " (", said(one.where), ") ", h("span.dim", {}, said(one.effect))));
}

function body(paper, rows) {
  return [
    h("p.help", {}, said(paper.authors), ", ", said(paper.published), ". ", (paper.sources ?? []).map((one, at) => [at ? "; " : "", said(one)])),
    paper.known && h("p", {}, said(paper.known)),
    corrections(paper.corrections), table(rows), deviations(paper.deviations),
  ];
}

/** The papers that ship or were added, each with its threads and, for a runner, a way to replicate it. */
export function papers(list, who, does) {
  if (!list.length) return h("p.none", {}, "No paper is known here.");
  return list.map((paper) => h("details.paper", {},
    h("summary", {}, said(paper.title), " ", h("span.about", {}, `${count(paper.rows.length)} statements, ${count(paper.rows.filter((row) => row.verdict === "reproduced").length)} reproduced here`)),
    paper.threads.length > 0 && h("p", {}, "In ", paper.threads.map((id, at) => [at ? ", " : "", threadLink(id)])),
    body(paper, paper.rows),
    who.may("run") && paper.shipped && h("p.buttons", {}, button("Replicate in a thread", () => does("replicate", { paper: paper.id }, "the replication is queued")))));
}

/** The paper of a thread with the auditor's verdicts on its rows, and for a runner a way to have them judged again. */
export function replicated(thread, who, does) {
  const verdicts = new Map(thread.verdicts.map((one) => [one.row, one]));
  const rows = (thread.paper.rows ?? []).map((row) => ({ ...row, reported: row.number, allowed: row.tolerance ? tolerated(row) : "", verdict: "open", ...verdicts.get(row.id) }));
  return [
    h("p", {}, h("b", {}, said(thread.paper.title))), body(thread.paper, rows),
    who.may("run") && h("p.buttons", {}, button("Judge the rows", () => does("judge-replication", { thread: thread.id }, "every row was judged"))),
  ];
}
