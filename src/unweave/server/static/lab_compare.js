// Runs side by side: what differs between them, their numbers, paired differences with their noise floor, their curves.

import { visibleText } from "./characters.js";
import { Curve } from "./curve.js";
import { range } from "./curve_scale.js";
import { append, h, replace, s, said } from "./dom.js";
import { askMetrics, seriesOf } from "./lab_metrics.js";
import { plain, runLink, state } from "./lab_parts.js";
import { look } from "./lab_server.js";
import { count, number } from "./numbers.js";
import { field, section, trouble } from "./parts.js";
import { lab, remember } from "./route.js";

const MOST = 12;

function wanted(query) {
  return [...new Set((query.runs ?? "").split(/[ ,]+/).filter(Boolean))].slice(0, MOST);
}

/** A value with its interval on a scale that all rows share; `zero` draws the line of no difference. */
function whisker(middle, low, high, across, zero = false) {
  if (middle === null || !across) return h("span.none", {}, "–");
  const [least, most] = across;
  const at = (value) => 4 + (152 * (value - least)) / (most - least || 1);
  return s("svg.whisker", { viewBox: "0 0 160 16", "aria-hidden": "true" },
    s("line.axis", { x1: 0, x2: 160, y1: 8, y2: 8 }),
    zero && least <= 0 && most >= 0 && s("line.chance", { x1: at(0), x2: at(0), y1: 1, y2: 15 }),
    low !== null && high !== null && s("line.range", { x1: at(low), x2: at(high), y1: 8, y2: 8 }),
    s("circle", { cx: at(middle), cy: 8, r: 3.5 }));
}

function spread(low, high) {
  return low === null || high === null ? "–" : `${number(low)} to ${number(high)}`;
}

function groups(answer) {
  const across = range(answer.groups.flatMap((one) => [one.mean, one.low, one.high]));
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Groups" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, answer.by ? said(answer.by) : "Group"), h("th.number", { scope: "col" }, "Seeds"), h("th.number", { scope: "col" }, "Mean"), h("th", { scope: "col" }, "95 % interval"), h("th", { scope: "col" }, ""), h("th", { scope: "col" }, "Runs"))),
    h("tbody", {}, answer.groups.map((one) => h("tr", {},
      h("th", { scope: "row" }, said(one.name)),
      h("td.number", {}, count(one.seeds.length), one.seeds.length < 3 && h("span.tag", { title: "Fewer than three seeds: no interval, and no comparison" }, "few")),
      h("td.number", {}, number(one.mean)),
      h("td", {}, spread(one.low, one.high)),
      h("td", {}, whisker(one.mean, one.low, one.high, across)),
      h("td", {}, one.runs.map((run, at) => [at ? ", " : "", runLink(run)])))))));
}

function pairs(answer) {
  if (!answer.pairs.length) return h("p.none", {}, "There are no two groups to compare.");
  const across = range(answer.pairs.flatMap((one) => [one.difference, one.low, one.high, 0]));
  return [
    h("p.help", {}, `Differences are paired by seed. ${answer.better === "lower" ? "Lower" : "Higher"} is better, and a group is called better only where the difference is past the noise floor.`),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Paired differences" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Groups", "Seeds", "Difference", "95 % interval", "", "p", "Noise floor", "Better"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, answer.pairs.map((one) => h("tr", {},
        h("th", { scope: "row" }, said(one.first), " − ", said(one.second)),
        h("td", {}, count(one.seeds)),
        h("td", {}, number(one.difference)),
        h("td", {}, spread(one.low, one.high)),
        h("td", {}, whisker(one.difference, one.low, one.high, across, true)),
        h("td", {}, number(one.p_value)),
        h("td", {}, one.noise_floor === null ? "–" : number(one.noise_floor)),
        h("td", {}, one.better ? h("b", {}, said(one.better)) : "no"))))) ),
    h("ul.sentences", {}, answer.pairs.map((one) => h("li", {}, said(one.sentence)))),
  ];
}

/** What is compared and by which field of the config, as a form that asks again. */
function form(route, runs, metrics, ask) {
  const tables = [...new Set(runs.flatMap((run) => run.tables.map((one) => one.name)))].sort();
  const columns = [...new Set(runs.flatMap((run) => run.tables.flatMap((one) => one.columns)))];
  const table = h("select", {}, h("option", { value: "" }, "the study's own outcome"), tables.map((name) => h("option", { value: name }, visibleText(name))));
  table.value = tables.includes(route.query.table) ? route.query.table : "";
  const metric = h("input", { value: route.query.metric ?? "", list: "metric-names", maxlength: "200", autocomplete: "off", spellcheck: "false", placeholder: "the study's own" });
  const fields = [...new Set(runs.flatMap((run) => Object.keys(run.config)))];
  const by = h("select", {}, h("option", { value: "" }, "all that differs"), fields.map((name) => h("option", { value: name }, visibleText(name))));
  by.value = fields.includes(route.query.by) ? route.query.by : "";
  const submit = (event) => {
    event.preventDefault();
    remember({ table: table.value, metric: metric.value.trim(), by: by.value }, { step: true });
    ask();
  };
  return h("form.filters", { on: { submit } },
    field("Number", metric), h("datalist", { id: "metric-names" }, [...columns, ...metrics].map((name) => h("option", { value: name }))),
    field("In table", table), field("Groups by", by), h("div.field.act", {}, h("span", {}, "\u00a0"), h("button", {}, "Compare")));
}

/** Runs by row; by column what differs in their configs, and the last value of every logged metric. */
function sideBySide(runs, logged) {
  const fields = [...new Set(runs.flatMap((run) => Object.keys(run.config)))];
  const varying = fields.filter((name) => new Set(runs.map((run) => JSON.stringify(run.config[name] ?? null))).size > 1);
  const names = [...new Set(logged.flatMap((answer) => answer.series.map((one) => one.name)))].slice(0, 12);
  const last = (answer, name) => answer.series.find((one) => one.name === name)?.value.findLast((value) => value !== null) ?? null;
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Runs side by side" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Run"), h("th", { scope: "col" }, "State"), varying.map((name) => h("th", { scope: "col" }, said(name))), h("th", { scope: "col" }, "First claim"), names.map((name) => h("th.number", { scope: "col" }, said(name), h("span.dim", {}, " last"))))),
    h("tbody", {}, runs.map((run, at) => h("tr", {},
      h("th", { scope: "row" }, runLink(run.id)), h("td", {}, state(run.status), !run.valid && h("span.tag.bad", {}, "invalid")),
      varying.map((name) => h("td", {}, plain(run.config[name]))),
      h("td", {}, run.headline ? said(run.headline) : "–"),
      names.map((name) => h("td.number", {}, number(last(logged[at], name)))))))));
}

function curves(page, runs, logged) {
  const names = [...new Set(logged.flatMap((answer) => answer.series.map((one) => one.name)))];
  if (!names.length) return h("p.none", {}, "None of them logged a metric.");
  const all = logged.map(seriesOf);
  const place = h("div");
  let chart = null;
  const draw = (name) => {
    const series = runs.map((run, at) => ({ run, one: all[at].find((each) => each.name === name) })).filter(({ one }) => one);
    chart = new Curve({ title: name, across: series[0].one.across, signal: page.signal, height: 320 });
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
    try {
      const answer = await look("compare", { runs: ids, table: query.table, metric: query.metric, by: query.by }, signal);
      replace(place,
        h("p.lead", {}, h("b", {}, said(answer.metric)), answer.table && [" in table ", said(answer.table)], answer.note && [". ", said(answer.note)]),
        groups(answer), h("h3.pairs-title", {}, "Paired differences"), pairs(answer));
    } catch (error) {
      if (error.name !== "AbortError") replace(place, trouble(error));
    }
    place.setAttribute("aria-busy", "false");
  };
  const metrics = [...new Set(logged.flatMap((answer) => answer.names))];
  append(
    page.root,
    section("Side by side", sideBySide(runs, logged)),
    section("Groups", form(route, runs, metrics, ask), place),
  );
  const drawn = h("div");
  append(page.root, section("Curves", drawn));
  replace(drawn, curves(page, runs, logged));
  await ask();
  return `Comparison of ${ids.length} runs`;
}
