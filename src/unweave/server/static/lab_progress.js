// How far something is, and how long it will take: a bar that is updated in place.

import { visibleText } from "./characters.js";
import { h, replace, said } from "./dom.js";
import { duration } from "./lab_parts.js";
import { count, percent } from "./numbers.js";

function share(progress) {
  return progress.total > 0 ? Math.min(1, Math.max(0, progress.done / progress.total)) : 0;
}

/** A row's progress: a short bar, the share done. */
export function progressLine(progress) {
  const done = share(progress);
  return h("span.progress-line", { title: progress.note ? visibleText(progress.note) : null }, h("span.track", { "aria-hidden": "true" }, h("span.filled", { vars: { "--size": done } })), h("span.figure", {}, progress.total > 0 ? percent(done) : "running"));
}

/** Reckons what is left from how far it came since this page first saw it, or since the start. */
class Pace {
  left(progress, startedAt) {
    const { done, total } = progress;
    const now = Date.now();
    if (this.total !== total || done < this.done) Object.assign(this, { total, first: done, from: now });
    this.done = done;
    if (!(total > done)) return null;
    const seen = (now - this.from) / 1000;
    if (done - this.first >= 2 && seen > 5) return (seen / (done - this.first)) * (total - done);
    const started = new Date(startedAt ?? NaN).getTime();
    return done > 0 && !Number.isNaN(started) ? ((now - started) / 1000 / done) * (total - done) : null;
  }
}

/** A run's progress in full; `update(progress, status, started)` changes it in place. */
export class ProgressBar {
  constructor() {
    this.filled = h("span.filled", { vars: { "--size": 0 } });
    this.track = h("span.track.long", { role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": "Progress" }, this.filled);
    this.words = h("span.progress-words");
    this.note = h("span.progress-note");
    this.root = h("div.progress", {}, this.track, h("p", {}, this.words, " ", this.note));
    this.pace = new Pace();
  }

  update(progress, status, started) {
    const going = status === "running" || status === "paused";
    this.root.hidden = !progress || !going;
    if (this.root.hidden) return;
    const done = share(progress);
    this.filled.style.setProperty("--size", done);
    this.track.setAttribute("aria-valuenow", String(Math.round(done * 100)));
    const left = status === "running" ? this.pace.left(progress, started) : null;
    const words = progress.total > 0 ? `${count(progress.done)} of ${count(progress.total)}, ${percent(done)}${left === null ? "" : `, about ${duration(left)} left`}` : "no step reported yet";
    this.track.setAttribute("aria-valuetext", words);
    if (this.words.textContent !== words) this.words.textContent = words;
    if (this.said !== progress.note) replace(this.note, progress.note && said(progress.note));
    this.said = progress.note;
  }
}
