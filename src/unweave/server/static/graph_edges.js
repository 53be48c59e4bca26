// The same graph as a table of its edges, for a keyboard, a screen reader, or exact numbers.

import { tokenText } from "./characters.js";
import { h, replace } from "./dom.js";
import { change, count, number } from "./numbers.js";
import { featureLink, labelText } from "./parts.js";

const FIRST = 100;
const STRENGTH = "The edge's share of all that flows into its target, times how far the target moves the answer";

function end(overview, graph, node) {
  const where = h("small.dim", {}, ` at ${node.position + 1} `, h("bdi.token-text", { dir: "auto" }, tokenText(graph.tokens[node.position] ?? "")));
  if (node.kind === "feature") return [featureLink(overview, node.name), where, labelText(node.label)];
  return [h("span", {}, `${node.kind} `), h("bdi.token-text", { dir: "auto" }, tokenText(node.name)), node.kind === "answer" && where];
}

/** The kept edges, strongest first. */
export function edgeTable(overview, graph, kept) {
  const nodes = new Map(kept.nodes.map((node) => [node.id, node]));
  const body = h("tbody");
  const more = h("button.quiet", { type: "button", on: { click: () => draw(kept.edges.length) } }, `All ${count(kept.edges.length)}`);
  const draw = (limit) => {
    more.hidden = limit >= kept.edges.length;
    replace(body, kept.edges.slice(0, limit).map((edge) => h("tr", {}, h("td.who", {}, end(overview, graph, nodes.get(edge.source))), h("td.who", {}, end(overview, graph, nodes.get(edge.target))), h("td.number.strength", {}, number(edge.strength)), h("td.number.weight", {}, change(edge.weight, 3)))));
  };
  draw(FIRST);
  return h("div", {}, h("table.edge-table", { "aria-label": "Edges, strongest first" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From"), h("th", { scope: "col" }, "To"), h("th.number", { scope: "col", title: STRENGTH }, "Strength"), h("th.number", { scope: "col", title: "What the source adds to the target's activation, in the target's own units" }, "Weight"))), body), more);
}
