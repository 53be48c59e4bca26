// The end of a run's log: what is new is added, what is long past is let go, and it follows only who reads the end.

import { h, replace, said } from "./dom.js";
import { bytes, button } from "./lab_parts.js";
import { look } from "./lab_server.js";

const LINES = 2000;
const CHUNK = 64000;
// What paints a terminal says nothing here; any other control character is shown as a mark.
const PAINT = /\u001b\[[0-9;]*m/g;

export class LogTail {
  constructor(run) {
    this.run = run;
    this.from = null;
    this.open = "";
    this.body = h("pre.log-lines", { tabindex: "0", "aria-label": "The log's last lines" });
    this.about = h("span.dim");
    this.follow = button("To the end", () => this.toEnd());
    this.empty = h("p.none", {}, "Nothing was written yet.");
    this.root = h("div.log", {}, h("p.log-head", {}, this.about, this.follow), this.empty, this.body);
    this.body.addEventListener("scroll", () => this.offer(), { passive: true });
    this.offer();
  }

  atEnd() {
    return this.body.scrollHeight - this.body.scrollTop - this.body.clientHeight < 24;
  }

  offer() {
    this.follow.hidden = this.atEnd();
  }

  toEnd() {
    this.body.scrollTop = this.body.scrollHeight;
    this.offer();
  }

  /** Asks for what was written since. The first time that is the last piece of the file. */
  async ask(signal) {
    if (this.from === null) {
      const { size } = await look("log", { run: this.run, after_byte: 0, limit: 1 }, signal);
      this.from = this.skipped = Math.max(0, size - CHUNK);
    }
    let more = true;
    for (let round = 0; more && round < 8; round += 1) {
      const answer = await look("log", { run: this.run, after_byte: this.from, limit: CHUNK }, signal);
      // A log that is shorter than what was read was begun anew.
      if (answer.size < this.from) {
        replace(this.body);
        this.open = "";
        this.openLine = null;
        this.from = this.skipped = 0;
        continue;
      }
      // A piece from the middle begins within a line.
      const cut = this.skipped > 0 && this.from === this.skipped;
      this.from = answer.next;
      this.add(cut ? answer.text.slice(answer.text.indexOf("\n") + 1) : answer.text);
      more = answer.next < answer.size && answer.text !== "";
      this.tell(answer.size);
    }
  }

  tell(size) {
    const cut = this.skipped > 0 || this.dropped ? ", its end shown" : "";
    const words = size ? `${bytes(size)}${cut}` : "";
    if (this.about.textContent !== words) this.about.textContent = words;
    this.empty.hidden = size > 0;
    this.body.hidden = size === 0;
  }

  add(text) {
    if (!text) return;
    const follows = this.atEnd();
    const lines = (this.open + text).replace(PAINT, "").split("\n");
    this.open = lines.pop();
    if (this.openLine) this.openLine.remove();
    for (const line of lines.slice(-LINES)) this.body.append(h("span.line", {}, said(line.replace(/\r$/, "")), "\n"));
    this.openLine = this.open ? h("span.line", {}, said(this.open)) : null;
    if (this.openLine) this.body.append(this.openLine);
    while (this.body.children.length > LINES) {
      this.body.firstChild.remove();
      this.dropped = true;
    }
    if (follows) this.toEnd();
    else this.offer();
  }
}
