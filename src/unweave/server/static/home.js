// Home: the lab, where one is served, and the targets with what each was taken apart into and what was foreseen of it.

import { h, said } from "./dom.js";
import { count } from "./numbers.js";
import { state } from "./lab_parts.js";
import { look } from "./lab_server.js";
import { trouble } from "./parts.js";
import { address, lab } from "./route.js";
import { subjects } from "./server.js";

/** What a subject is of, beside its title. */
function about(one) {
  if (one.subject === "preferences") return `${count(one.pairs)} pairs, ${count(one.stands)} of ${count(one.columns)} columns stand`;
  if (one.subject === "stories") return `${count(one.stories)} stories, ${count(one.sentences)} sentences`;
  if (one.subject === "concepts") return said(one.about);
  return [`${count(one.features)} `, KINDS[one.kind] ?? said(one.kind)];
}

const FIRST = { preferences: "preferences", stories: "stories" };
const KINDS = { subcomponents: "subcomponents", sae: "SAE latents", transcoder: "transcoder latents", probe: "probes" };

/** The lab's part, or the element that says why it cannot be shown. */
async function labPart(signal) {
  try {
    return labSection(await look("lab", {}, signal));
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return trouble(error);
  }
}

function labSection(answer) {
  const states = Object.entries(answer.by_status).filter(([, many]) => many > 0);
  const entry = (view, title, about) => h("li", {}, h("a", { href: lab(view) }, title), h("span.about", {}, about));
  return h("section.target", {},
    h("h2", {}, h("small", {}, "Lab "), said(answer.name)),
    h("ul.subjects", {},
      entry("runs", `${count(answer.runs)} ${answer.runs === 1 ? "run" : "runs"}`, [states.map(([word, many]) => [state(word), ` ${count(many)}\u2002`]), answer.invalid > 0 && h("span.tag.bad", {}, `${count(answer.invalid)} invalid`)]),
      entry("threads", `${count(answer.threads)} ${answer.threads === 1 ? "thread" : "threads"}`, "questions, plans, conclusions, reviews"),
      entry("agents", "Agent", "a question and a budget"),
      entry("queue", "Queue", answer.scheduler ? "runs are started" : "nothing starts the runs that wait"),
      answer.scopes.includes("run") && entry("start", "Start a run", `of ${count(answer.studies)} studies`)));
}

export async function show(page) {
  const answer = await subjects(page.signal);
  const all = answer.subjects;
  const targets = new Map();
  for (const one of all) {
    const target = one.target ?? "not known";
    targets.set(target, [...(targets.get(target) ?? []), one]);
  }
  page.root.append(h("h1", {}, "What is served"));
  if (answer.lab) page.root.append(await labPart(page.signal));
  if (all.length) page.root.append(h("p.lead", {}, "Choose a target and what it was taken apart into, what pairs would teach it, or what shapes it has."));
  else if (!answer.lab) page.root.append(h("p.none", {}, "Nothing: name a harvest when starting `unweave serve`."));
  for (const [target, entries] of targets) {
    page.root.append(
      h(
        "section.target",
        {},
        h("h2", {}, h("small", {}, "Target "), said(target)),
        h(
          "ul.subjects",
          {},
          entries.map((one) =>
            h(
              "li",
              {},
              h("a", { href: address(one.id, FIRST[one.subject]) }, said(one.title)),
              one.error
                ? h("span.problem", {}, said(one.error))
                : h("span.about", {}, about(one)),
              h("code.about", {}, said(one.id)),
            ),
          ),
        ),
      ),
    );
  }
  return "Choose";
}
