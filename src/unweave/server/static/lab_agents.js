// The agent: a form that starts one with a question and a budget, and those that work or have worked.

import { append, h, replace, said } from "./dom.js";
import { ago, doing, state } from "./lab_parts.js";
import { proposals } from "./lab_proposals.js";
import { look } from "./lab_server.js";
import { field, section } from "./parts.js";
import { go, lab } from "./route.js";

function amount(properties) {
  return h("input", { type: "number", step: "any", min: "0", ...properties });
}

function optional(input, factor = 1) {
  return input.value.trim() === "" ? null : Number(input.value) * factor;
}

/** Starts an agent, and goes to its page. */
function start(studies, signal) {
  const { place, does } = doing(signal, (answer) => go(lab("agent", answer.thread)));
  const question = h("textarea", { rows: "2", maxlength: "1000", required: true, dir: "auto", "data-first-field": true });
  const runs = amount({ step: "1", min: "1", max: "10000", value: "60", required: true });
  const minutes = amount({ placeholder: "no limit" });
  const tokens = amount({ placeholder: "no limit", step: "1" });
  const dollars = amount({ placeholder: "no limit" });
  const [priceIn, priceOut] = [amount({ placeholder: "unknown" }), amount({ placeholder: "unknown" })];
  const planner = h("select", {}, h("option", { value: "built-in" }, "built in: screens, halves, confirms; no language model"), h("option", { value: "language-model" }, "a language model"));
  const wait = h("input", { type: "checkbox", checked: true });
  const paid = h("div.pair-of-fields", { hidden: true }, field("Tokens, at most", tokens), field("Dollars, at most", dollars), field("Dollars a million tokens read", priceIn), field("Dollars a million written", priceOut));
  planner.addEventListener("change", () => (paid.hidden = planner.value !== "language-model"));
  const submit = (event) => {
    event.preventDefault();
    does("start-agent", {
      question: question.value.trim(), runs: Math.round(Number(runs.value)), seconds: optional(minutes, 60),
      tokens: paid.hidden ? null : optional(tokens), dollars: paid.hidden ? null : optional(dollars),
      price_in: paid.hidden ? null : optional(priceIn), price_out: paid.hidden ? null : optional(priceOut),
      planner: planner.value, wait_for_approval: wait.checked,
    }, "the agent makes a plan");
  };
  return [
    h("form.agent-form", { on: { submit } },
      field("Question", question, "wide"),
      h("div.filters", {}, field("Runs, at most", runs, "short"), field("Minutes of runs, at most", minutes, "short"), field("Planner", planner), paid),
      h("label.tick", {}, wait, "Wait until somebody approves the plan"),
      h("p.buttons", {}, h("button", {}, "Start"), h("span.help", {}, studies.length ? ["It can ask ", studies.map((one, at) => [at ? ", " : "", said(one.name)]), "."] : "No study here says how it may be asked."), h("span.help", {}, "The one who runs never judges: an auditor and a critic do."))),
    place,
  ];
}

function list(jobs) {
  if (!jobs.length) return h("p.none", {}, "No agent has worked here.");
  return h("table.threads", { "aria-label": "Agents, the newest first" },
    h("thead", {}, h("tr", {}, ["Question", "State", "Who", "Started"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, jobs.map(({ job, question }) => h("tr", {},
      h("th", { scope: "row" }, h("a.question", { href: lab("agent", job.thread) }, said(question ?? job.thread))),
      h("td.of-state", {}, state(job.state)), h("td", {}, job.person ? said(job.person) : "–"), h("td", {}, ago(job.submitted))))));
}

export async function show(page) {
  const { signal, who } = page;
  const [studies, queue, threads] = await Promise.all([look("studies", {}, signal), look("queue", { limit: 1000 }, signal), look("threads", {}, signal)]);
  const questions = new Map(threads.threads.map((one) => [one.id, one.question]));
  const newest = new Map();
  // The newest comes first.
  for (const job of queue.jobs) if (job.kind === "agent" && job.thread && !newest.has(job.thread)) newest.set(job.thread, job);
  const jobs = [...newest.values()].map((job) => ({ job, question: questions.get(job.thread) }));
  const place = h("div");
  const code = h("div");
  append(page.root, h("h1", {}, "Agent"),
    h("p.lead", {}, "It proposes a plan with its predictions, runs studies within the budget, and reports only numbers that are claims."),
    who.may("run") ? start(studies.studies.filter((one) => one.planned), signal) : h("p.help", {}, "Starting one needs the role of a runner."),
    section("Agents", place), section("Proposed code", code));
  replace(place, list(jobs));
  await proposals(code, who, signal);
  return "Agent";
}
