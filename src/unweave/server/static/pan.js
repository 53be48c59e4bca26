// Pointers over a drawing: one finger or the mouse drags, two fingers pinch, the wheel zooms, a still press chooses.

const STILL = 5;

/**
 * Turns pointer and wheel events on `root` into `drawing.shift`, `zoom`, `move` (a node) and `choose` (a node).
 *
 * Nodes are the elements with `data-id`.
 */
export function pannable(root, drawing, signal) {
  const pointers = new Map();
  let held = null;
  let chosen = false;
  let gone = 0;
  const at = (event) => {
    const box = root.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { size: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  };
  const on = (event, listener, options = {}) => root.addEventListener(event, listener, { signal, ...options });

  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, at(event));
    if (pointers.size === 1) {
      held = event.target.closest("[data-id]")?.dataset.id ?? null;
      // Asked now, because the press itself is about to give the node the focus, which chooses it.
      chosen = held !== null && drawing.selected === held;
      gone = 0;
    } else {
      held = null;
      gone = STILL + 1;
    }
  });
  on("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    const old = pointers.size === 2 ? spread() : null;
    pointers.set(event.pointerId, now);
    if (old) {
      const fresh = spread();
      drawing.shift(fresh.x - old.x, fresh.y - old.y);
      if (old.size > 0) drawing.zoom(fresh.size / old.size, fresh.x, fresh.y);
      return;
    }
    const step = { x: now.x - before.x, y: now.y - before.y };
    gone += Math.hypot(step.x, step.y);
    if (gone <= STILL) return;
    if (!root.hasPointerCapture(event.pointerId)) root.setPointerCapture(event.pointerId);
    if (held) drawing.move(held, step.x, step.y);
    else drawing.shift(step.x, step.y);
  });
  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (event.type === "pointerup" && held && gone <= STILL) drawing.choose(held, chosen);
    if (pointers.size === 0) held = null;
  };
  on("pointerup", end);
  on("pointercancel", end);
  on("pointerleave", (event) => !root.hasPointerCapture(event.pointerId) && end(event));
  on(
    "wheel",
    (event) => {
      event.preventDefault();
      const { x, y } = at(event);
      drawing.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.002)), x, y);
    },
    { passive: false },
  );
}
