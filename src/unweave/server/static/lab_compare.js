// Runs side by side: what differs between them, their numbers by arm with the noise floor stated, and their curves.

import { visibleText } from "./characters.js";
import { Curve } from "./curve.js";
import { append, h, replace, said } from "./dom.js";
import { arms } from "./lab_arms.js";
import { askMetrics, seriesOf } from "./lab_metrics.js";
import { coded, plain, runLink, state } from "./lab_parts.js";
import { look } from "./lab_server.js";
import { number } from "./numbers.js";
import { field, section, trouble } from "./parts.js";
import { lab, remember } from "./route.js";

const MOST = 12;

function wanted(query) {
  return [...new Set((query.runs ?? "").split(/[ ,]+/).filter(Boolean))].slice(0, MOST);
}

function varying(runs) {
  const fields = [...new Set(runs.flatMap((run) => Object.keys(run.config)))];
  return fields.filter((name) => new Set(runs.map((run) => JSON.stringify(run.config[name] ?? null))).size > 1);
}

/** A field of a config with its value, as the lab reads it back. */
function setting([name, value]) {
  return `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`;
}

/** What is compared and by what, as a form that asks again. Arms to compare with are known after the first answer. */
function form(route, runs, metrics, ask) {
  const { query } = route;
  const columns = [...new Set(runs.flatMap((run) => run.tables.flatMap((one) => one.columns.map((column) => `${one.name}.${column}`))))];
  const measure = h("input", { value: query.measure ?? "", list: "measures", maxlength: "1000", autocomplete: "off", spellcheck: "false", placeholder: "what the study answers with" });
  const better = h("select", {}, [["", "as the study says"], ["higher", "higher"], ["lower", "lower"]].map(([value, name]) => h("option", { value }, name)));
  better.value = query.better ?? "";
  const by = h("select", {}, h("option", { value: "" }, "all that differs"), varying(runs).map((name) => h("option", { value: name }, visibleText(name))));
  by.value = varying(runs).includes(query.by) ? query.by : "";
  const baseline = h("select", {}, h("option", { value: "" }, "the first"));
  const send = () => {
    remember({ measure: measure.value.trim(), better: better.value, by: by.value, baseline: baseline.value }, { step: true });
    ask();
  };
  const submit = (event) => {
    event.preventDefault();
    send();
  };
  baseline.addEventListener("change", send);
  const root = h("form.filters", { on: { submit } },
    field("Number: TABLE.COLUMN[FIELD=VALUE], or a metric", measure, "wide"), h("datalist", { id: "measures" }, [...columns, ...metrics].map((name) => h("option", { value: name }))),
    field("Better", better), field("Arms by", by), field("Compared with", baseline), h("div.field.act", {}, h("span", {}, "\u00a0"), h("button", {}, "Compare")));
  const fill = (answer) => {
    const options = [...answer.arms].map((one) => [Object.entries(one.settings).map(setting).join("\n"), one.name]);
    replace(baseline, options.map(([value, name]) => h("option", { value }, visibleText(name))));
    baseline.value = options[0]?.[0] ?? "";
  };
  return { root, fill };
}

/** Runs by row; by column what differs in their configs, and the last value of every logged metric. */
function sideBySide(runs, logged) {
  const fields = varying(runs);
  const names = [...new Set(logged.flatMap((answer) => answer.series.map((one) => one.name)))].slice(0, 12);
  const last = (answer, name) => answer.series.find((one) => one.name === name)?.value.findLast((value) => value !== null) ?? null;
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Runs side by side" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Run"), h("th", { scope: "col" }, "State"), fields.map((name) => h("th", { scope: "col" }, said(name))), names.map((name) => h("th.number", { scope: "col" }, said(name), h("span.dim", {}, " last"))), h("th", { scope: "col" }, "First claim"))),
    h("tbody", {}, runs.map((run, at) => h("tr", {},
      h("th", { scope: "row" }, runLink(run.id)), h("td", {}, state(run.status), !run.valid && h("span.tag.bad", {}, "invalid")),
      fields.map((name) => h("td", {}, plain(run.config[name]))),
      names.map((name) => h("td.number", {}, number(last(logged[at], name)))),
      h("td.sentence", {}, run.headline ? coded(run.headline) : "–"))))));
}

function curves(page, runs, logged) {
  const names = [...new Set(logged.flatMap((answer) => answer.series.map((one) => one.name)))];
  if (!names.length) return h("p.none", {}, "None of them logged a metric.");
  const all = logged.map(seriesOf);
  const place = h("div");
  const draw = (name) => {
    const series = runs.map((run, at) => ({ run, one: all[at].find((each) => each.name === name) })).filter(({ one }) => one);
    const chart = new Curve({ title: name, across: series[0].one.across, signal: page.signal, height: 320 });
    replace(place, chart.root);
    chart.update(series.map(({ run, one }) => ({ name: run.id, link: runLink(run.id), points: one.points })));
  };
  const select = h("select", { on: { change: () => (remember({ curve: select.value }), draw(select.value)) } }, names.map((name) => h("option", { value: name }, visibleText(name))));
  select.value = names.includes(page.route.query.curve) ? page.route.query.curve : names[0];
  draw(select.value);
  return [h("div.filters", {}, field("Metric", select)), place];
}

export async function show(page) {
  const { signal, route } = page;
  const ids = wanted(route.query);
  append(page.root, h("h1", {}, "Comparison"));
  if (ids.length < 2) {
    append(page.root, h("p.none", {}, "Choose two runs or more in the ", h("a", { href: lab("runs") }, "list of runs"), "."));
    return "Comparison";
  }
  const [runs, logged] = await Promise.all([
    Promise.all(ids.map((run) => look("run", { run }, signal))),
    Promise.all(ids.map((run) => askMetrics(run, signal))),
  ]);
  const place = h("div");
  const ask = async () => {
    const query = Object.fromEntries(new URLSearchParams(window.location.search));
    place.setAttribute("aria-busy", "true");
    if (!place.firstChild) replace(place, h("p.none", {}, "Comparing …"));
    try {
      const answer = await look("compare", { runs: ids, measure: query.measure, better: query.better, by: query.by, baseline: query.baseline?.split("\n") }, signal);
      chosen.fill(answer);
      replace(place, arms(answer));
    } catch (error) {
      if (error.name !== "AbortError") replace(place, trouble(error));
    }
    place.setAttribute("aria-busy", "false");
  };
  const chosen = form(route, runs, [...new Set(logged.flatMap((answer) => answer.names))], ask);
  const drawn = h("div");
  append(page.root, section("Side by side", sideBySide(runs, logged)), section("Arms over seeds", chosen.root, place), section("Curves", drawn));
  replace(drawn, curves(page, runs, logged));
  await ask();
  return `Comparison of ${ids.length} runs`;
}
