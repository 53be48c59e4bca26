// One thread: question, hypotheses, plan and its versions, runs, notes, conclusions, what failed, reviews and links.

import { append, h, replace, said, settle } from "./dom.js";
import { LIVE, ago, button, coded, doing, runLink, state, threadLink, validity, verdict } from "./lab_parts.js";
import { plans } from "./lab_plan.js";
import { poll } from "./lab_poll.js";
import { look } from "./lab_server.js";
import { reviewWord, threadState } from "./lab_threads.js";
import { adding, reviewing } from "./lab_writing.js";
import { markdown } from "./markdown.js";
import { replicated } from "./lab_paper.js";
import { section, trouble } from "./parts.js";
import { lab } from "./route.js";

function byWhom(one) {
  return h("span.about", {}, said(one.by), " ", ago(one.at));
}

function hypotheses(list) {
  if (!list.length) return h("p.none", {}, "None was written down.");
  return h("ol.hypotheses", {}, list.map((one) => h("li", {},
    h("p", {}, one.name && [h("b", {}, said(one.name)), " "], said(one.text), " ", byWhom(one)),
    h("p.predicted", {}, h("span.dim", {}, "Predicted: "), said(one.predicted)))));
}

function runs(list) {
  if (!list.length) return h("p.none", {}, "None yet.");
  const roles = [...new Set(list.map((one) => one.part))];
  const compared = list.filter((one) => one.status === "finished").slice(-12).map((one) => one.run);
  return [
    compared.length > 1 && h("p", {}, h("a", { href: lab("compare", [], { runs: compared.join(" ") }) }, `Compare the ${compared.length === list.length ? "" : "last "}${compared.length} finished ones`)),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Runs by role" }, h("table.by-role", {},
      h("thead", {}, h("tr", {}, ["Role", "Run", "State", "Files", "Note"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, roles.flatMap((role) => list.filter((one) => one.part === role).map((one, at, all) => h("tr", {},
        at === 0 && h("th", { scope: "rowgroup", rowspan: all.length }, said(role)),
        h("td", {}, runLink(one.run)), h("td", {}, one.status ? state(one.status) : h("span.none", {}, "not here")),
        h("td", {}, validity(one)),
        h("td", {}, one.hypothesis && h("span.tag", {}, said(one.hypothesis)), one.note && said(one.note)))))))),
  ];
}

function notes(list, link) {
  if (!list.length) return h("p.none", {}, "None yet.");
  return [...list].reverse().map((one) => h("article.note", {}, h("p.about", {}, byWhom(one)), markdown(one.text, link)));
}

function conclusions(list) {
  if (!list.length) return h("p.none", {}, "None yet.");
  return h("ol.conclusions", {}, list.map((one) => h("li", {},
    h("p", {}, h("b", {}, coded(one.text)), " ", byWhom(one)),
    h("ul.cited", {}, one.claims.map((cited) => h("li", {}, verdict(cited.verdict), " ",
      h("a", { href: lab("claims", cited.run, { claim: cited.claim }) }, coded(cited.sentence)), cited.verdict !== "held" && h("p.reason", {}, said(cited.reason))))))));
}

function tried(list) {
  if (!list.length) return h("p.none", {}, "Nothing was recorded as tried and failed.");
  return h("ul", {}, list.map((one) => h("li", {},
    h("p", {}, h("b", {}, coded(one.what)), " ", byWhom(one)),
    h("p.reason", {}, coded(one.why), one.runs.length > 0 && [" (", one.runs.map((run, at) => [at ? ", " : "", runLink(run)]), ")"]))));
}

function reviews(list) {
  if (!list.length) return h("p.none", {}, "Nobody has reviewed it.");
  return [...list].reverse().map((one) => h("article.review", {},
    h("p", {}, reviewWord(one.verdict), " ", byWhom(one), !one.current && h("span.tag", { title: "The thread went on since this was written" }, "of an earlier state")), markdown(one.text)));
}

const RELATIONS = { extends: ["extends", "is extended by"], replicates: ["replicates", "is replicated by"], contradicts: ["contradicts", "is contradicted by"] };

function links(thread) {
  const rows = [...thread.links.map((one) => [RELATIONS[one.relation]?.[0], one.to, one.note]), ...thread.linked_from.map((one) => [RELATIONS[one.relation]?.[1], one.thread, one.question])];
  if (!rows.length) return h("p.none", {}, "It stands alone.");
  return h("ul", {}, rows.map(([how, id, words]) => h("li", {}, `${how} `, threadLink(id), words && h("p.reason", {}, said(words)))));
}

/** What may be done with the newest plan: approve exactly what is shown here. */
function approving(thread, open, who, does) {
  return (plan) => {
    if (plan.approved || !open) return null;
    if (!who.may("review")) return h("p.help", {}, "It waits for a reviewer or an owner to approve it.");
    return h("p.buttons", {}, button("Approve this version", () => does("approve-plan", { thread, sha256: plan.sha256 }, "plan approved"), { quiet: false }),
      h("span.help", {}, "The approval is of this sha256 only; a changed plan needs another one."));
  };
}

export async function show(page) {
  const { signal, who } = page;
  const [id] = page.route.ids;
  const parts = Object.fromEntries(["top", "hypotheses", "plans", "runs", "notes", "conclusions", "tried", "reviews", "links", "paper"].map((name) => [name, h("div")]));
  const errors = h("div");
  const { place, does } = doing(signal, () => polled.now());
  let shown = null;
  const draw = (thread) => {
    shown = thread;
    const known = new Set(thread.runs.map((one) => one.run));
    const link = (name) => (known.has(name) ? runLink(name) : null);
    settle(parts.top, [thread.state, thread.agents.length, thread.states, thread.context], () => [
      h("p.run-facts", {}, threadState(thread.state), byWhom({ by: thread.by, at: thread.created }), h("code", {}, said(id)), thread.agents.length > 0 && h("a", { href: lab("agent", id) }, "The agent that works on it")),
      thread.states.at(-1)?.why && h("p", {}, said(thread.states.at(-1).why)), thread.context && markdown(thread.context, link)]);
    settle(parts.hypotheses, thread.hypotheses, hypotheses);
    settle(parts.plans, [thread.plans, thread.state], () => plans(thread.plans, approving(id, thread.state === "open", who, does)));
    settle(parts.runs, thread.runs, runs);
    settle(parts.notes, [thread.notes, [...known]], () => notes(thread.notes, link));
    settle(parts.conclusions, thread.conclusions, conclusions);
    settle(parts.tried, thread.tried, tried);
    settle(parts.reviews, thread.reviews, reviews);
    settle(parts.links, [thread.links, thread.linked_from], () => links(thread));
    settle(parts.paper, [thread.paper, thread.verdicts], () => thread.paper && section("Paper", replicated(thread, who, does)));
  };
  const first = await look("thread", { thread: id }, signal);
  const write = who.may("run") ? adding(id, does) : {};
  append(
    page.root,
    h("h1.question", {}, said(first.question)), parts.top, place, errors,
    h("div.columns", {},
      h("div.left", {},
        section("Conclusions", parts.conclusions, write.conclusion ?? ""),
        parts.paper,
        section("Plan", parts.plans, write.plan ?? ""),
        section("Runs", parts.runs, write.run ?? ""),
        section("Notes", parts.notes, write.note ?? "")),
      h("div.right", {},
        section("Hypotheses", parts.hypotheses, write.hypothesis ?? ""),
        section("Tried and failed", parts.tried, write.tried ?? ""),
        section("Reviews", parts.reviews, first.may_review ? reviewing(id, does) : who.may("review") && h("p.help", {}, "Somebody else reviews it: you planned, ran or concluded here.")),
        section("Links", parts.links, write.link ?? "", write.state ?? ""))),
  );
  draw(first);
  const polled = poll(async (stop) => {
    draw(await look("thread", { thread: id }, stop));
    return shown.agents.some((one) => LIVE.has(one.state)) || shown.runs.some((one) => LIVE.has(one.status)) ? 3000 : 20000;
  }, { signal, failed: (error) => replace(errors, error && trouble(error)), first: 3000 });
  return first.question;
}
