// Saved graphs of a subject: kept under a title, opened by address, forgotten.

import { announce, h, replace, said } from "./dom.js";
import { count } from "./numbers.js";
import { field, trouble } from "./parts.js";
import { address } from "./route.js";
import { ask } from "./server.js";

/** Fills `place` with the saved graphs and, where `present()` gives one, a form that saves it. */
export async function savedGraphs(overview, place, present, title, signal) {
  const errors = h("div");
  const act = async (view, request, done) => {
    try {
      const answer = await ask(overview.id, view, request, signal);
      draw(answer.graphs ? answer : await ask(overview.id, "graphs", {}, signal));
      replace(errors);
      announce(done);
    } catch (error) {
      if (error.name !== "AbortError") replace(errors, trouble(error));
    }
  };
  const name = h("input", { type: "text", maxlength: "120", required: true, autocomplete: "off", value: title });
  const draw = ({ graphs }) =>
    replace(
      place,
      h("h2", {}, "Saved graphs"),
      errors,
      present && h("form.make", { on: { submit: (event) => { event.preventDefault(); act("save-graph", { title: name.value, ...present() }, "saved"); } } }, field("Title", name, "wide"), h("button", {}, "Save this graph")),
      graphs.length === 0 && h("p.none", {}, "None yet."),
      graphs.length > 0 && h("ul.subjects", {}, graphs.map((one) => h("li", {},
        h("a", { href: address(overview.id, "graph", { saved: one.id }) }, said(one.title)),
        h("span.about", {}, said(one.text.length > 60 ? `${one.text.slice(0, 60)}…` : one.text)),
        h("span.about", {}, `${count(one.nodes)} nodes`),
        h("button.quiet", { type: "button", "aria-label": `Forget ${one.title}`, on: { click: () => act("drop-graph", { id: one.id }, `${one.title} forgotten`) } }, "Forget")))),
    );
  draw(await ask(overview.id, "graphs", {}, signal));
}
