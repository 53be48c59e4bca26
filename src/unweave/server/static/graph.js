// The prompt graph: what fed the model's next token, traced for one prompt, pruned, saved and opened again.

import { tokenText } from "./characters.js";
import { announce, h, replace, said } from "./dom.js";
import { Drawing } from "./graph_drawing.js";
import { edgeTable } from "./graph_edges.js";
import { place, prune } from "./graph_layout.js";
import { change, count, number, percent, share } from "./numbers.js";
import { featureLink, field, labelText, trouble } from "./parts.js";
import { address, go, LONGEST, remember } from "./route.js";
import { savedGraphs } from "./saved_graphs.js";
import { ask } from "./server.js";

function whole(value, otherwise, low, high) {
  const given = Number(value);
  return value !== undefined && Number.isInteger(given) && given >= low && given <= high ? given : otherwise;
}

function state(query) {
  const least = Number(query.least);
  return {
    request: {
      text: query.q ?? "", answer: query.answer || null, nodes: whole(query.nodes, 60, 1, 500),
      edges: whole(query.edges, 300, 1, 5000), attention: query.attention !== "0", with_edits: query.edits === "1",
    },
    keep: whole(query.keep, 40, 0, 500),
    least: least >= 0 && least <= 1 ? least : 0.02,
    pinned: new Set((query.pin ?? "").split(" ").filter(Boolean)),
    hidden: new Set((query.hide ?? "").split(" ").filter(Boolean)),
    places: {},
  };
}

function form(page, now, submit) {
  const { overview } = page;
  const { request } = now;
  const set = (key, read) => ({ input: (event) => (request[key] = read(event.target)) });
  const amount = (key, low, high) => h("input", { type: "number", min: low, max: high, value: String(request[key]), on: set(key, (one) => Math.round(Number(one.value))) });
  return h("form.filters.trace", { on: { submit } },
    field("Prompt", h("textarea", { rows: "2", maxlength: "20000", required: true, dir: "auto", "data-first-field": true, spellcheck: "false", value: request.text, on: set("text", (one) => one.value) }), "wide"),
    field("Next token to explain", h("input", { value: request.answer ?? "", placeholder: "the likeliest", maxlength: "200", autocomplete: "off", spellcheck: "false", on: set("answer", (one) => one.value || null) })),
    field("Nodes traced", amount("nodes", 1, 500), "short"),
    field("Edges traced", amount("edges", 1, 5000), "short"),
    h("fieldset.field", {}, h("legend", {}, "Paths"),
      h("label.tick", {}, h("input", { type: "checkbox", checked: request.attention, on: { change: (event) => (request.attention = event.target.checked) } }), "through attention patterns"),
      overview.edit.available && h("label.tick", {}, h("input", { type: "checkbox", checked: request.with_edits, on: { change: (event) => (request.with_edits = event.target.checked) } }), "active edits applied")),
    h("div.field.act", {}, h("span", {}, "\u00a0"), h("button", {}, "Trace")));
}

function panel(overview, graph, node, { open, pin, hide, pinned }) {
  if (!node) return h("p.none", {}, "Choose a node: click it, or press an arrow key in the drawing. Click it again, or press Enter, to open its page.");
  const token = graph.tokens[node.position];
  return [
    node.kind === "feature" ? [h("p", {}, featureLink(overview, node.name)), h("p", {}, labelText(node.label))] : h("p", {}, `${node.kind}: `, h("bdi.token-text", { dir: "auto" }, tokenText(node.name))),
    h("dl.facts.small", {},
      [["At token", token === undefined ? "–" : [`${node.position + 1} `, h("bdi.token-text", { dir: "auto" }, tokenText(token))]],
        ["Moves the answer by", number(node.contribution)], ["Importance", share(node.importance)], ["Activation", change(node.activation)], ["Inflow shown", percent(node.shown)]]
        .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    node.kind === "feature" && h("p.buttons", {},
      h("button.quiet", { type: "button", on: { click: () => open(node) } }, "Open its page"),
      h("button.quiet", { type: "button", "aria-pressed": String(pinned.has(node.name)), on: { click: () => pin(node) } }, "Pin"),
      h("button.quiet", { type: "button", on: { click: () => hide(node) } }, "Hide")),
  ];
}

export async function show(page) {
  const { overview, route, signal } = page;
  page.root.append(h("h1", {}, "Prompt graph"));
  if (!overview.graph.available) {
    page.root.append(h("p.problem", {}, said(overview.graph.reason || "Graphs cannot be traced here.")));
    return "Prompt graph";
  }
  const now = state(route.query);
  let graph = null;
  let title = "";
  if (route.query.saved) {
    const document_ = await ask(overview.id, "load-graph", { id: route.query.saved }, signal);
    const { request, places, keep, least } = document_;
    Object.assign(now, { request, places, keep, least, hidden: new Set(document_.hidden), pinned: new Set(document_.pins) });
    ({ graph, title } = document_);
  }
  const place_ = h("div.graph-place");
  const errors = h("div");
  const saved = h("section.saved");
  const submit = (event) => {
    event?.preventDefault();
    const { text, answer, nodes, edges, attention, with_edits } = now.request;
    const to = address(overview.id, "graph", { q: text, answer, nodes: nodes === 60 ? "" : nodes, edges: edges === 300 ? "" : edges, attention: attention ? "" : "0", edits: with_edits, pin: [...now.pinned].join(" ") });
    if (to.length > LONGEST) replace(errors, trouble(new Error("This prompt is too long for a graph: shorten it.")));
    else go(to);
  };
  page.root.append(form(page, now, submit), errors, place_, saved);
  if (!graph && now.request.text) {
    replace(place_, h("p.waiting", {}, "Tracing …"));
    place_.setAttribute("aria-busy", "true");
    try {
      graph = await ask(overview.id, "graph", now.request, signal);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      replace(errors, trouble(error));
    }
    place_.setAttribute("aria-busy", "false");
    replace(place_);
  }
  if (graph) drawn(page, graph, now, place_, title);
  await savedGraphs(overview, saved, graph && (() => ({ request: now.request, graph, hidden: [...now.hidden], places: now.places, pins: [...now.pinned], keep: now.keep, least: now.least })), title, signal);
  return title || "Prompt graph";
}

function drawn(page, graph, now, place_, title) {
  const { overview, signal } = page;
  const order = overview.groups.map((group) => group.name);
  const side = h("div.node-panel", { "aria-live": "polite" });
  const table = h("div");
  const kept_ = h("span.total.counts");
  const open = (node) => node?.kind === "feature" && go(address(overview.id, "feature", {}, node.name));
  const pin = (node) => {
    now.pinned[now.pinned.has(node.name) ? "delete" : "add"](node.name);
    draw();
    announce(`${node.name} ${now.pinned.has(node.name) ? "pinned" : "no longer pinned"}`);
  };
  const hide = (node) => {
    if (node.kind === "token" || node.kind === "answer") return;
    now.hidden.add(node.id);
    draw();
    drawing.root.focus();
    announce(`${node.name} hidden`);
  };
  const inspect = (id) => replace(side, panel(overview, graph, graph.nodes.find((node) => node.id === id), { open, pin, hide, pinned: now.pinned }));
  const drawing = new Drawing({ overview, select: inspect, open, pin, hide, moved: (id, at) => (now.places[id] = at), signal });
  const draw = () => {
    const kept = prune(graph, now);
    drawing.draw(kept, place(graph, kept.nodes, order, now.places), now.pinned);
    inspect(drawing.selected);
    replace(table, edgeTable(overview, graph, kept));
    replace(kept_, `${count(kept.nodes.filter((node) => node.kind === "feature").length)} of ${count(graph.all_nodes)} that fire, ${count(kept.edges.length)} of ${count(graph.edges.length)} edges traced`);
    back.hidden = now.hidden.size === 0 && Object.keys(now.places).length === 0;
    const dropped = remember({ keep: now.keep === 40 ? "" : now.keep, least: now.least === 0.02 ? "" : now.least, pin: [...now.pinned].join(" "), hide: [...now.hidden].join(" ") });
    const lists = dropped.map((key) => ({ hide: "what is hidden", pin: "what is pinned", q: "the prompt" })[key]).filter(Boolean);
    replace(long, lists.length > 0 && `The address has no room for ${lists.join(" and ")}: save the graph to keep it.`);
  };
  const long = h("p.help", { role: "status" });
  const back = h("button.quiet", { type: "button", on: { click: () => { now.hidden.clear(); now.places = {}; draw(); } } }, "Show hidden, put back moved");
  const features = graph.nodes.filter((node) => node.kind === "feature").length;
  const slider = (name, key, max, step, show_) => {
    const shown = h("output", {}, show_(now[key]));
    return field(name, h("span.with-output", {}, h("input", { type: "range", min: "0", max: String(max), step: String(step), value: String(Math.min(max, now[key])), on: { input: (event) => { now[key] = Number(event.target.value); replace(shown, show_(now[key])); draw(); } } }), shown), "prune");
  };
  const button = (text, label, act) => h("button.quiet", { type: "button", "aria-label": label, on: { click: act } }, text);
  replace(
    place_,
    h("p.answered", {}, title && [h("b", {}, said(title)), ": "], "Next token ", h("bdi.token-text", { dir: "auto" }, tokenText(graph.answer)), `, probability ${percent(graph.probability)}. `, h("span.dim", {}, said(graph.method)),
      graph.edits.length > 0 && [" With the edits ", graph.edits.map((one, at) => [at ? ", " : "", said(one)]), "."]),
    h("div.filters", {},
      slider(`${overview.plural} kept`, "keep", Math.max(1, features), 1, (value) => count(Math.min(value, features))),
      slider("Weakest edge, of the strongest", "least", 0.5, 0.005, (value) => percent(value)),
      h("div.field", {}, h("span", {}, kept_), h("span.buttons", {}, button("+", "Closer", () => drawing.zoom(1.25)), button("−", "Wider", () => drawing.zoom(0.8)), button("All", "All of it", () => drawing.fit()), back))),
    long,
    h("div.graph-and-panel", {}, h("div.graph-frame", {}, drawing.root), side),
    h("p.legend.help", {}, "Larger circle: moves the answer's logit further, by all ways together. Wider edge: stronger, by its share of what flows into its target and how far that moves the answer. Solid: positive weight; dashed: negative. Square: token or answer. Ring: pinned. Drag to see what lies outside."),
    h("details.edges-as-table", {}, h("summary", {}, "Edges as a table"), table),
  );
  draw();
  drawing.fit();
  const pinnedNode = graph.nodes.find((node) => now.pinned.has(node.name));
  if (pinnedNode) drawing.choose(pinnedNode.id, false);
}
