// The table of all features of a subject: sorted, filtered and paged by the server, every choice in the address.

import { announce, h, replace, said } from "./dom.js";
import { typing } from "./keys.js";
import { change, count, percent, share } from "./numbers.js";
import { bar, confidence, featureLink, field, labelText, trouble } from "./parts.js";
import { Rows } from "./rows.js";
import { remember } from "./route.js";
import { ask, newest } from "./server.js";

const LEVELS = ["clear", "weak", "unclear"];
const UNBOUND = { min_density: 0, max_density: 1 };
const WORDS = new Set(["name", "label", "confidence", "group", "row"]);

function choices(query) {
  const levels = (query.confidence ?? "").split(",").filter((level) => LEVELS.includes(level));
  const bound = (value, key) => (value === undefined || !Number.isFinite(Number(value)) ? UNBOUND[key] : Number(value));
  return {
    query: query.q ?? "",
    group: query.site ?? "",
    confidence: levels,
    // Most of a subject's features may never fire; whoever looks for one of these says so.
    alive: query.alive !== "0",
    contrast: query.contrast ?? "",
    min_density: bound(query.min, "min_density"),
    max_density: bound(query.max, "max_density"),
    sort: query.sort ?? "",
    descending: query.down === "1",
  };
}

function sorting(chosen) {
  if (chosen.sort) return { sort: chosen.sort, descending: chosen.descending };
  if (chosen.contrast) return { sort: "contrast", descending: true };
  if (chosen.query) return { sort: "match", descending: true };
  return { sort: "row", descending: false };
}

function request(chosen, offset, limit) {
  return {
    query: chosen.query,
    group: chosen.group || null,
    confidence: chosen.confidence,
    alive: chosen.alive,
    contrast: chosen.contrast || null,
    min_density: chosen.min_density,
    max_density: chosen.max_density,
    ...sorting(chosen),
    offset,
    limit,
  };
}

function columns(overview, contrast) {
  const list = [
    { key: "name", title: "Name", sort: "name", cell: (row) => featureLink(overview, row.name) },
    { key: "label", title: "Label", sort: "label", cell: (row) => labelText(row.label) },
    { key: "confidence", title: "Confidence", sort: "confidence", cell: (row) => confidence(row.confidence) },
    {
      key: "density", title: "Density", sort: "density", number: true,
      help: `Share of all tokens on which it fires (importance above ${overview.fires})`,
      cell: (row) => percent(row.density),
    },
    {
      key: "importance", title: "Importance", sort: "importance", number: true,
      help: "Mean importance where it fires", cell: (row) => share(row.importance),
    },
    {
      key: "detection", title: "Detection", sort: "detection", number: true,
      help: "How well the label alone tells held-out examples apart (balanced accuracy, .50 is chance)",
      cell: (row) => share(row.detection),
    },
  ];
  if (contrast) {
    list.push({
      key: "contrast", title: "Contrast", sort: "contrast", number: true,
      help: `Mean importance on ${contrast} minus the largest other`, cell: (row) => change(row.contrast),
    });
  }
  overview.corpus_labels.forEach((label, at) =>
    list.push({
      key: "on", title: label.name, sort: `on:${label.name}`, number: true,
      help: `Mean importance over all tokens of ${label.name}`,
      cell: (row) => bar(row.by_label[at], share(row.by_label[at]), "small"),
    }),
  );
  return list;
}

function filters(page, chosen, changed) {
  const { overview } = page;
  const text = (name, key, properties) =>
    h("input", { ...properties, name: key, value: chosen[key], on: { input: (event) => changed({ [key]: event.target.value }) } });
  const shareOf = (key, label) =>
    h("input", {
      type: "number", min: "0", max: "100", step: "any", "aria-label": label,
      value: String(Number((chosen[key] * 100).toPrecision(10))),
      on: { input: (event) => changed({ [key]: event.target.value === "" ? UNBOUND[key] : Math.min(1, Math.max(0, Number((event.target.value / 100).toPrecision(10)))) }) },
    });
  const level = (name) =>
    h("label.tick", {}, h("input", {
      type: "checkbox", checked: chosen.confidence.includes(name),
      on: { change: (event) => changed({ confidence: LEVELS.filter((one) => (one === name ? event.target.checked : chosen.confidence.includes(one))) }) },
    }), name);
  const contrasts = overview.corpus_labels.map(({ name }) => h("option", { value: name }, `${name} against all others`));
  return h(
    "form.filters",
    { role: "search", on: { submit: (event) => event.preventDefault() } },
    field("Search", text("Search", "query", { type: "search", "data-first-field": true, placeholder: "words of a label, a language", maxlength: "500", autocomplete: "off", spellcheck: "false" }), "wide"),
    field("Site", text("Site", "group", { list: "sites", placeholder: "part of a name", maxlength: "300", autocomplete: "off", spellcheck: "false" })),
    h("datalist", { id: "sites" }, overview.groups.map((group) => h("option", { value: group.name }))),
    overview.corpus_labels.length > 1 &&
      field("Contrast", h("select", { on: { change: (event) => changed({ contrast: event.target.value, sort: "" }, true) } }, h("option", { value: "" }, "none"), contrasts)),
    h("fieldset.field", {}, h("legend", {}, "Confidence"), LEVELS.map(level)),
    h("fieldset.field", {}, h("legend", {}, "Density, %"), h("span.pair", {}, shareOf("min_density", "Lowest density, per cent"), "–", shareOf("max_density", "Highest density, per cent"))),
    h("fieldset.field", {}, h("legend", {}, "Firing"), h("label.tick", {}, h("input", { type: "checkbox", checked: chosen.alive, on: { change: (event) => changed({ alive: event.target.checked }) } }), "at least once")),
  );
}

function sortField(list, chosen, changed) {
  const now = sorting(chosen);
  const options = [["row", "order in the model"], ...list.filter((column) => column.sort).map((column) => [column.sort, column.title])];
  if (chosen.query) options.push(["match", "match"]);
  const select = h("select", {
    on: { change: (event) => changed({ sort: event.target.value, descending: !WORDS.has(event.target.value) }) },
  }, options.map(([value, title]) => h("option", { value }, title)));
  select.value = now.sort;
  return field("Sort by", select, "sort");
}

export async function show(page) {
  const { overview, signal } = page;
  const chosen = choices(page.route.query);
  const total = h("p.total", { role: "status" });
  const place = h("div.table-place");
  const errors = h("div");
  const asked = newest(150, signal);
  let table = null;
  const fetchPage = (offset, limit, stop) => ask(overview.id, "features", request(chosen, offset, limit), stop);
  const failed = (error) => replace(errors, trouble(error));
  /** Rows of another question must not stand below a refusal. */
  const refused = (error) => {
    failed(error);
    table.fill({ total: 0, offset: 0, rows: [] }, sorting(chosen));
    replace(total);
  };

  const build = () => {
    const list = columns(overview, chosen.contrast);
    table?.observer.disconnect();
    table = new Rows({
      columns: list,
      caption: `${overview.plural} of ${overview.title}`,
      fetchPage,
      sortBy: (column) => {
        const now = sorting(chosen);
        const first = !WORDS.has(column.sort);
        changed({ sort: column.sort, descending: now.sort === column.sort ? !now.descending : first });
      },
      moved: (index) => remember({ at: index || "" }),
      failed,
      signal,
    });
    replace(place, sortField(list, chosen, changed), table.root);
  };
  const load = async (stop, index = 0) => {
    const first = await fetchPage(Math.floor(index / 100) * 100, 100, stop);
    replace(errors);
    table.fill(first, { ...sorting(chosen), index });
    const line = `${count(first.total)} of ${count(overview.features)} ${overview.plural}`;
    replace(total, line);
    announce(line);
  };
  const changed = (changes, rebuild = false) => {
    Object.assign(chosen, changes);
    if (!chosen.contrast && chosen.sort === "contrast") chosen.sort = "";
    remember({
      q: chosen.query, site: chosen.group, confidence: chosen.confidence.join(","), alive: chosen.alive ? "" : "0",
      contrast: chosen.contrast, min: chosen.min_density || "", max: chosen.max_density < 1 ? chosen.max_density : "",
      sort: chosen.sort, down: chosen.descending && chosen.sort !== "", at: "",
    }, { step: !("query" in changes || "group" in changes || "min_density" in changes || "max_density" in changes) });
    asked(async (stop) => {
      if (rebuild) build();
      await load(stop);
    }, refused);
  };
  page.root.append(
    h("div.heading", {}, h("h1", {}, overview.title), total),
    overview.labels_note && h("p.problem", {}, said(overview.labels_note)),
    filters(page, chosen, changed),
    errors,
    place,
  );
  const contrast = page.root.querySelector("select");
  if (contrast && overview.corpus_labels.length > 1) contrast.value = chosen.contrast;
  build();
  const at = Number(page.route.query.at ?? 0);
  await load(signal, Number.isInteger(at) && at > 0 ? at : 0).catch((error) => {
    if (error.name !== "AbortError") refused(error);
  });
  document.addEventListener("keydown", (event) => {
    if (typing(event.target) || table.root.contains(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === "j" || event.key === "k") {
      table.key(event);
    }
  }, { signal });
  if (page.route.query.at) table.move(table.index);
  return `${overview.plural}`;
}
