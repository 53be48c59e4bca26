// Names beside the nodes that move the answer most, as many as fit without lying over each other.

import { visibleText } from "./characters.js";
import { replace, s } from "./dom.js";
import { size } from "./graph_layout.js";

const MOST = 10;
const LONGEST = 30;
/** About the width of a letter and the height of a line at the drawing's size of type, in pixels. */
const LETTER = 5.4;
const LINE = 12;

function cut(text) {
  const characters = Array.from(text);
  return characters.length > LONGEST ? `${characters.slice(0, LONGEST - 1).join("")}…` : text;
}

function crosses(a, b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + LINE && b.y < a.y + LINE;
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
      const label = words.slice(short.length);
      return { id: node.id, width: LETTER * Array.from(words).length, text: s("text", {}, s("tspan.index", {}, words.slice(0, short.length)), label) };
    });
    replace(this.root, this.named.map((one) => one.text));
  }

  /** Puts each above or below its node, at the side where there is room; one that has none is left out. */
  put(places, view, frame) {
    const taken = [];
    for (const { id, width, text } of this.named) {
      const at = places.get(id);
      const [x, y] = [view.x + at.x * view.k, view.y + at.y * view.k];
      const left = Math.max(2, Math.min(frame.clientWidth - width - 2, x - width / 2));
      const free = [y - 12, y + 19]
        .map((base) => ({ x: left, y: base, width }))
        .find((box) => !taken.some((other) => crosses(box, other)));
      const outside = x < 0 || x > frame.clientWidth || y < 0 || y > frame.clientHeight;
      text.classList.toggle("no-room", !free || outside);
      if (!free || outside) continue;
      taken.push(free);
      text.setAttribute("x", String(free.x));
      text.setAttribute("y", String(free.y));
    }
  }
}
