// Where the nodes of a prompt graph stand: positions of the prompt across, sites by layer upwards, the answer on top.

export const STEP = 20;
const ROW = 46;
const LEAST = 58;
const ASPECT = 1.7;

function rowKey(node) {
  if (node.kind === "token") return "token";
  if (node.kind === "answer") return "answer";
  return node.group;
}

/** How far a node moves the answer. */
export function size(node) {
  return Math.abs(node.contribution ?? 0);
}

/**
 * What is left of a graph: `{nodes, edges}` after the limits, what was pinned (names) and what was hidden (ids).
 *
 * Edges are compared by their strength: a weight is in its target's own units.
 */
export function prune(graph, { keep, least, pinned, hidden }) {
  const features = graph.nodes.filter((node) => node.kind === "feature" && !hidden.has(node.id));
  const ranked = [...features].sort((a, b) => size(b) - size(a));
  const chosen = new Set(ranked.slice(0, keep).map((node) => node.id));
  for (const node of features) if (pinned.has(node.name)) chosen.add(node.id);
  for (const node of graph.nodes) if (node.kind !== "feature" && !hidden.has(node.id)) chosen.add(node.id);
  const most = Math.max(0, ...graph.edges.map((edge) => edge.strength));
  const edges = graph.edges.filter((edge) => chosen.has(edge.source) && chosen.has(edge.target) && edge.strength >= least * most);
  const joined = new Set(edges.flatMap((edge) => [edge.source, edge.target]));
  const nodes = graph.nodes.filter((node) => chosen.has(node.id) && (joined.has(node.id) || node.kind === "answer" || pinned.has(node.name)));
  return { nodes, edges: edges.sort((a, b) => b.strength - a.strength), most };
}

/** Places by node id, the rows (`{key, y}`), the columns (`{x, width, text}`) and the size of all of it. */
export function place(graph, nodes, groups, moved = {}) {
  const cells = new Map();
  for (const node of nodes) {
    const key = `${rowKey(node)}\n${node.position}`;
    cells.set(key, [...(cells.get(key) ?? []), node]);
  }
  const used = new Set(nodes.map(rowKey));
  const extra = [...used].filter((key) => key !== "token" && key !== "answer" && !groups.includes(key)).sort();
  const order = ["token", ...groups.filter((group) => used.has(group)), ...extra, "answer"];
  const rows = order.map((key, at) => ({ key, y: (order.length - 1 - at) * ROW }));
  const rowOf = new Map(rows.map((row) => [row.key, row.y]));
  const widths = graph.tokens.map((text, position) => {
    const most = Math.max(...order.map((key) => cells.get(`${key}\n${position}`)?.length ?? 0));
    const written = Math.min(110, 14 + 8 * Array.from(text).length);
    return most === 0 ? Math.max(24, written) : Math.max(LEAST, written, most * STEP + 14);
  });
  // About as wide as a screen is beside its height, whatever the number of tokens; the same on every screen, so that
  // a node that was moved and saved stands where it stood.
  const sum = widths.reduce((total, width) => total + width, 0);
  const stretch = Math.max(1, Math.min(2.4, (ASPECT * (order.length - 1) * ROW) / sum));
  let x = 0;
  const columns = widths.map((narrow, position) => {
    const width = narrow * stretch;
    const column = { x, width, middle: x + width / 2, text: graph.tokens[position] };
    x += width;
    return column;
  });
  const places = new Map();
  for (const cell of cells.values()) {
    cell.sort((a, b) => size(b) - size(a));
    cell.forEach((node, at) => {
      const column = columns[Math.min(Math.max(0, node.position), columns.length - 1)];
      const [movedX, movedY] = moved[node.id] ?? [];
      places.set(node.id, { x: movedX ?? column.middle + (at - (cell.length - 1) / 2) * STEP, y: movedY ?? rowOf.get(rowKey(node)) });
    });
  }
  return { places, rows, columns, width: x, height: (order.length - 1) * ROW };
}

/** The node nearest to one in a direction, for the arrow keys. */
export function towards(places, from, key) {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  const start = places.get(from);
  let best = null;
  let least = Infinity;
  for (const [id, at] of places) {
    const along = (at.x - start.x) * dx + (at.y - start.y) * dy;
    const across = Math.abs((at.x - start.x) * dy) + Math.abs((at.y - start.y) * dx);
    if (along < 1 || across > along * 2 + 1) continue;
    if (along + across * 2 < least) [best, least] = [id, along + across * 2];
  }
  return best;
}
