// Keys that work on every view, and the list of all of them.

import { h } from "./dom.js";

const LIST = [
  ["/", "go to the search or text field"],
  ["j or ↓, k or ↑", "next, previous row of the table"],
  ["Enter", "open what has the focus"],
  ["← →", "tokens of an example or a reply; nodes of the graph at one place"],
  ["+ − 0", "graph: closer, wider, all of it; arrows with Shift move it"],
  ["Space, ← →, Home, End", "stories: play or pause, one sentence back or on, the first, the last"],
  ["← → ↑ ↓, + −, 0, p", "a drawing in space: turn it, zoom, turn it back, perspective"],
  ["p, x", "graph: keep the node whatever the limits, hide it"],
  ["?", "this list"],
];

export function typing(target) {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
}

/** Opens the list of keys. */
export function openKeys() {
  document.querySelector("dialog.keys")?.remove();
  const dialog = h(
    "dialog.keys",
    { "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", {}, LIST.map(([key, what]) => [h("dt", {}, key), h("dd", {}, what)])),
    h("form", { method: "dialog" }, h("button", {}, "Close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "/") {
    const field = document.querySelector("[data-first-field]");
    if (!field) return;
    event.preventDefault();
    field.focus();
    field.select?.();
  } else if (event.key === "?") {
    event.preventDefault();
    openKeys();
  }
});
