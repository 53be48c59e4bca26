// One run: its state and progress, curves, figures, tables, claims, log, what it was made with and what it used.

import { announce, append, h, picture, replace, said, settle } from "./dom.js";
import { LogTail } from "./lab_log.js";
import { Metrics } from "./lab_metrics.js";
import { LIVE, button, coded, doing, duration, runLink, state, threadLink, verdict } from "./lab_parts.js";
import { poll } from "./lab_poll.js";
import { ProgressBar } from "./lab_progress.js";
import { record, usage } from "./lab_record.js";
import { look } from "./lab_server.js";
import { count } from "./numbers.js";
import { markdown } from "./markdown.js";
import { section, trouble } from "./parts.js";
import { lab } from "./route.js";

const RESUMABLE = ["paused", "interrupted", "failed", "cancelled"];

/** The buttons of a run that somebody may steer; which of them make sense depends on its state. */
export function steering(id, does, again) {
  const press = (operation, words, request = {}) => async () => {
    if (await does(operation, { run: id, ...request }, `${id}: ${words}`)) await again();
  };
  const all = {
    pause: button("Pause", press("pause-run", "paused")),
    resume: button("Resume", press("resume-run", "resumed")),
    cancel: button("Cancel", press("cancel-run", "asked to stop")),
  };
  for (const [name, one] of Object.entries(all)) one.setAttribute("aria-label", `${name} ${id}`);
  const root = h("span.buttons.steering", {}, Object.values(all));
  const update = (status, queued) => {
    all.pause.hidden = !queued || (status !== "running" && status !== "waiting");
    all.resume.hidden = !queued || !RESUMABLE.includes(status);
    all.cancel.hidden = !LIVE.has(status);
    root.hidden = Object.values(all).every((one) => one.hidden);
  };
  return { root, update };
}

function heading(run) {
  return [
    state(run.status),
    run.status !== "waiting" && run.seconds !== null && h("span", {}, LIVE.has(run.status) ? "for " : "took ", duration(run.seconds)),
    h("span", {}, "Study ", said(run.study)),
    run.thread && h("span", {}, "Thread ", threadLink(run.thread)),
    run.person && h("span", {}, "by ", said(run.person)),
    run.parents.length > 0 && h("span", {}, "after ", run.parents.map((one, at) => [at ? ", " : "", runLink(one)])),
  ];
}

function invalid(run) {
  return [
    !run.valid && h("div.problem", { role: "alert" }, h("p", {}, h("b", {}, "Invalid. "), said(run.reason ?? "Its files are not those that it finished with."))),
    run.question && h("p.lead", {}, said(run.question)),
    run.note && h("p", {}, h("span.dim", {}, "Note: "), said(run.note)),
  ];
}

function tables(run) {
  if (!run.tables.length) return h("p.none", {}, "No table was saved.");
  return h("ul.subjects", {}, run.tables.map((one) => h("li", {}, h("a", { href: lab("table", [run.id, one.name]) }, said(one.name)), h("span.about", {}, one.caption && said(one.caption)), h("span.about", {}, `${count(one.rows)} ${one.rows === 1 ? "row" : "rows"}`))));
}

function claims(run, list) {
  if (!list.length) return h("p.none", {}, LIVE.has(run.status) ? "None yet." : "It claims nothing.");
  return [
    h("ol.claim-list", { start: "0" }, list.map((one) => h("li", {}, h("a", { href: lab("claims", run.id, { claim: one.number }) }, coded(one.sentence)), " ", verdict(one.verdict)))),
    h("p", {}, h("a", { href: lab("claims", run.id) }, "Every claim with its evidence")),
  ];
}

async function figures(run, place, signal) {
  const drawn = await Promise.all(run.figures.map((figure) => look("figure", { run: run.id, figure }, signal)));
  const narrow = window.matchMedia("(max-width: 40rem)").matches;
  replace(place, drawn.length === 0 && h("p.none", {}, "No figure was drawn."), drawn.map((one) =>
    h("figure.from-run", {},
      picture(narrow && one.narrow ? one.narrow : one.svg, `${one.title || one.figure}. Its numbers are in table ${one.table}.`),
      h("figcaption", {}, "Drawn from table ", h("a", { href: lab("table", [run.id, one.table]) }, said(one.table))))));
}

export async function show(page) {
  const { signal, who } = page;
  const [id] = page.route.ids;
  const first = await look("run", { run: id }, signal);
  const top = h("p.run-facts");
  const troubles = h("div");
  const errors = h("div");
  const parts = { report: h("div"), claims: h("div"), figures: h("div.figures"), tables: h("div"), usage: h("div"), record: h("div") };
  const progress = new ProgressBar();
  const metrics = new Metrics(id, signal);
  const log = new LogTail(id);
  const { place, does } = doing(signal);
  const steer = who.may("run") ? steering(id, does, () => polled.now()) : null;
  let before = null;
  let drawn = null;
  const draw = async (run) => {
    settle(top, [run.status, Math.round(run.seconds ?? 0), run.thread, run.person], () => heading(run));
    settle(troubles, [run.valid, run.reason, run.note, run.question], () => invalid(run));
    progress.update(run.progress, run.status, run.created);
    steer?.update(run.status, run.job_state !== null);
    settle(parts.tables, run.tables, () => tables(run));
    settle(parts.usage, [run.usage, run.needs], () => usage(run));
    settle(parts.record, [run.config, run.plan, run.seeds, run.identities, run.environment, run.finished], () => record(run));
    if (before && before !== run.status) announce(`${run.id}: ${run.status}`);
    const ended = before !== run.status;
    const written = JSON.stringify([run.figures, run.tables, run.claims]);
    before = run.status;
    if (!ended && written === drawn) return;
    drawn = written;
    const list = (await look("claims", { run: id }, signal)).claims;
    settle(parts.claims, [list, run.status], () => claims(run, list));
    await figures(run, parts.figures, signal);
    const { text } = ended && !LIVE.has(run.status) ? await look("report", { run: id }, signal) : {};
    if (text) settle(parts.report, text, () => section("Report", markdown(text, (name) => run.tables.some((one) => one.name === name) && h("a", { href: lab("table", [id, name]) }, h("code", {}, said(name))))));
  };
  append(
    page.root,
    h("div.heading", {}, h("h1.run-title", {}, said(id)), steer?.root ?? ""),
    top, place, errors, troubles, progress.root,
    h("div.columns", {},
      h("div.left", {}, parts.report, section("Metrics", metrics.root), section("Figures", parts.figures), section("Tables", parts.tables), section("Log", log.root)),
      h("div.right", {}, section("Claims", parts.claims), section("Used", parts.usage), section("Record", parts.record))),
  );
  await Promise.all([draw(first), metrics.ask(), log.ask(signal)]);
  const polled = poll(async (stop) => {
    const run = await look("run", { run: id }, stop);
    await Promise.all([draw(run), metrics.ask(), log.ask(stop)]);
    return run.status === "running" ? 1000 : LIVE.has(run.status) ? 3000 : null;
  }, { signal, failed: (error) => replace(errors, error && trouble(error)), first: LIVE.has(first.status) ? 1000 : 60000 });
  return id;
}
