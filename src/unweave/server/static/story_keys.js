// The player's keys, wherever on the page the focus is, but for what has keys of its own.

const OWN = "input, textarea, select, button, a, summary, canvas, [contenteditable], dialog";

/** Lets `player` have the keys that nothing else takes. */
export function playerKeys(player, signal) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const inside = event.target instanceof Element ? event.target.closest(OWN) : null;
    // A sentence is a button: Space presses it, and arrows go on from it.
    if (inside && !(inside.matches(".sentence") && event.key !== " ")) return;
    player.press(event);
  }, { signal });
}
