// One story as it is read: its text with the sentence that is reached lit, its lines, its path, and the player.

import { h, replace, said } from "./dom.js";
import { Player } from "./player.js";
import { Scene3D } from "./scene3d.js";
import { bounds, storyFigure, storyRows, storyWords } from "./story_figure.js";
import { StoryLines } from "./story_lines.js";

/** `other(id)` hears which ghost was pressed, and `moved(sentence)` which sentence is reached. */
export class StoryView {
  constructor({ signal, other, moved = () => {} }) {
    Object.assign(this, { moved, scenes: null, scene: null, here: -1 });
    this.title = h("h2.story-title");
    this.about = h("p.about");
    this.text = h("div.story-text");
    this.note = h("p.help");
    this.player = new Player({ noun: "sentence", signal, moved: (at) => this.move(at) });
    this.lines = new StoryLines({ signal, choose: (at) => this.player.go(at) });
    this.space = new Scene3D({ title: "The story's path", signal, choose: (key) => (typeof key === "number" ? this.player.go(key) : other(key)) });
    this.read = h("section.story-read", {}, this.title, this.about, this.text, this.note);
    this.root = h("div.story", {}, this.player.root,
      h("div.story-parts", {}, this.read, h("section.story-charts", {}, h("h2", {}, "What is felt"), this.lines.root), h("section.story-space", {}, h("h2", {}, "Where it goes"), this.space.root)));
  }

  /** Shows a scene of `scenes`; `ghosts(ghost)` says which of the others are seen. */
  show(scenes, scene, { at = 0, ghosts = () => true } = {}) {
    Object.assign(this, { scenes, scene, ghosts, here: -1, frame: bounds(scenes, scene) });
    replace(this.title, said(scene.title));
    replace(this.about, [scene.arc && h("span", {}, said(scene.arc)), scene.topic && h("span", {}, said(scene.topic)), scene.kind && scene.kind !== "arc" && h("span", {}, said(scene.kind))].filter(Boolean).flatMap((part, at) => (at ? [" · ", part] : [part])));
    this.spans = scene.sentences.map((sentence, index) =>
      h("button.sentence", { type: "button", on: { click: () => this.player.go(index) } }, said(sentence)));
    replace(this.text, this.spans.flatMap((span) => [span, " "]));
    replace(this.note, scene.note && said(scene.note));
    this.rows = storyRows(scenes, scene);
    this.lines.update(scene, scenes.readout);
    this.player.reset(scene.sentences.length, (step) => `${step + 1}. ${scene.sentences[step]}`, Math.min(at, scene.sentences.length - 1));
  }

  move(at) {
    if (!this.scene) return;
    const here = this.player.reached;
    if (here !== this.here) {
      this.spans[this.here]?.removeAttribute("aria-current");
      this.here = here;
      const span = this.spans[here];
      span?.setAttribute("aria-current", "step");
      this.spans.forEach((one, index) => one.classList.toggle("told", index < here));
      // Within its own box only: the page stays where it is.
      if (span) this.text.scrollTop = span.offsetTop - this.text.offsetTop - this.text.clientHeight / 2 + span.offsetHeight / 2;
      this.moved(here);
    }
    this.lines.move(at);
    this.space.update(this.figure(at), { words: storyWords(this.scenes, this.scene, at), rows: this.rows, bounds: this.frame });
  }

  figure(at) {
    return storyFigure(this.scenes, this.scene, at, { ghosts: this.ghosts });
  }
}
