// Forms that add to a thread. Each is closed until somebody wants it, and empties itself once the lab has what it says.

import { h, replace } from "./dom.js";
import { field } from "./parts.js";

function text(properties = {}) {
  return h("input", { maxlength: "1000", required: true, autocomplete: "off", ...properties });
}

function area(properties = {}) {
  return h("textarea", { rows: "4", maxlength: "100000", required: true, dir: "auto", ...properties });
}

function choice(options) {
  return h("select", {}, options.map(([value, name]) => h("option", { value }, name)));
}

/** A form behind its name; `request()` is read when it is sent, and the fields are emptied when that worked. */
function form(title, fields, send, word = "Add") {
  const controls = fields.map(([, control]) => control);
  const submit = async (event) => {
    event.preventDefault();
    if (!(await send())) return;
    for (const control of controls) if (control.tagName !== "SELECT") control.value = "";
    root.open = false;
  };
  const root = h("details.write", {}, h("summary", {}, title), h("form.stacked", { on: { submit } }, fields.map(([name, control]) => field(name, control)), h("button", {}, word)));
  return root;
}

const ID = { pattern: "[a-z0-9][a-z0-9._\\-]{0,99}", maxlength: "100", spellcheck: "false" };

/** The forms of somebody who may run things, by what they add. */
export function adding(thread, does) {
  const note = area();
  const statement = text();
  const prediction = text();
  const named = text({ required: false, maxlength: "100" });
  const run = text(ID);
  const role = choice(["confirm", "screen", "null", "control", "baseline", "replication"].map((one) => [one, one]));
  const failed = text();
  const why = text();
  const failedRun = text({ ...ID, required: false });
  const relation = choice([["extends", "extends"], ["replicates", "replicates"], ["contradicts", "contradicts"]]);
  const to = text(ID);
  const state = choice([["concluded", "concluded"], ["stopped", "stopped"], ["open", "open"]]);
  const reason = text({ required: false });
  const plan = area({ placeholder: '{"study": …}', spellcheck: "false" });
  const sentence = text();
  const claims = text({ placeholder: "RUN:0, RUN:1" });
  return {
    note: form("Write a note", [["Markdown", note]], () => does("add-note", { thread, text: note.value }, "note added")),
    hypothesis: form("Write a hypothesis", [["What is supposed", statement], ["What would be seen if it held", prediction], ["A short name, if it needs one", named]],
      () => does("add-hypothesis", { thread, text: statement.value.trim(), predicted: prediction.value.trim(), name: named.value.trim() }, "hypothesis added")),
    run: form("Add a run", [["Its id", run], ["What it is for", role]], () => does("add-run", { thread, run: run.value.trim(), part: role.value }, "run added")),
    tried: form("Record what failed", [["What was tried", failed], ["Why it failed", why], ["Its run, if there is one", failedRun]],
      () => does("add-tried", { thread, what: failed.value.trim(), why: why.value.trim(), runs: failedRun.value.trim() ? [failedRun.value.trim()] : [] }, "recorded")),
    link: form("Link another thread", [["This thread", relation], ["Its id", to]], () => does("link", { thread, relation: relation.value, to: to.value.trim() }, "linked")),
    state: form("Conclude, stop or reopen it", [["The thread is", state], ["Why", reason]], () => does("set-thread-state", { thread, state: state.value, why: reason.value.trim() }, `the thread is ${state.value}`), "Set"),
    plan: form("Propose a plan", [["The plan as JSON", plan]], () => proposed(thread, plan, does), "Propose"),
    conclusion: form("Conclude", [["What was found", sentence], ["The claims that it rests on: RUN:NUMBER, counted from 0, several with commas", claims]],
      () => concluded(thread, sentence, claims, does)),
  };
}

/** Sends a plan that reads as a JSON object; one that does not is said at its field. */
function proposed(thread, control, does) {
  let plan = null;
  try {
    plan = JSON.parse(control.value);
  } catch (error) {
    control.setCustomValidity(`This is not JSON: ${error.message}`);
  }
  if (plan !== null && (typeof plan !== "object" || Array.isArray(plan))) control.setCustomValidity("A plan is a JSON object: {…}");
  control.addEventListener("input", () => control.setCustomValidity(""), { once: true });
  return control.reportValidity() && does("propose-plan", { thread, plan }, "plan proposed");
}

/** `run-a:0, run-b:2` as the lab wants it; null where one of them is not a run's id and the number of a claim. */
export function cited(words) {
  const found = words.split(",").map((one) => one.trim().match(/^([a-z0-9][a-z0-9._-]{0,99}):(\d{1,9})$/));
  return found.every(Boolean) ? found.map(([, run, number]) => ({ run, claim: Number(number) })) : null;
}

/** Sends a conclusion; claims that cannot be read are said at their field. */
function concluded(thread, sentence, control, does) {
  const claims = cited(control.value);
  if (claims === null) control.setCustomValidity("Name each claim as RUN:NUMBER, counted from 0, with commas between them");
  control.addEventListener("input", () => control.setCustomValidity(""), { once: true });
  return control.reportValidity() && does("conclude", { thread, text: sentence.value.trim(), claims }, "concluded");
}

/** The form of a reviewer. */
export function reviewing(thread, does) {
  const verdict = choice([["accept", "Accept"], ["revise", "Ask for a revision"], ["reject", "Reject"]]);
  const words = area();
  const place = h("div");
  replace(place, form("Review this thread", [["Verdict", verdict], ["Why", words]], () => does("review-thread", { thread, verdict: verdict.value, text: words.value }, "review added"), "Send the review"));
  return place;
}
