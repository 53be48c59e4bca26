// Names beside the nodes that move the answer most, as many as fit without lying over each other.

import { visibleText } from "./characters.js";
import { replace, s } from "./dom.js";
import { size } from "./graph_layout.js";

const MOST = 10;
const LONGEST = 38;
/** About the width of a letter, of a short name and of a label, and the height of a line, in pixels. */
const LETTER = { name: 6.1, label: 5.2 };
const LINE = 12;
const NODE = 12;

function cut(text) {
  const characters = Array.from(text);
  return characters.length > LONGEST ? `${characters.slice(0, LONGEST - 1).join("")}…` : text;
}

function crosses(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

/** Names that keep their size while the drawing is zoomed. */
export class NodeNames {
  constructor(overview) {
    this.overview = overview;
    this.root = s("g.node-names", { "aria-hidden": "true" });
    this.named = [];
  }

  /** Chooses the nodes to name: pinned ones, then the largest. */
  choose(nodes, pinned) {
    const features = nodes.filter((node) => node.kind === "feature");
    features.sort((a, b) => pinned.has(b.name) - pinned.has(a.name) || size(b) - size(a));
    this.named = features.slice(0, MOST).map((node) => {
      const short = visibleText(this.overview.short(node.name));
      const words = cut(visibleText(`${short} ${node.label}`));
      const [name, label] = [words.slice(0, short.length), words.slice(short.length)];
      const widths = { name: LETTER.name * Array.from(name).length, label: LETTER.label * Array.from(label).length };
      return { id: node.id, widths, text: s("text", {}, s("tspan.index", {}, name), s("tspan.beginning", {}, label)) };
    });
    replace(this.root, this.named.map((one) => one.text));
  }

  /**
   * Puts each above or below its node, over no other node or name; one that has no room is left out.
   *
   * A `narrow` drawing has the names without labels.
   */
  put(places, view, frame, narrow) {
    this.root.classList.toggle("names-only", narrow);
    const taken = [...places.values()].map((at) => ({
      x: view.x + at.x * view.k - NODE / 2, y: view.y + at.y * view.k - NODE / 2, width: NODE, height: NODE,
    }));
    for (const { id, widths, text } of this.named) {
      const width = widths.name + (narrow ? 0 : widths.label);
      const at = places.get(id);
      const [x, y] = [view.x + at.x * view.k, view.y + at.y * view.k];
      const left = Math.max(2, Math.min(frame.clientWidth - width - 2, x - width / 2));
      const free = [y - 21, y + 10]
        .map((top) => ({ x: left, y: top, width, height: LINE }))
        .find((box) => !taken.some((other) => crosses(box, other)));
      const outside = x < 0 || x > frame.clientWidth || y < 0 || y > frame.clientHeight;
      text.classList.toggle("no-room", !free || outside);
      if (!free || outside) continue;
      taken.push(free);
      text.setAttribute("x", String(free.x));
      text.setAttribute("y", String(free.y + 9));
    }
  }
}
