// A run's metrics, a curve each, thinned out by the server and updated in place.

import { Curve } from "./curve.js";
import { h, replace } from "./dom.js";
import { look } from "./lab_server.js";
import { count } from "./numbers.js";
import { field } from "./parts.js";

const POINTS = 400;
const CHARTS = 24;

/** The series of an answer, each with its points `[x, y, low, high]`, and what runs across. */
export function seriesOf(answer) {
  const across = answer.steps ? "step" : "line";
  return answer.series.map((one) => ({ name: one.name, across, points: one.at.map((x, at) => [x, one.value[at], one.low[at], one.high[at]]) }));
}

export function askMetrics(run, signal, names = []) {
  return look("metrics", { run, names, points: POINTS }, signal);
}

export class Metrics {
  constructor(run, signal) {
    Object.assign(this, { run, signal });
    this.charts = new Map();
    this.about = h("span.dim");
    this.grid = h("div.curves");
    this.filter = h("input", { type: "search", placeholder: "part of a name", autocomplete: "off", spellcheck: "false", on: { input: () => this.draw() } });
    this.field = field("Show metrics", this.filter);
    this.field.hidden = true;
    this.more = h("p.help", {});
    this.none = h("p.none", {}, "No metric was logged.");
    this.root = h("div", {}, this.field, this.none, this.grid, h("p.help", {}, this.about), this.more);
  }

  async ask() {
    const answer = await askMetrics(this.run, this.signal);
    if (answer.rows === this.rows) return;
    this.rows = answer.rows;
    this.series = seriesOf(answer);
    const words = answer.rows ? `${count(answer.rows)} lines logged${answer.rows > POINTS ? `; of each, ${POINTS} pieces are drawn: the line is the last value in each, the shade spans all of them` : ""}.` : "";
    if (this.about.textContent !== words) this.about.textContent = words;
    this.draw();
  }

  draw() {
    const wanted = this.filter.value.trim().toLowerCase();
    const fitting = this.series.filter((one) => one.name.toLowerCase().includes(wanted));
    const shown = fitting.slice(0, CHARTS);
    this.field.hidden = this.series.length <= 6;
    this.none.hidden = this.series.length > 0;
    replace(this.more, fitting.length > CHARTS && `${fitting.length - CHARTS} more: give a part of their names.`);
    for (const [name, chart] of this.charts) {
      if (shown.some((one) => one.name === name)) continue;
      chart.root.remove();
      this.charts.delete(name);
    }
    shown.forEach((one, at) => {
      let chart = this.charts.get(one.name);
      if (!chart) {
        chart = new Curve({ title: one.name, across: one.across, signal: this.signal, height: 190 });
        this.charts.set(one.name, chart);
      }
      if (this.grid.children[at] !== chart.root) this.grid.insertBefore(chart.root, this.grid.children[at] ?? null);
      chart.update([one]);
    });
  }
}
