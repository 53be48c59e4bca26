// A player of steps: play and pause, one step on or back, speed, a slider, and keys.

import { h } from "./dom.js";
import { clamp } from "./numbers.js";

const SPEEDS = [[0.5, "half"], [1, "1×"], [2, "2×"], [4, "4×"]];
const SECONDS = 1.6;
const still = window.matchMedia("(prefers-reduced-motion: reduce)");

/**
 * `moved(at)` hears where it stands: a number from 0 to the last step, between two steps while it plays. `reset(steps,
 * name)` is for another list of steps, where `name(step)` says one in words.
 */
export class Player {
  constructor({ noun, signal, moved }) {
    Object.assign(this, { noun, moved, steps: 0, at: 0, speed: 1, running: 0, name: () => "" });
    const button = (title, press, words) => h("button.quiet", { type: "button", "aria-label": words, title: words, on: { click: press } }, title);
    this.back = button("◀", () => this.step(-1), `One ${noun} back (←)`);
    this.play = button("Play", () => this.toggle(), `Play or pause (space)`);
    this.on = button("▶", () => this.step(1), `One ${noun} on (→)`);
    this.slider = h("input", { type: "range", min: "0", step: "1", "aria-label": `The ${noun} that is reached`, on: { input: () => this.go(Number(this.slider.value)) } });
    this.words = h("output.player-words");
    this.pace = h("select", { "aria-label": "Speed", on: { change: () => (this.speed = Number(this.pace.value)) } }, SPEEDS.map(([value, title]) => h("option", { value }, title)));
    this.pace.value = "1";
    this.root = h("div.player", { role: "group", "aria-label": "Player" }, this.back, this.play, this.on, this.slider, this.words, this.pace);
    signal.addEventListener("abort", () => this.pause());
  }

  reset(steps, name, at = 0) {
    this.pause();
    Object.assign(this, { steps, name });
    this.slider.max = String(Math.max(0, steps - 1));
    this.go(at);
  }

  /** The whole step that was reached last. */
  get reached() {
    return Math.floor(this.at + 1e-9);
  }

  go(at) {
    this.pause();
    this.set(at);
  }

  set(at) {
    this.at = clamp(at, 0, Math.max(0, this.steps - 1));
    const here = this.reached;
    this.slider.value = String(here);
    this.slider.setAttribute("aria-valuetext", this.name(here));
    this.words.textContent = `${here + 1} of ${this.steps}`;
    this.back.disabled = here === 0 && this.at === 0;
    this.on.disabled = here >= this.steps - 1;
    this.moved(this.at);
  }

  step(by) {
    this.go(by < 0 && this.at > this.reached ? this.reached : this.reached + by);
  }

  toggle() {
    if (this.running) return this.pause();
    if (this.reached >= this.steps - 1) this.set(0);
    let before = performance.now();
    let waited = 0;
    const tick = (now) => {
      const gone = ((now - before) / 1000 / SECONDS) * this.speed;
      before = now;
      // Who wants no motion sees one step after the other stand still.
      waited += gone;
      if (!still.matches) this.set(this.at + gone);
      else if (waited >= 1) this.set(this.reached + Math.floor(waited)), (waited %= 1);
      if (this.at >= this.steps - 1) this.pause();
      else this.running = requestAnimationFrame(tick);
    };
    this.running = requestAnimationFrame(tick);
    this.play.textContent = "Pause";
    return undefined;
  }

  pause() {
    cancelAnimationFrame(this.running);
    this.running = 0;
    this.play.textContent = "Play";
  }

  /** Takes a key that was pressed outside of fields; true if it was one of the player's. */
  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (event.key === " ") this.toggle();
    else if (event.key === "ArrowRight") this.step(1);
    else if (event.key === "ArrowLeft") this.step(-1);
    else if (event.key === "Home") this.go(0);
    else if (event.key === "End") this.go(this.steps - 1);
    else return false;
    event.preventDefault();
    return true;
  }
}
