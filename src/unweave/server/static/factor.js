// The slider: one feature's factor, and what the model then says, live beside it.

import { announce, h, replace, said } from "./dom.js";
import { prompt } from "./examples.js";
import { change, count, number, share } from "./numbers.js";
import { field, section, trouble } from "./parts.js";
import { address, remember } from "./route.js";
import { ask, newest } from "./server.js";
import { tokenCell } from "./token_table.js";

const LOW = -4;
const HIGH = 3;

function nextTokens(rows) {
  const top = Math.max(1e-9, ...rows.flatMap((row) => [row.before, row.after]));
  const line = (value, className) => h(`span.track.${className}`, { "aria-hidden": "true" }, h("span.filled", { vars: { "--size": value / top } }));
  const swatch = (className) => h(`span.track.key.${className}`, { "aria-hidden": "true" }, h("span.filled", { vars: { "--size": 1 } }));
  const table = h(
    "table.next",
    { "aria-label": "Next tokens before and after" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Next token"), h("td.track-cell"), h("th.number", { scope: "col" }, "Before"), h("th.number", { scope: "col" }, "After"), h("th.number", { scope: "col" }, "Change"))),
    h("tbody", {}, rows.map((row) =>
      h("tr", {},
        h("th", { scope: "row" }, tokenCell(row.text, row.token)),
        h("td.track-cell", {}, line(row.before, "before"), line(row.after, "after")),
        h("td.number", {}, share(row.before, 3)),
        h("td.number", {}, share(row.after, 3)),
        h("td.number", {}, change(row.after - row.before, 3)),
      ))),
  );
  return [table, h("p.legend.bars", {}, h("span", {}, swatch("before"), "before"), h("span", {}, swatch("after"), "after"), h("span", {}, "longest bar: ", share(top, 3)))];
}

function byLabel(rows) {
  const most = Math.max(0.01, ...rows.map((row) => Math.abs(row.change)));
  const table = h(
    "table.changes",
    { "aria-label": "Change of cross-entropy per kind of text" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Text"), h("th.number", { scope: "col" }, "Before"), h("th.number", { scope: "col" }, "After"), h("td.track-cell"), h("th.number", { scope: "col" }, "Change, nats"))),
    h("tbody", {}, rows.map((row) =>
      h("tr", { title: `${row.windows} held-out windows, ${row.tokens} tokens` },
        h("th", { scope: "row" }, said(row.label)),
        h("td.number", {}, share(row.before)),
        h("td.number", {}, share(row.after)),
        h("td.track-cell", {}, h("span.two-way", { "aria-hidden": "true" }, h(row.change < 0 ? "span.less" : "span.more", { vars: { "--size": Math.abs(row.change) / most } }))),
        h("td.number", {}, change(row.change, 3), h("small.dim", {}, ` ±${share(row.error, 3)}`)),
      ))),
  );
  const sizes = [...new Set(rows.map((row) => count(row.tokens)))].join(", ");
  return [table, h("p.help", {}, `Cross-entropy on ${sizes} tokens of held-out text each. ±: standard error of the change over these tokens.`)];
}

/** The panel of one feature's page. Its factor and text are in the address. */
export function factorPanel(page, answer) {
  const { overview, route, signal } = page;
  if (!overview.edit.available) return section("Factor", h("p.none", {}, said(overview.edit.reason || "Factors cannot be set here.")));
  const { name } = answer.feature;
  const given = Number(route.query.factor);
  let factor = route.query.factor !== undefined && Number.isFinite(given) ? given : 1;
  let text = route.query.prompt ?? prompt(answer.examples);
  let stacked = route.query.stacked === "1";
  const ids = { slider: "factor-slider" };
  const slider = h("input", { id: ids.slider, type: "range", min: String(LOW), max: String(HIGH), step: "0.1", value: String(factor), list: "factor-marks", on: { input: (event) => set(Number(event.target.value)) } });
  const exact = h("input.exact", { type: "number", step: "any", min: "-1000", max: "1000", "aria-label": "Factor as a number", value: String(factor), on: { input: (event) => event.target.value !== "" && set(Number(event.target.value), event.target) } });
  const words = h("textarea", { rows: "2", maxlength: "20000", spellcheck: "false", dir: "auto", value: text, on: { input: (event) => { text = event.target.value; remember({ prompt: text }); run(); } } });
  const title = h("input", { type: "text", maxlength: "120", autocomplete: "off", value: "" });
  const results = h("div.results", { "aria-busy": "false" });
  const languages = h("div.languages");
  const made = h("p.made", { role: "status" });
  const quick = newest(60, signal);
  const slow = newest(350, signal);
  const request = (withLabels) => ({ factors: { [name]: factor }, text, top: 8, by_label: withLabels, with_edits: stacked });
  const failed = (error) => {
    results.setAttribute("aria-busy", "false");
    replace(results, trouble(error));
    replace(languages);
  };
  const defaultTitle = () => `${overview.short(name)} × ${number(factor)}`;
  let named = false;

  const run = () => {
    if (!named) title.value = defaultTitle();
    if (!text.trim()) {
      quick.stop();
      slow.stop();
      results.setAttribute("aria-busy", "false");
      replace(results, h("p.none", {}, "Type a text to see what comes next."));
      replace(languages);
      return;
    }
    results.setAttribute("aria-busy", "true");
    languages.classList.add("old");
    quick(async (stop) => {
      const asked = factor;
      const shown = await ask(overview.id, "factor", request(false), stop);
      results.setAttribute("aria-busy", "false");
      replace(
        results,
        nextTokens(shown.next),
        h("p.help", { "data-factor": String(asked) }, `Factor ${number(asked)}: the next token's distribution moved by ${number(shown.divergence)} nats (Kullback–Leibler). `,
          shown.truncated && "Only the end of the text was read. ",
          shown.edits.length > 0 && ["Both sides have the edits ", shown.edits.map((one, at) => [at ? ", " : "", said(one)]), "."]),
      );
    }, failed);
    slow(async (stop) => {
      const asked = factor;
      const shown = await ask(overview.id, "factor", request(true), stop);
      languages.classList.remove("old");
      replace(languages, shown.by_label.length > 0 && byLabel(shown.by_label));
      announce(`Factor ${number(asked)}: ${shown.by_label.map((row) => `${row.label} ${change(row.change, 2)} nats`).join(", ")}`);
    }, failed);
  };
  const set = (value, from) => {
    if (!Number.isFinite(value)) return;
    factor = value;
    if (from !== slider) slider.value = String(value);
    if (from !== exact) exact.value = String(value);
    slider.setAttribute("aria-valuetext", `factor ${number(value)}`);
    remember({ factor: value === 1 ? "" : value });
    run();
  };
  title.addEventListener("input", () => (named = title.value !== ""));
  const make = async (event) => {
    event.preventDefault();
    try {
      const all = await ask(overview.id, "make-edit", { name: title.value || defaultTitle(), factors: { [name]: factor } }, signal);
      const active = all.edits.filter((edit) => edit.active).length;
      replace(made, "Made and applied. ", h("a", { href: address(overview.id, "edits") }, `See the edits (${active} active)`), ".");
    } catch (error) {
      if (error.name !== "AbortError") replace(made, trouble(error));
    }
  };
  const button = (value, what) => h("button.quiet", { type: "button", on: { click: () => set(value) } }, what);
  queueMicrotask(run);
  return section(
    "Factor",
    h("p.help", {}, "1 leaves it as it is, 0 removes it, −1 turns it round."),
    h("div.slider", {}, h("label", { for: ids.slider }, "Factor"), slider, exact),
    h("datalist", { id: "factor-marks" }, [-4, -3, -2, -1, 0, 1, 2, 3].map((mark) => h("option", { value: String(mark) }))),
    h("p.buttons", {}, button(0, "Remove (0)"), button(1, "As it is (1)"), button(-1, "Turn round (−1)"),
      h("label.tick", {}, h("input", { type: "checkbox", checked: stacked, on: { change: (event) => { stacked = event.target.checked; remember({ stacked }); run(); } } }), "on top of the active edits")),
    field("Text whose next token is asked", words, "wide"),
    results,
    languages,
    h("form.make", { on: { submit: make } }, field("Name of the edit", title, "wide"), h("button", {}, "Make this an edit")),
    made,
  );
}
