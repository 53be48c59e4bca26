// The shape of a concept: its values in space, the curves through them, and scores beside their nulls.

import { announce, append, h, replace, said } from "./dom.js";
import { drawingFiles, pick, savedTable } from "./concept_parts.js";
import { conceptFigure, conceptRows } from "./concept_figure.js";
import { count } from "./numbers.js";
import { trouble } from "./parts.js";
import { remember } from "./route.js";
import { Scene3D } from "./scene3d.js";
import { ask, newest } from "./server.js";

export async function show(page) {
  const { overview, route, signal } = page;
  const entry = (name) => overview.concepts.find((one) => one.name === name) ?? overview.concepts[0];
  const chosen = { concept: entry(route.query.concept).name, layer: Number(route.query.layer ?? NaN), family: route.query.family ?? "" };
  const filters = h("div.filters");
  const errors = h("div");
  const tables = h("div.concept-tables");
  const words = h("p.lead");
  const space = new Scene3D({ title: "Values of a concept", signal, ratio: 0.66 });
  const asked = newest(0, signal);
  let answer = null;

  const draw = () => {
    const families = answer.curves.map((one) => one.family);
    if (!families.includes(chosen.family)) chosen.family = families[0] ?? "";
    replace(filters,
      pick("Concept", overview.concepts.map((one) => one.name), chosen.concept, (concept) => changed({ concept })),
      pick("Depth", entry(chosen.concept).layers, chosen.layer, (layer) => changed({ layer: Number(layer) })),
      families.length > 1 && pick("Curve", families, chosen.family, (family) => changed({ family })));
    const curve = answer.curves.find((one) => one.family === chosen.family);
    replace(words, `${count(answer.values.length)} values at depth ${answer.layer}`, curve && [", with the ", said(curve.family), curve.chosen ? ", which predicts a value that is left out best, drawn through them" : " drawn through them; what predicts a value that is left out best is marked under Families"], ". Places are scores on the principal axes of the values’ mean states.");
    space.title = `Values of ${chosen.concept}`;
    space.update(conceptFigure(answer, { family: chosen.family }), { words: `${answer.values.length} values: ${answer.values.slice(0, 12).map((one) => one.label).join(", ")}. Axes: ${answer.axes.join(", ")}.`, rows: conceptRows(answer) });
    announce(`${chosen.concept} at depth ${answer.layer}`);
  };
  const load = async (stop) => {
    const { layers, layer } = entry(chosen.concept);
    if (!layers.includes(chosen.layer)) chosen.layer = layer;
    answer = await ask(overview.id, "concepts-concept", { concept: chosen.concept, layer: chosen.layer }, stop);
    replace(errors);
    draw();
    replace(tables, savedTable("Scores over splits", answer.summary), savedTable("Scores", answer.scores), savedTable("Families", answer.families));
  };
  const changed = (changes) => {
    Object.assign(chosen, changes);
    remember({ concept: chosen.concept, layer: changes.concept ? "" : chosen.layer, family: changes.family ?? "" });
    if (changes.family) draw();
    else asked(load, (error) => replace(errors, trouble(error)));
  };

  append(page.root, h("h1", {}, "Shapes of concepts", overview.target && [" in ", said(overview.target)]), filters, errors,
    words, space.root, drawingFiles(space, () => `${chosen.concept} depth ${chosen.layer}`), tables);
  await load(signal);
  return "Concepts";
}
