// Steering between two values: the ways in space, what is answered along each, and a value that is moved by hand.

import { announce, append, h, replace, s, said } from "./dom.js";
import { conceptFigure, conceptRows, placeAt, wayLook } from "./concept_figure.js";
import { drawingFiles, pick, savedTable } from "./concept_parts.js";
import { Curve } from "./curve.js";
import { percent } from "./numbers.js";
import { bar, section, trouble } from "./parts.js";
import { remember } from "./route.js";
import { Scene3D } from "./scene3d.js";
import { ask, newest } from "./server.js";

const MOST_LINES = 10;
const LEAST = 0.02;
const STEPS = 240;

/** Lines of the answers that matter along a way, the others summed; what is no value is always shown. */
function answerLines(way) {
  const other = way.answers.at(-1);
  const values = way.answers.slice(0, -1);
  const size = (line) => Math.max(...line.points.map((point) => point.probability));
  const listed = [...values].sort((a, b) => size(b) - size(a)).slice(0, MOST_LINES).filter((line) => size(line) >= LEAST);
  const kept = values.filter((line) => listed.includes(line));
  const rest = values.filter((line) => !listed.includes(line));
  const lines = [...kept, other].filter(Boolean).map((line) => ({ name: line.answer, points: line.points.map((point) => [point.t, point.probability, point.low, point.high]) }));
  if (rest.length) {
    const sums = other.points.map((point, at) => [point.t, rest.reduce((sum, line) => sum + (line.points[at]?.probability ?? 0), 0)]);
    lines.push({ name: `${rest.length} other values`, points: sums });
  }
  return lines;
}

/** A slider along the curve; the loaded model says what it answers there. */
class Mover {
  constructor({ overview, signal, placed }) {
    Object.assign(this, { overview, placed, curve: null });
    this.asked = newest(120, signal);
    this.slider = h("input", { type: "range", min: "0", max: String(STEPS), step: "1", on: { input: () => this.move(this.theta()) } });
    this.values = h("div.buttons.mover-values");
    this.words = h("p.help", { role: "status" });
    this.errors = h("div");
    this.body = h("tbody");
    this.root = section("Move it yourself",
      overview.moving.available
        ? [h("p.help", {}, "Slide along the curve, or choose a value. The model answers with its state moved there: the mean over base prompts, and how far they differ."),
          h("label.field", {}, h("span", {}, "Place on the curve"), this.slider), this.values, this.words, this.errors,
          h("table.moved", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Answer"), h("th", { scope: "col" }, "Probability"), h("th.number", { scope: "col" }, "± sd"))), this.body)]
        : h("p.none", {}, "Nothing can be moved here: ", said(overview.moving.reason)));
  }

  theta() {
    const { theta } = this.curve;
    return theta[0] + ((theta.at(-1) - theta[0]) * Number(this.slider.value)) / STEPS;
  }

  /** Another task or depth. */
  show({ task, layer, curves, values }) {
    Object.assign(this, { task, layer, curve: curves.find((one) => one.theta.length > 1) ?? null });
    this.asked.stop();
    replace(this.body);
    replace(this.errors);
    this.slider.disabled = this.curve === null;
    this.slider.value = "0";
    replace(this.values, values.filter((one) => one.theta !== null).slice(0, 60).map((one) => h("button.quiet", { type: "button", on: { click: () => this.to(one) } }, said(one.label))));
  }

  to(value) {
    const { theta } = this.curve ?? { theta: [] };
    if (theta.length > 1) {
      const period = this.curve.closed ? theta.at(-1) - theta[0] : 0;
      const at = period ? ((((value.theta - theta[0]) % period) + period) % period) + theta[0] : value.theta;
      this.slider.value = String(Math.round((STEPS * (at - theta[0])) / (theta.at(-1) - theta[0])));
    }
    this.move(value.theta);
  }

  move(theta) {
    if (this.curve) this.placed(placeAt(this.curve, theta));
    this.words.textContent = "The model is asked …";
    const { task, layer } = this;
    this.asked(async (stop) => {
      const answer = await ask(this.overview.id, "concepts-move", { task, layer, theta }, stop);
      replace(this.errors);
      const best = [...answer.answers].sort((a, b) => b.probability - a.probability).slice(0, 12);
      const shown = answer.answers.filter((one, at) => best.includes(one) || at === answer.answers.length - 1);
      this.words.textContent = `It answers ${best[0].answer}, ${percent(best[0].probability)}.`;
      replace(this.body, shown.map((one) => h(one === best[0] ? "tr.chosen" : "tr", {}, h("th", { scope: "row" }, said(one.answer)), h("td", {}, bar(one.probability, percent(one.probability))), h("td.number", {}, percent(one.deviation)))));
    }, (error) => {
      this.words.textContent = "";
      replace(this.errors, trouble(error));
    });
  }
}

function waysKey(ways, chosen, choose) {
  return h("div.buttons.ways", { role: "group", "aria-label": "Way" }, ways.map(({ way }) => {
    const look = wayLook(way);
    return h("button.quiet", { type: "button", "aria-pressed": String(way === chosen), on: { click: () => choose(way) } },
      s(`svg.way-line.in-${look.colour}`, { width: "34", height: "8", "aria-hidden": "true" }, s("path", { d: "M0 4H34", "stroke-dasharray": look.dash?.join(" ") ?? "none" })), " ", said(way));
  }));
}

export async function show(page) {
  const { overview, route, signal } = page;
  const entry = (name) => overview.tasks.find((one) => one.name === name) ?? overview.tasks[0];
  const chosen = { task: entry(route.query.task).name, layer: Number(route.query.layer ?? NaN), pair: route.query.pair ?? "", way: route.query.way ?? "" };
  const filters = h("div.filters");
  const errors = h("div");
  const ways = h("div");
  const tables = h("div.concept-tables");
  const along = h("input", { type: "range", min: "0", max: "100", value: "0", "aria-label": "How far along the way", on: { input: () => draw(null, Number(along.value) / 100) } });
  const space = new Scene3D({ title: "Ways between values", signal, ratio: 0.8 });
  const answers = new Curve({ title: "What is answered along the way", across: "t", signal, height: 260 });
  const mover = new Mover({ overview, signal, placed: (place) => draw(place) });
  const asked = newest(0, signal);
  let answer = null;

  const draw = (place = null, step = null) => {
    space.update(conceptFigure(answer, { way: chosen.way, step, place }), {
      words: `${answer.ways.length} ways from ${chosen.pair}; ${answer.values.length} values. Axes: ${answer.axes.join(", ")}.`, rows: conceptRows(answer) });
    if (step !== null) answers.read(step);
  };
  const settle = () => {
    const names = answer.ways.map((one) => one.way);
    if (!names.includes(chosen.way)) [chosen.way] = names;
    replace(ways, waysKey(answer.ways, chosen.way, (way) => ((chosen.way = way), remember({ way }), settle())));
    const way = answer.ways.find((one) => one.way === chosen.way);
    answers.update(way ? answerLines(way) : []);
    draw();
  };
  const load = async (stop) => {
    const { layers, pairs } = entry(chosen.task);
    if (!layers.includes(chosen.layer)) chosen.layer = layers[0];
    if (!pairs.includes(chosen.pair)) [chosen.pair] = pairs;
    answer = await ask(overview.id, "concepts-steering", { task: chosen.task, layer: chosen.layer, pair: chosen.pair }, stop);
    replace(errors);
    along.value = "0";
    replace(filters,
      pick("Task", overview.tasks.map((one) => one.name), chosen.task, (task) => changed({ task, pair: "" })),
      pick("Depth", layers, chosen.layer, (layer) => changed({ layer: Number(layer) })),
      pick("Pair", pairs, chosen.pair, (pair) => changed({ pair })));
    if (mover.task !== answer.task || mover.layer !== answer.layer) mover.show(answer);
    settle();
    replace(tables, savedTable("Every way against the manifold", answer.tests), savedTable("Ways", answer.by_way), savedTable("This pair", answer.energy), savedTable("Isometry", answer.isometry));
    announce(`${chosen.task}, ${chosen.pair}, depth ${answer.layer}`);
  };
  const changed = (changes) => {
    Object.assign(chosen, changes);
    remember({ task: chosen.task, layer: changes.task ? "" : chosen.layer, pair: chosen.pair });
    asked(load, (error) => replace(errors, trouble(error)));
  };

  append(page.root, h("h1", {}, "Steering between values", overview.target && [" of ", said(overview.target)]), filters, errors,
    h("div.steer-parts", {},
      h("section", { "aria-label": "In space" }, ways, space.root, drawingFiles(space, () => `${chosen.task} ${chosen.pair}`)),
      h("div", {}, h("section", { "aria-label": "Answers" }, answers.root, h("label.field", {}, h("span", {}, "Along the way"), along)), mover.root)),
    tables);
  await load(signal);
  return "Steering";
}
