// A form that puts a run of a study into the queue: the study's own fields, each with what it means and its default.

import { append, h, replace, said } from "./dom.js";
import { coded, doing } from "./lab_parts.js";
import { look } from "./lab_server.js";
import { sweeping } from "./lab_sweep.js";
import { field, trouble } from "./parts.js";
import { go, lab, remember } from "./route.js";

/** What somebody wrote for a field, as JSON where it reads as JSON, else as the text it is. */
export function written(text) {
  const plain = text.trim();
  if (/^-?\d+(\.\d+)?([eE][-+]?\d+)?$|^(true|false|null)$|^[[{"]/.test(plain)) {
    try {
      return JSON.parse(plain);
    } catch {
      // Not JSON after all.
    }
  }
  return plain;
}

function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** What a field of few values is chosen from, or null for one that is written. */
function choices(type) {
  if (type === "bool") return ["true", "false"];
  const found = /^Literal\[(('[^']*'(, )?)+)\]$/.exec(type);
  return found ? [...found[1].matchAll(/'([^']*)'/g)].map(([, value]) => value) : null;
}

function control(one) {
  const usual = one.required ? "must be given" : shown(one.default);
  const options = choices(one.type);
  if (options) return h("select", { name: one.name, required: one.required }, h("option", { value: "" }, one.required ? usual : `${usual}, as usual`), options.filter((value) => value !== usual).map((value) => h("option", { value }, value)));
  return h("input", { name: one.name, placeholder: usual, required: one.required, autocomplete: "off", spellcheck: "false" });
}

/** The fields of a study; those left as they were are not sent. */
function settings(study) {
  const inputs = study.fields.map((one) => ({ one, input: control(one) }));
  const root = h("div.settings", {}, inputs.map(({ one, input }) => h("div.setting", {}, field(one.name, input), h("p.help", {}, h("code", {}, said(one.type)), " ", coded(one.meaning)))));
  return { root, read: () => Object.fromEntries(inputs.filter(({ input }) => input.value.trim() !== "").map(({ one, input }) => [one.name, written(input.value)])) };
}

export async function show(page) {
  const { signal, who, route } = page;
  const { studies } = await look("studies", {}, signal);
  append(page.root, h("h1", {}, "Start a run"));
  if (!who.may("run")) {
    append(page.root, h("p.none", {}, "Starting one needs the role of a runner: ask an owner of the lab."));
    return "Start a run";
  }
  const place = h("div");
  const { place: refusals, does } = doing(signal, (answer) => go(lab("run", (answer.job ?? answer.jobs[0]).run)));
  const select = h("select", { "data-first-field": true }, h("option", { value: "" }, "choose one"), studies.map((one) => h("option", { value: one.name }, one.name)));
  const draw = async (name) => {
    replace(place);
    if (!name) return;
    try {
      const study = await look("study", { name }, signal);
      const chosen = settings(study);
      const run = h("input", { pattern: "[a-z0-9][a-z0-9._\\-]{0,99}", maxlength: "100", autocomplete: "off", spellcheck: "false", placeholder: "study, date and time" });
      const priority = h("input", { type: "number", step: "1", min: "-1000", max: "1000", value: "0" });
      const request = () => ({ study: name, settings: chosen.read(), name: run.value.trim() || null, priority: Math.round(Number(priority.value)), thread: route.query.thread ?? null });
      const submit = (event) => {
        event.preventDefault();
        does("start-run", request(), "the run waits in the queue");
      };
      const sweep = sweeping(study.fields, written, (what) => does("start-sweep", { ...request(), ...what }, "the sweep waits in the queue"));
      replace(place, h("form", { on: { submit } }, h("p.lead", {}, said(study.question)), chosen.root,
        h("div.filters", {}, field("Name of the run", run), field("Priority", priority, "short")), h("p.buttons", {}, h("button", {}, "Put into the queue"))), sweep);
    } catch (error) {
      if (error.name !== "AbortError") replace(place, trouble(error));
    }
  };
  select.addEventListener("change", () => (remember({ study: select.value }), draw(select.value)));
  append(page.root, h("div.filters", {}, field("Study", select)), refusals, place);
  select.value = studies.some((one) => one.name === route.query.study) ? route.query.study : "";
  await draw(select.value);
  return "Start a run";
}
