// A feature's own page: what it is called, what it fires on, what it writes, what is near it, and its factor.

import { h, said } from "./dom.js";
import { examples, prompt } from "./examples.js";
import { factorPanel } from "./factor.js";
import { histogram } from "./histogram.js";
import { neighbours } from "./neighbours.js";
import { count, number, percent, share } from "./numbers.js";
import { bar, confidence, section } from "./parts.js";
import { address } from "./route.js";
import { scores } from "./scores.js";
import { ask } from "./server.js";
import { tokenTable } from "./token_table.js";

function facts(answer) {
  const { feature } = answer;
  const list = [
    ["Density", percent(feature.density), `${count(feature.firing)} tokens`],
    ["Importance", share(feature.importance), "mean where it fires"],
    ["Activation", number(feature.activation), "mean where it fires"],
    ["Positive", percent(answer.activation_positive), "of firings with activation above 0"],
  ];
  return h("dl.facts", {}, list.map(([name, value, help]) => h("div", {}, h("dt", {}, name), h("dd", {}, h("b", {}, value), h("small", {}, help)))));
}

function naming(answer) {
  const { label } = answer;
  if (!label) return h("p.none", {}, "No label was made for this one.");
  return [
    h("p.title-label", {}, said(label.text), " ", confidence(label.confidence)),
    h(
      "dl.sides",
      {},
      h("div", {}, h("dt", {}, "Reads"), h("dd", {}, label.reads ? said(label.reads) : "–")),
      h("div", {}, h("dt", {}, "Writes"), h("dd", {}, label.writes ? said(label.writes) : "–")),
      h("div", {}, h("dt", {}, "Because"), h("dd", {}, label.reason ? said(label.reason) : "–")),
      h("div", {}, h("dt", {}, "Labeler"), h("dd", {}, said(label.labeler))),
    ),
    scores(label.scores),
    label.predicate &&
      h("details", {}, h("summary", {}, "What the judge is told"), h("pre.predicate", {}, said(JSON.stringify(label.predicate, null, 1)))),
  ];
}

function byLabel(rows) {
  const top = Math.max(1e-9, ...rows.map((row) => row.density ?? 0));
  const most = Math.max(1e-9, ...rows.map((row) => row.importance ?? 0));
  return h(
    "table.by-label",
    { "aria-label": "By language or kind of text" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Text"), h("th.number", { scope: "col" }, "Tokens"), h("th.number", { scope: "col" }, "Density"), h("th.number", { scope: "col" }, "Importance"))),
    h("tbody", {}, rows.map((row) =>
      h("tr", {},
        h("th", { scope: "row" }, said(row.label)),
        h("td.number", {}, count(row.tokens)),
        h("td.number", {}, bar((row.density ?? 0) / top, percent(row.density))),
        h("td.number", {}, bar((row.importance ?? 0) / most, share(row.importance, 3))),
      ))),
  );
}

function charts(answer) {
  const { activation_histogram: firing, background_histogram: background, importance_histogram: importance } = answer;
  const positions = answer.by_position;
  return h(
    "div.charts",
    {},
    histogram({ title: "Importance, where above 0", edges: importance.edges, series: [{ name: "tokens", counts: importance.counts }], axis: "importance", up: "tokens, in powers of ten", log: true }),
    histogram({
      title: "Activation", edges: firing.edges, axis: "activation, in steps of its logarithm either side of 0", up: "share of each kind's tokens",
      series: [{ name: "firing", counts: firing.counts }, { name: "not firing (sample)", counts: background.counts }],
    }),
    positions.length > 1 &&
      histogram({ title: "Firings by position in a window", edges: [...positions.keys(), positions.length], series: [{ name: "firings", counts: positions }], axis: "position", up: "firings", labels: (edge) => String(edge) }),
  );
}

function places(answer) {
  if (!answer.reads || !answer.writes) return answer.directions_note ? h("p.help", {}, said(answer.directions_note)) : null;
  const place = (one) => [h("code", {}, said(one.module)), `, ${one.side}, ${count(one.width)} wide`];
  return h("p.places", {}, "Reads ", place(answer.reads), "; writes ", place(answer.writes), ".");
}

function beside(overview, answer) {
  const { row } = answer.feature;
  const text = prompt(answer.examples);
  return h(
    "p.beside",
    {},
    h("a", { href: address(overview.id, "features", { at: row || "", alive: "0" }) }, `Among all ${overview.plural}`),
    overview.graph.available && text && h("a", { href: address(overview.id, "graph", { q: text, pin: answer.feature.name }) }, "Attributions around an example"),
    overview.live.available && text && h("a", { href: address(overview.id, "text", { q: text, feature: answer.feature.name }) }, "Fires where, in an example"),
  );
}

export async function show(page) {
  const { overview, route, signal } = page;
  const answer = await ask(overview.id, "feature", { name: route.name, examples: 10, tokens: 50, partners: 12 }, signal);
  const short = overview.short(answer.feature.name);
  page.root.append(
    h("h1.feature-title", { title: answer.feature.name }, said(short)),
    beside(overview, answer),
    h(
      "div.columns",
      {},
      h("div.left", {},
        section("Label", naming(answer)),
        section("Examples", examples(answer.examples, route.query.from)),
        section("Tokens", h("div.token-tables", {},
          tokenTable("Fires on", `Tokens where it fires, counted on the ${count(answer.shown_tokens)} tokens of shown windows. Precision: share of this token's occurrences; recall: share of its firings.`, answer.tokens_in),
          tokenTable("The model then predicts", "Draws of the model's own next token where it fires, in the same windows.", answer.tokens_out),
        )),
      ),
      h("div.right", {},
        section("Statistics", facts(answer), byLabel(answer.by_label), charts(answer)),
        factorPanel(page, answer),
      ),
    ),
    section("Near it", places(answer), neighbours(overview, answer)),
  );
  return short;
}
