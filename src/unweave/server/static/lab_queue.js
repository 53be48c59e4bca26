// The queue: what runs, what waits and in which order, who submitted it, and what the machine has left.

import { visibleText } from "./characters.js";
import { append, h, keyed, replace, said, settle } from "./dom.js";
import { ago, bytes, doing, facts, plural, runLink, state, threadLink } from "./lab_parts.js";
import { poll } from "./lab_poll.js";
import { progressLine } from "./lab_progress.js";
import { amounts, budgets, capacity, workers } from "./lab_resources.js";
import { steering } from "./lab_run.js";
import { look } from "./lab_server.js";
import { count, number } from "./numbers.js";
import { section, trouble } from "./parts.js";

const GOING = ["running", "paused", "waiting"];

/** A field for a waiting job's priority, sent when it is changed. */
function priority(name, does) {
  const input = h("input.priority", { type: "number", step: "1", min: "-1000", max: "1000", "aria-label": `Priority of ${visibleText(name)}; higher goes first` });
  input.addEventListener("change", () => does("prioritise-run", { run: name, priority: Math.round(Number(input.value)) }, `${name}: priority ${input.value}`));
  return input;
}

/** A job's line, which is changed in place. */
function jobLine(first, who, does, again) {
  const steer = who.may("run") ? steering(first.run, does, again) : null;
  const order = who.may("run") ? priority(first.run, does) : null;
  const cells = Object.fromEntries(["state", "needs", "priority", "since", "note"].map((name) => [name, h("td", {})]));
  const fixed = h("span", {});
  cells.priority.append(fixed, order ?? "");
  const root = h("tr", {},
    h("th", { scope: "row" }, runLink(first.run), first.kind !== "study" && h("span.tag", {}, said(first.kind)), first.sandboxed && h("span.tag", {}, "sandboxed")),
    cells.state, h("td", {}, first.person ? said(first.person) : "–"), h("td", {}, threadLink(first.thread)),
    cells.needs, cells.priority, cells.since, cells.note, h("td.does", {}, steer?.root ?? ""));
  const update = (job) => {
    steer?.update(job.state, true);
    settle(cells.state, [job.state, job.progress], () => (job.state === "running" && job.progress ? progressLine({ ...job.progress, total: job.progress.total ?? 0 }) : state(job.state)));
    settle(cells.needs, job.needs, amounts);
    settle(cells.since, job.started ?? job.submitted, ago);
    settle(cells.note, [job.wish, job.after.length, job.attempt, job.note], () => [job.wish && h("span.tag", {}, `asked to ${job.wish}`), " ", job.after.length > 0 && `after ${count(job.after.length)} `, job.attempt > 1 && `attempt ${job.attempt} `, job.note && said(job.note)]);
    const writes = order !== null && job.state === "waiting";
    if (order) order.hidden = !writes;
    fixed.textContent = writes ? "" : String(job.priority);
    // A priority that somebody is writing is not written over.
    if (order && document.activeElement !== order) order.value = String(job.priority);
  };
  return { root, update };
}

/** What runs and rests first, the longest first; then what waits, in the order in which it will start. */
function inOrder(list) {
  const first = (key) => (a, b) => (a[key] ?? "").localeCompare(b[key] ?? "");
  const of = (state_) => list.filter((job) => job.state === state_);
  return [...of("running").sort(first("started")), ...of("paused").sort(first("started")), ...of("waiting").sort((a, b) => b.priority - a.priority || first("submitted")(a, b))];
}

function jobTable() {
  const body = h("tbody");
  const table = h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Jobs" }, h("table.jobs", {},
    h("thead", {}, h("tr", {}, ["Run", "State", "Who", "Thread", "Needs", "Priority", "Since", "Note", ""].map((name) => h("th", { scope: "col" }, name)))), body));
  const none = h("p.none", {}, "Nothing runs and nothing waits.");
  const update = (list, make) => {
    table.hidden = list.length === 0;
    none.hidden = list.length > 0;
    keyed(body, inOrder(list), (job) => job.run, make);
  };
  return { root: h("div", {}, none, table), update };
}

function people(list) {
  const found = new Map();
  for (const job of list) {
    const name = job.person ?? "";
    const mine = found.get(name) ?? { running: 0, waiting: 0, threads: 0, memory: 0 };
    mine[job.state === "running" ? "running" : "waiting"] += 1;
    if (job.state === "running") {
      mine.threads += job.needs.threads ?? 0;
      mine.memory += job.needs.memory_gb ?? 0;
    }
    found.set(name, mine);
  }
  if (!found.size) return h("p.none", {}, "Nobody.");
  return facts([...found].map(([name, mine]) => [name ? said(name) : "not known", `${count(mine.running)} running on ${plural(mine.threads, "thread")} and ${bytes(mine.memory * 1e9)}, ${count(mine.waiting)} waiting`]));
}

export async function show(page) {
  const { signal, who } = page;
  const parts = Object.fromEntries(["top", "capacity", "workers", "people", "budgets"].map((name) => [name, h("div")]));
  const errors = h("div");
  const table = jobTable();
  const again = () => polled.now();
  const { place, does } = doing(signal, again);
  const ask = async (stop) => {
    const [queue, resources] = await Promise.all([look("queue", { states: GOING, limit: 1000 }, stop), look("resources", {}, stop)]);
    const list = queue.jobs.filter((job) => GOING.includes(job.state));
    settle(parts.top, [resources.running, resources.waiting, queue.scheduler], () => [
      h("p.run-facts", { role: "status" }, h("span", {}, `${count(resources.running)} running`), h("span", {}, `${count(resources.waiting)} waiting`)),
      !queue.scheduler && resources.waiting > 0 && h("p.problem", {}, "Nothing starts the runs that wait: no process keeps the queue."),
    ]);
    table.update(list, (job) => jobLine(job, who, does, again));
    settle(parts.capacity, [resources.nodes, resources.used, resources.disk_free_gb.toFixed(1)], () => capacity(resources));
    settle(parts.workers, resources.workers, (all) => workers(all, new Map(list.map((job) => [job.run, job.needs]))));
    settle(parts.people, list.map((job) => [job.person, job.state]), () => people(list));
    settle(parts.budgets, resources.budgets, (all) => (all.length ? [...new Set(all.map((one) => one.account))].map((account) => [h("h3", {}, said(account)), budgets(all.filter((one) => one.account === account))]) : h("p.none", {}, "No budget was granted.")));
    return list.some((job) => job.state === "running") ? 1500 : 5000;
  };
  append(page.root, h("h1", {}, "Queue"), parts.top, place, errors,
    section("What the machine has", parts.capacity), section("Jobs", table.root),
    h("div.columns.even", {}, h("div", {}, section("Who", parts.people), section("Budgets", parts.budgets)), h("div", {}, section("Workers", parts.workers))));
  const pause = await ask(signal);
  const polled = poll(ask, { signal, failed: (error) => replace(errors, error && trouble(error)), first: pause });
  return "Queue";
}
