// A plan as somebody who approves it must read it: hypotheses with predictions, arms, seeds, what counts, when it stops.

import { h, said } from "./dom.js";
import { ago, facts, hash, plain } from "./lab_parts.js";
import { count, number } from "./numbers.js";

const READ = new Set(["question", "study", "kind", "arms", "stages", "hypotheses", "criterion", "stopping", "contrasts", "budget", "identities", "code", "planner", "launch", "said", "axes"]);

function table(name, heads, rows) {
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": name }, h("table", {},
    h("caption", {}, name),
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, at) => h(at ? "td" : "th", at ? {} : { scope: "row" }, cell)))))));
}

function prediction(one) {
  const than = one.than ? [" than ", said(one.than)] : one.expected === "no difference" ? [] : [" the bar"];
  const value = typeof one.value === "number" ? `, about ${number(one.value)}` : "";
  return h("li", {}, h("b", {}, said(one.arm === "*" ? "the best candidate" : one.arm)), ": ", said(one.outcome), " ", said(one.expected), than, value);
}

/** A number that is read off a run, in words. */
function outcome(one) {
  const where = Object.entries(one.where ?? {}).map(([name, value]) => `${name} = ${value}`).join(", ");
  const bar = typeof one.bar === "number" ? `; the bar is ${one.better === "lower" ? "at most" : "at least"} ${number(one.bar)}${one.unit ? ` ${one.unit}` : ""}` : "";
  return [h("b", {}, said(one.name)), ": column ", h("code", {}, said(one.column)), " of table ", h("code", {}, said(one.table)), where && [" where ", said(where)], bar];
}

function structured(plan) {
  const { criterion, stopping } = plan;
  const outcomes = [["Effect", [criterion.effect]], ["Harms", criterion.harms ?? []], ["Equal between arms", criterion.equal ?? []]];
  const rest = Object.fromEntries(Object.entries(plan).filter(([key]) => !READ.has(key)));
  return [
    facts([["Study", said(plan.study)], plan.planner && ["Planner", said(plan.planner)], plan.budget && Object.keys(plan.budget).length > 0 && ["Budget", plain(plan.budget)]]),
    h("h4", {}, "Hypotheses, and what is predicted before anything runs"),
    h("ul.hypotheses", {}, plan.hypotheses.map((one) => h("li", {}, h("p", {}, h("b", {}, said(one.name)), " ", said(one.statement)), h("ul", {}, (one.predictions ?? []).map(prediction))))),
    table("Arms", ["Arm", "Role", "Settings"], plan.arms.map((arm) => [said(arm.name), said(arm.role), plain(arm.settings)])),
    plan.axes?.length > 0 && [h("h4", {}, "Varied"), h("ul", {}, plan.axes.map((one) => h("li", {}, h("code", {}, said(one.field)), " over ", plain(one.values), one.ordered && ", in order")))],
    table("Stages", ["Stage", "Seeds", "Settings over the arm's own"], plan.stages.map((one) => [said(one.name), one.seeds.join(", "), plain(one.settings)])),
    h("h4", {}, "What counts as an answer"),
    h("ul", {}, outcomes.flatMap(([name, list]) => list.map((one) => h("li", {}, `${name}: `, outcome(one)))), typeof criterion.level === "number" && h("li", {}, `False statements: at most ${number(criterion.level)} over all that is confirmed`)),
    plan.contrasts?.length > 0 && [h("h4", {}, "Compared"), h("ul", {}, plan.contrasts.map(([first, second]) => h("li", {}, said(first), " against ", said(second))))],
    h("h4", {}, "When it stops"),
    h("p", {}, said(stopping.text), ` (${count(stopping.seeds)} fresh seeds at least, ${count(stopping.finalists)} confirmed at most)`),
    plan.identities && Object.keys(plan.identities).length > 0 && [h("h4", {}, "What the runs must have read"), plain(plan.identities)],
    plan.said && h("p", {}, h("span.dim", {}, "Next: "), said(plan.said)),
    Object.keys(rest).length > 0 && plain(rest),
  ];
}

/** A plan's content: in words where it has the lab's own shape, else as the JSON it is. */
export function planContent(plan) {
  const known = Array.isArray(plan.arms) && Array.isArray(plan.stages) && Array.isArray(plan.hypotheses) && plan.criterion?.effect && plan.stopping;
  try {
    if (known) return structured(plan);
  } catch {
    // Somebody else's plan that only resembles ours is shown as it is.
  }
  return plain(plan);
}

function flat(value, path = "", into = new Map()) {
  if (value !== null && typeof value === "object" && Object.keys(value).length) {
    for (const [key, inner] of Object.entries(value)) flat(inner, path ? `${path}.${key}` : key, into);
  } else into.set(path, JSON.stringify(value) ?? "null");
  return into;
}

/** What changed from one plan to the next: `[path, before | null, after | null]`, the next step left out. */
export function differences(before, after) {
  const [old, fresh] = [flat(before), flat(after)];
  const step = (path) => /^(launch|said)(\.|$)/.test(path);
  return [...new Set([...old.keys(), ...fresh.keys()])]
    .filter((path) => !step(path) && old.get(path) !== fresh.get(path))
    .map((path) => [path, old.get(path) ?? null, fresh.get(path) ?? null]);
}

function changes(before, after) {
  const list = differences(before, after);
  if (!list.length) return h("p.none", {}, "Nothing but its next step.");
  const shown = (value) => (value === null ? h("span.none", {}, "not there") : h("code", {}, said(value)));
  return table("What changed", ["Where", "Before", "Now"], list.slice(0, 200).map(([path, old, fresh]) => [said(path), shown(old), shown(fresh)]));
}

/** All versions of a plan, the newest first and open. `buttons(plan)` gives what may be done with the newest. */
export function plans(list, buttons) {
  if (!list.length) return h("p.none", {}, "No plan was proposed.");
  return [...list].reverse().map((one, at) => {
    const before = list[list.length - at - 2];
    return h("article.plan", {},
      h("p.plan-head", {}, h("b", {}, `Version ${list.length - at}`), h("span", {}, "by ", said(one.by), " ", ago(one.at)), h("span", {}, "sha256 ", hash(one.sha256)), h("span", {}, one.approved ? [h("b", {}, "✓ approved"), " by ", said(one.approved.by), " ", ago(one.approved.at), one.approved.note && [": ", said(one.approved.note)]] : "not approved")),
      at === 0 && buttons(one),
      h("details", { open: at === 0 }, h("summary", {}, at === 0 ? "The plan in force" : "This version"), planContent(one.content)),
      before && h("details", {}, h("summary", {}, `What changed since version ${list.length - at - 1}`), changes(before.content, one.content)));
  });
}
