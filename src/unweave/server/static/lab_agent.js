// One agent at work: its plan with Approve and Stop, what runs now, what it has spent, what the critic found, its report.

import { announce, append, h, keyed, replace, said, settle } from "./dom.js";
import { LIVE, button, coded, doing, runLink, state, threadLink } from "./lab_parts.js";
import { plans } from "./lab_plan.js";
import { poll } from "./lab_poll.js";
import { progressLine } from "./lab_progress.js";
import { budgets } from "./lab_resources.js";
import { look } from "./lab_server.js";
import { reviewWord } from "./lab_threads.js";
import { markdown } from "./markdown.js";
import { count } from "./numbers.js";
import { section, trouble } from "./parts.js";
import { lab } from "./route.js";

const CRITIC = "critic";

/** What the agent does now, in a sentence. */
function doingNow(thread, job, runs) {
  const plan = thread.plans.at(-1);
  const going = runs.filter((one) => LIVE.has(one.state)).length;
  if (!job) return "It has not started.";
  if (!LIVE.has(job.state)) return { finished: "It is done.", cancelled: "It was stopped.", failed: "It failed; its run says why.", interrupted: "It was interrupted, and can be resumed." }[job.state] ?? job.state;
  if (!plan) return "It makes a plan.";
  if (thread.agents.some((one) => one.waits)) return "Its plan waits for approval.";
  return going ? `${count(going)} ${going === 1 ? "run is" : "runs are"} going.` : "It reads results and decides the next step.";
}

/** The agent's runs, those at work first; lines are changed in place. */
function runsTable() {
  const body = h("tbody");
  const table = h("div.scroll.table-scroll", { tabindex: "0", role: "region", "aria-label": "Runs of the agent" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Run", "For", "State"].map((name) => h("th", { scope: "col" }, name)))), body));
  const none = h("p.none", {}, "Nothing was launched yet.");
  const order = ["running", "paused", "waiting"];
  const place = (job) => (order.indexOf(job.state) + order.length + 1) % (order.length + 1);
  const update = (runs, parts, own) => {
    table.hidden = runs.length === 0;
    none.hidden = runs.length > 0;
    keyed(body, [...runs].sort((a, b) => place(a) - place(b)), (job) => job.run, (job) => {
      const [part, how] = [h("td", {}), h("td", {})];
      const name = own && job.run.startsWith(`${own}.`) ? job.run.slice(own.length + 1) : job.run;
      return {
        root: h("tr", {}, h("th", { scope: "row" }, runLink(job.run, name)), part, how),
        update: (now) => {
          settle(part, parts.get(now.run) ?? "–", (word) => said(word));
          settle(how, [now.state, now.progress], () => (now.state === "running" && now.progress ? progressLine({ ...now.progress, total: now.progress.total ?? 0 }) : state(now.state)));
        },
      };
    });
  };
  return { root: h("div", {}, none, table), update };
}

/** What an agent's run wrote up, and the names of the tables that it speaks of. */
async function writtenUp(run, signal) {
  const [report, found] = await Promise.all([look("report", { run }, signal), look("run", { run }, signal)]);
  return { ...report, tables: found.tables.map((one) => one.name) };
}

/** The report, its conclusion on top, with links to the claims that it rests on and to the tables it names. */
function reported(written, thread, job) {
  const last = thread.conclusions.at(-1);
  const known = new Set(thread.runs.map((one) => one.run));
  const tables = new Set(written?.tables);
  const link = (name) => (known.has(name) ? runLink(name) : tables.has(name) ? h("a", { href: lab("table", [written.run, name]) }, h("code", {}, said(name))) : null);
  if (!written?.text && !last) return null;
  return section("Report",
    last && [h("p.concluded", {}, coded(last.text)), h("p", {}, h("a", { href: lab("thread", thread.id) }, "The thread"), " has it with its ", h("a", { href: lab("claims", last.claims[0].run) }, `${last.claims.length} ${last.claims.length === 1 ? "claim" : "claims"}`), job && [", and run ", runLink(job.run), " its tables"], ".")],
    written?.text && markdown(written.text, link));
}

/** What the critic wrote: its verdict, or where it has none to give, its notes. Other people's reviews come first. */
function findings(reviews, notes) {
  if (!reviews.length && !notes.length) return h("p.none", {}, "The critic has said nothing yet.");
  return [
    [...reviews].reverse().map((one) => h("article.review", {}, h("p", {}, reviewWord(one.verdict), " ", h("span.about", {}, said(one.by))), markdown(one.text))),
    notes.map((one) => h("article.review", {}, markdown(one.text))),
  ];
}

export async function show(page) {
  const { signal, who } = page;
  const [id] = page.route.ids;
  const parts = Object.fromEntries(["plan", "budget", "critic", "report", "facts"].map((name) => [name, h("div")]));
  const now = h("p", { role: "status" });
  const errors = h("div");
  const table = runsTable();
  const { place, does } = doing(signal, () => polled.now());
  const stop_ = button("Stop the agent", () => does("stop-agent", { thread: id }, "the agent stops, and its runs with it"));
  let waits = false;
  const approve = (plan) => {
    if (plan.approved) return null;
    if (!waits) return h("p.help", {}, "Its agent did not wait for an approval.");
    if (!who.may("review")) return h("p.help", {}, "It waits for a reviewer or an owner to approve it.");
    return h("p.buttons", {}, button("Approve", () => does("approve-plan", { thread: id, sha256: plan.sha256 }, "plan approved"), { quiet: false }), h("span.help", {}, "The approval is of this sha256 only."));
  };
  let before = "";
  let written = null;
  const ask = async (stop) => {
    const [thread, queue, resources] = await Promise.all([look("thread", { thread: id }, stop), look("queue", { limit: 1000 }, stop), look("resources", {}, stop)]);
    const mine = queue.jobs.filter((job) => job.thread === id);
    const job = mine.find((one) => one.kind === "agent") ?? null;
    const runs = mine.filter((one) => one.kind !== "agent");
    const words = doingNow(thread, job, runs);
    if (words !== before) {
      replace(now, job && state(job.state), " ", words);
      if (before) announce(words);
      before = words;
    }
    stop_.hidden = !who.may("run") || !job || !LIVE.has(job.state);
    settle(parts.facts, [thread.by, job?.run], () => h("p.run-facts", {}, h("span", {}, "Thread ", threadLink(id)), h("span", {}, "asked by ", said(thread.by)), job && h("span", {}, "Log ", runLink(job.run))));
    waits = thread.agents.some((one) => one.waits);
    settle(parts.plan, [thread.plans, waits], () => plans(thread.plans, approve));
    table.update(runs, new Map(thread.runs.map((one) => [one.run, one.part])), job?.run);
    const own = resources.budgets.filter((one) => one.account === `agent:${job?.run}`);
    const granted = own.length ? own : resources.budgets.filter((one) => one.account === `thread:${id}`);
    settle(parts.budget, granted, (list) => (list.length ? budgets(list) : h("p.none", {}, "No budget was set.")));
    settle(parts.critic, [thread.reviews, thread.notes.length], () => findings(thread.reviews, thread.reviews.some((one) => one.by === CRITIC) ? [] : thread.notes.filter((one) => one.by === CRITIC)));
    // Written once, at the end.
    if (job && !LIVE.has(job.state) && written?.run !== job.run) written = await writtenUp(job.run, stop);
    settle(parts.report, [written, thread.conclusions], () => reported(written, thread, job));
    return job && LIVE.has(job.state) ? 2000 : 20000;
  };
  const first = await look("thread", { thread: id }, signal);
  append(page.root, h("h1.question", {}, said(first.question)), parts.facts, h("div.agent-now", {}, now, stop_), place, errors,
    h("div.columns", {},
      h("div.left", {}, parts.report, section("Plan", parts.plan)),
      h("div.right", {}, section("Budget", parts.budget), section("Runs", table.root), section("Critic", parts.critic))));
  const pause = await ask(signal);
  const polled = poll(ask, { signal, failed: (error) => replace(errors, error && trouble(error)), first: pause });
  return first.question;
}
