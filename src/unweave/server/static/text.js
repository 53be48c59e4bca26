// Typed text: which features fire at which token.

import { tokenText, visible } from "./characters.js";
import { announce, h, replace, said } from "./dom.js";
import { change, count, number, percent, share } from "./numbers.js";
import { bar, featureLink, field, labelText, trouble } from "./parts.js";
import { address, remember } from "./route.js";
import { ask, newest } from "./server.js";
import { legend, shadedText } from "./shading.js";

const EACH = 40;
const FIRST = 20;

function tokenButton(token, at, most, chosen, choose) {
  const lead = /^ +(?=\S)/.exec(token.text)?.[0] ?? "";
  const parts = visible(token.text.slice(lead.length)).map((part) => (part.mark ? h("span.mark", { title: part.title }, part.text) : part.text));
  return [
    lead,
    h(
      "button.token-button",
      {
        type: "button", "data-at": at, "aria-pressed": String(at === chosen), tabindex: at === Math.max(0, chosen) ? "0" : "-1",
        "aria-label": `${tokenText(token.text)}: ${token.firing} fire`, vars: { "--importance": (token.firing / most).toFixed(3) },
        on: { click: () => choose(at) },
      },
      h("bdi", { dir: "auto" }, parts.length ? parts : "∅"),
      h("small", {}, count(token.firing)),
    ),
    /\n/.test(token.text) && h("br"),
  ];
}

function tokens(answer, chosen, choose) {
  const most = Math.max(1, ...answer.tokens.map((token) => token.firing));
  const line = h("p.typed", { dir: "auto", role: "group", "aria-label": "Tokens with the number that fire on each" }, answer.tokens.map((token, at) => tokenButton(token, at, most, chosen, choose)));
  line.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const all = [...line.querySelectorAll("button")];
    const at = all.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(all.length - 1, at + step));
    all[next].focus();
    choose(next);
  });
  return line;
}

function firings(overview, token, at) {
  const rows = token.features;
  return [
    h("h2", {}, `Token ${at + 1}: `, h("bdi.token-text", { dir: "auto" }, tokenText(token.text))),
    h("p.help", {}, token.firing === 0 ? "Nothing fires here." : token.firing > rows.length ? `${count(token.firing)} fire here; the ${rows.length} that tell most (important here, rare elsewhere):` : `${count(token.firing)} fire here.`),
    rows.length > 0 && h("table.firings", { "aria-label": "What fires on the token" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Name and label"), h("th.number", { scope: "col" }, "Importance"), h("th.number", { scope: "col" }, "Activation"), h("th.number", { scope: "col" }, "Density"))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("td.who", {}, featureLink(overview, row.name), " ", labelText(row.label)), h("td.number", {}, bar(row.importance, share(row.importance), "small")), h("td.number", {}, change(row.activation)), h("td.number", {}, percent(row.density)))))),
  ];
}

function whole(overview, answer, shown, follow, all, more) {
  const rows = all ? answer.features : answer.features.slice(0, FIRST);
  return [
    h("h2", {}, "Over the whole text"),
    h("table.firings", { "aria-label": "What fires on the text" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Name and label"), h("th.number", { scope: "col" }, "Tokens"), h("th.number", { scope: "col" }, "Importance"), h("th.number", { scope: "col" }, "Density"), h("th", { scope: "col" }, "Where"))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("td.who", {}, featureLink(overview, row.name), " ", labelText(row.label)), h("td.number", {}, count(row.tokens)), h("td.number", {}, bar(row.importance, share(row.importance), "small")), h("td.number", {}, percent(row.density)),
        h("td", {}, h("button.quiet", { type: "button", "aria-pressed": String(row.name === shown), "aria-label": `Show where ${row.name} fires`, on: { click: () => follow(row.name) } }, "show")))))),
    rows.length < answer.features.length && h("button.quiet", { type: "button", on: { click: more } }, `All ${answer.features.length}`),
  ];
}

function places(overview, answer) {
  const groups = answer.groups.filter((group) => group.firing.some((one) => one > 0));
  if (groups.length < 2) return null;
  const most = Math.max(1, ...groups.flatMap((group) => group.firing));
  return h("details.places-grid", {},
    h("summary", {}, "By site"),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "How many fire, by site and token" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Site"), answer.tokens.map((token) => h("th", { scope: "col" }, h("bdi", { dir: "auto" }, tokenText(token.text)))))),
      h("tbody", {}, groups.map((group) => h("tr", {}, h("th", { scope: "row", title: group.name }, said(overview.short(group.name))), group.firing.map((one) => h("td.heat", { vars: { "--importance": (one / most).toFixed(3) } }, one || "·"))))))));
}

function traced(overview, answer, fires) {
  const { name, importance, activation } = answer.traced;
  const values = answer.tokens.map(({ text }, at) => ({ text, importance: importance[at], activation: activation[at] }));
  const firing = importance.filter((one) => one > fires).length;
  const scale = Math.max(1e-9, ...values.map((one) => Math.abs(one.activation)));
  const readout = h("span.readout");
  return h("div.traced", {},
    h("p.about", {}, h("span", {}, "Where ", featureLink(overview, name), ` fires: on ${count(firing)} of ${count(values.length)} tokens (activation bars to ±${number(scale)})`), readout),
    shadedText(values, { scale, label: `Where ${name} fires`, read: (token) => replace(readout, `${tokenText(token.text)}: ${share(token.importance)}, ${change(token.activation)}`) }),
    legend());
}

export async function show(page) {
  const { overview, route, signal } = page;
  const state = { q: route.query.q ?? "", token: Number(route.query.at ?? NaN), feature: route.query.feature ?? "", site: route.query.site ?? "", edits: route.query.edits === "1" };
  page.root.append(h("h1", {}, "What fires on a text"));
  if (!overview.live.available) {
    page.root.append(h("p.problem", {}, said(overview.live.reason || "The target is not loaded here.")));
    return "Text";
  }
  const results = h("div.fired", { "aria-busy": "false" });
  const asked = newest(250, signal);
  let answer = null;

  const draw = () => {
    if (!answer) return;
    const chosen = Number.isInteger(state.token) && state.token >= 0 && state.token < answer.tokens.length ? state.token : -1;
    const line = tokens(answer, chosen, (at) => {
      state.token = at;
      remember({ at });
      draw();
      results.querySelector(`[data-at="${at}"]`)?.focus();
    });
    replace(
      results,
      line,
      answer.truncated && h("p.help", {}, "The text is longer than a window: only its beginning was read."),
      answer.edits.length > 0 && h("p.help", {}, "With the edits ", answer.edits.map((one, at) => [at ? ", " : "", said(one)]), "."),
      answer.traced && answer.traced.name === state.feature && traced(overview, answer, overview.fires),
      h("div.columns.even", {},
        h("section", {}, chosen >= 0 ? firings(overview, answer.tokens[chosen], chosen) : [h("h2", {}, "One token"), h("p.none", {}, "Choose a token above to list what fires on it.")]),
        h("section", {}, whole(overview, answer, state.feature, (name) => {
          state.feature = state.feature === name ? "" : name;
          remember({ feature: state.feature });
          draw();
          if (state.feature) run();
        }, state.all, () => {
          state.all = true;
          draw();
        }))),
      places(overview, answer),
    );
  };
  const run = () => {
    if (!state.q) {
      answer = null;
      asked.stop();
      results.setAttribute("aria-busy", "false");
      replace(results, h("p.none", {}, "Type or paste a text above."));
      return;
    }
    results.setAttribute("aria-busy", "true");
    asked(async (stop) => {
      answer = await ask(overview.id, "fires", { text: state.q, limit: EACH, group: state.site || null, with_edits: state.edits, trace: state.feature || null }, stop);
      results.setAttribute("aria-busy", "false");
      draw();
      announce(`${answer.tokens.length} tokens read`);
    }, (error) => {
      results.setAttribute("aria-busy", "false");
      replace(results, trouble(error));
    });
  };
  const changed = (changes) => {
    Object.assign(state, changes);
    if ("q" in changes) state.token = NaN;
    const dropped = remember({ q: state.q, site: state.site, edits: state.edits, at: Number.isInteger(state.token) ? state.token : "" });
    replace(long, dropped.includes("q") && "This text is too long to be kept in the address.");
    run();
  };
  const long = h("p.help", { role: "status" });
  page.root.append(
    h("form.filters", { on: { submit: (event) => event.preventDefault() } },
      field("Text", h("textarea", { rows: "3", maxlength: "20000", dir: "auto", "data-first-field": true, spellcheck: "false", value: state.q, on: { input: (event) => changed({ q: event.target.value }) } }), "wide"),
      overview.groups.length > 1 && field("Site", h("input", { list: "sites", value: state.site, placeholder: "part of a name", maxlength: "300", autocomplete: "off", spellcheck: "false", on: { input: (event) => changed({ site: event.target.value }) } })),
      h("datalist", { id: "sites" }, overview.groups.map((group) => h("option", { value: group.name }))),
      overview.edit.available && h("fieldset.field", {}, h("legend", {}, "Edits"), h("label.tick", {}, h("input", { type: "checkbox", checked: state.edits, on: { change: (event) => changed({ edits: event.target.checked }) } }), "active ones applied"))),
    long,
    results,
  );
  run();
  return "Text";
}
