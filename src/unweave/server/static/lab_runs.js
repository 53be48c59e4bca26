// The list of runs: filtered and sorted by the lab, read by cursor as one scrolls, those that run kept up to date.

import { announce, append, h, replace, said } from "./dom.js";
import { typing } from "./keys.js";
import { LIVE, ago, button, coded, duration, runLink, shortened, state, threadLink, validity } from "./lab_parts.js";
import { CursorPages } from "./lab_pages.js";
import { poll } from "./lab_poll.js";
import { progressLine } from "./lab_progress.js";
import { look } from "./lab_server.js";
import { count } from "./numbers.js";
import { field, trouble } from "./parts.js";
import { go, lab, remember } from "./route.js";
import { Rows } from "./rows.js";
import { newest } from "./server.js";

const STATES = ["running", "waiting", "paused", "finished", "failed", "cancelled", "interrupted"];
const MOST_COMPARED = 12;
const SORTS = ["created", "seconds", "study", "status", "thread", "id"];
const UPWARDS = new Set(["study", "status", "thread", "id"]);

function choices(query) {
  return {
    text: query.q ?? "",
    study: query.study ?? "",
    status: STATES.includes(query.status) ? query.status : "",
    thread: query.thread ?? "",
    sort: SORTS.includes(query.sort) ? query.sort : "created",
    descending: query.up !== "1",
  };
}

function columns(chosen, choose) {
  const tick = (row) => {
    const box = h("input", { type: "checkbox", "aria-label": `Compare ${row.id}`, checked: chosen.has(row.id) });
    box.addEventListener("change", () => choose(row.id, box));
    return h("label.reach", {}, box);
  };
  return [
    { key: "pick", title: "", cell: tick },
    { key: "run", title: "Run", sort: "id", cell: (row) => runLink(row.id, shortened(row.id)) },
    { key: "study", title: "Study", sort: "study", cell: (row) => said(row.study) },
    { key: "state", title: "State", sort: "status", cell: (row) => (row.status === "running" && row.progress ? progressLine(row.progress) : state(row.status)) },
    { key: "result", title: "First claim", cell: (row) => row.headline && coded(row.headline) },
    { key: "valid", title: "Files", help: "Whether what a finished run wrote is still what it wrote", cell: (row) => validity(row) },
    { key: "thread", title: "Thread", sort: "thread", cell: (row) => threadLink(row.thread) },
    { key: "started", title: "Started", sort: "created", cell: (row) => ago(row.created) },
    { key: "took", title: "Took", sort: "seconds", number: true, cell: (row) => duration(row.seconds) },
    { key: "note", title: "Note", cell: (row) => row.note && said(row.note) },
  ];
}

function filters(chosen, changed, studies) {
  const text = (name, key, properties) =>
    field(name, h("input", { ...properties, name: key, value: chosen[key], maxlength: "200", autocomplete: "off", spellcheck: "false", on: { input: (event) => changed({ [key]: event.target.value.trim() }) } }), key === "text" ? "wide" : "");
  const choice = (name, key, options, first) => {
    const select = h("select", { on: { change: (event) => changed({ [key]: event.target.value }, true) } }, h("option", { value: "" }, first), options.map((one) => h("option", { value: one }, one)));
    if (chosen[key] && !options.includes(chosen[key])) select.append(h("option", { value: chosen[key] }, chosen[key]));
    select.value = chosen[key];
    return field(name, select);
  };
  return h("form.filters", { role: "search", on: { submit: (event) => event.preventDefault() } },
    text("Search", "text", { type: "search", "data-first-field": true, placeholder: "part of a name, a study or a note" }),
    choice("Study", "study", studies, "all"),
    choice("State", "status", STATES, "all"),
    text("Thread", "thread", { placeholder: "its id" }));
}

/** What is chosen for a comparison, kept while one scrolls, filters and comes back. */
function comparing(changed) {
  const chosen = new Set();
  const words = h("span.total", {});
  const bar = h("p.buttons.comparing", {},
    button("Compare", () => go(lab("compare", [], { runs: [...chosen].join(" ") })), { quiet: false }),
    button("Choose none", () => {
      chosen.clear();
      draw();
      changed();
    }), words);
  const draw = () => {
    bar.hidden = chosen.size === 0;
    bar.firstChild.disabled = chosen.size < 2;
    replace(words, `${chosen.size} chosen`, chosen.size < 2 && "; choose another one", chosen.size === MOST_COMPARED && "; that is the most");
  };
  draw();
  const choose = (id, box) => {
    if (box.checked && chosen.size >= MOST_COMPARED) box.checked = false;
    else chosen[box.checked ? "add" : "delete"](id);
    draw();
    announce(words.textContent);
  };
  return { chosen, bar, choose };
}

export async function show(page) {
  const { signal, who } = page;
  const chosen = choices(page.route.query);
  const total = h("p.total", { role: "status" });
  const errors = h("div");
  const place = h("div.table-place");
  const asked = newest(150, signal);
  const compared = comparing(() => table.redraw());
  let pages = null;
  const request = () => ({ study: chosen.study, status: chosen.status, thread: chosen.thread, text: chosen.text, sort: chosen.sort, descending: chosen.descending });
  const restart = () => {
    const fields = request();
    pages = new CursorPages((after, limit, stop) => look("runs", { ...fields, after, limit }, stop));
  };
  const failed = (error) => replace(errors, error && trouble(error));
  const table = new Rows({
    columns: columns(compared.chosen, compared.choose),
    caption: "Runs",
    fetchPage: (offset, limit, stop) => pages.page(offset, limit, stop),
    sortBy: (column) => changed({ sort: column.sort, descending: chosen.sort === column.sort ? !chosen.descending : !UPWARDS.has(column.sort) }, true),
    moved: () => {},
    failed,
    signal,
  });
  table.table.classList.add("runs");
  const tell = (aloud) => {
    const line = `${count(table.total)} ${table.total === 1 ? "run" : "runs"}`;
    if (total.textContent !== line) replace(total, line);
    if (aloud) announce(line);
  };
  const load = async (stop) => {
    restart();
    const first = await pages.page(0, 100, stop);
    failed(null);
    table.fill(first, { sort: chosen.sort, descending: chosen.descending });
    table.root.hidden = first.total === 0;
    nothing.hidden = first.total > 0;
    tell(true);
  };
  const refused = (error) => {
    failed(error);
    table.fill({ total: 0, offset: 0, rows: [] }, { sort: chosen.sort, descending: chosen.descending });
    replace(total);
  };
  const changed = (changes, step = false) => {
    Object.assign(chosen, changes);
    remember({ q: chosen.text, study: chosen.study, status: chosen.status, thread: chosen.thread, sort: chosen.sort === "created" ? "" : chosen.sort, up: !chosen.descending }, { step });
    asked(load, refused);
  };
  const nothing = h("p.none.nothing", { hidden: true }, "No run fits. `unweave run STUDY --queue` or “Start a run” makes one.");
  const studies = await look("studies", {}, signal).then((answer) => answer.studies.map((one) => one.name), () => []);
  append(
    page.root,
    h("div.heading", {}, h("h1", {}, "Runs"), total, h("span.grow"), who.may("run") && h("a", { href: lab("start") }, "Start a run")),
    filters(chosen, changed, studies),
    errors,
    compared.bar,
    nothing,
    place,
  );
  place.append(table.root);
  await load(signal).catch((error) => {
    if (error.name !== "AbortError") refused(error);
  });
  poll(async (stop) => {
    if (table.total) await table.refresh(stop);
    else await load(stop);
    tell(false);
    const moving = [...table.pages.values()].some((rows) => rows.some((row) => LIVE.has(row.status)));
    return moving ? 2000 : 10000;
  }, { signal, failed, first: 2000 });
  document.addEventListener("keydown", (event) => {
    if (typing(event.target) || table.root.contains(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === "j" || event.key === "k") table.key(event);
  }, { signal });
  return "Runs";
}
