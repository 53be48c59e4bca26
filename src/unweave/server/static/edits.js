// The edits made of this subject: a stack that is applied in order, undone, redone and forgotten.

import { announce, h, replace, said } from "./dom.js";
import { count, number } from "./numbers.js";
import { featureLink, trouble } from "./parts.js";
import { ask } from "./server.js";

function when(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? said(text) : h("time", { datetime: text }, date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }));
}

function factors(overview, all) {
  return h("ul.factors", {}, Object.entries(all).map(([name, factor]) => h("li", {}, featureLink(overview, name), " × ", h("b", {}, number(factor)))));
}

export async function show(page) {
  const { overview, signal } = page;
  page.root.append(h("h1", {}, "Edits"));
  if (!overview.edit.available) {
    page.root.append(h("p.none", {}, said(overview.edit.reason || "This dictionary cannot be edited.")));
    return "Edits";
  }
  const place = h("div");
  const errors = h("div");
  page.root.append(h("p.lead", {}, "Active edits are applied together, oldest first. An undone edit is kept until it is forgotten."), errors, place);

  const act = async (view, request, said) => {
    try {
      draw(await ask(overview.id, view, request, signal));
      replace(errors);
      announce(said);
    } catch (error) {
      if (error.name !== "AbortError") replace(errors, trouble(error));
    }
  };
  const button = (text, view, name, done) =>
    h("button.quiet", { type: "button", "aria-label": `${text} ${name}`, on: { click: () => act(view, { name }, `${name} ${done}`) } }, text);
  const draw = ({ edits }) => {
    const active = edits.filter((edit) => edit.active);
    const undone = edits.filter((edit) => !edit.active);
    replace(
      place,
      h("p.buttons", {},
        h("button", { type: "button", disabled: !active.length, on: { click: () => act("undo-edit", {}, "the last edit was undone") } }, "Undo the last"),
        h("button", { type: "button", disabled: !undone.length, on: { click: () => act("redo-edit", {}, "the edit undone last is applied again") } }, "Redo"),
        h("span.total", {}, `${count(active.length)} active, ${count(undone.length)} undone`)),
      edits.length === 0 && h("p.none", {}, `None yet. Set a factor on a ${overview.singular}'s page and make it an edit.`),
      edits.length > 0 && h("table.edits", { "aria-label": "Edits, oldest first" },
        h("thead", {}, h("tr", {}, ["Name", "Factors", "Made", "State", ""].map((title) => h("th", { scope: "col" }, title)))),
        h("tbody", {}, edits.map((edit) => h(edit.active ? "tr.active" : "tr.undone", {},
          h("th", { scope: "row" }, said(edit.name)),
          h("td", {}, factors(overview, edit.factors)),
          h("td.made-at", {}, when(edit.made)),
          h("td.state", {}, edit.active ? "● active" : "○ undone"),
          h("td.does", {}, edit.active ? button("Undo", "undo-edit", edit.name, "undone") : [button("Redo", "redo-edit", edit.name, "applied again"), button("Forget", "drop-edit", edit.name, "forgotten")]))))),
    );
  };
  draw(await ask(overview.id, "edits", {}, signal));
  return "Edits";
}
