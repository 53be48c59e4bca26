// What a run was made with: config, plan, seeds, data and target identities, environment, and what it used.

import { h, said } from "./dom.js";
import { bytes, duration, facts, hash, meter, plain, threadLink, when } from "./lab_parts.js";
import { number } from "./numbers.js";

const USES = [
  ["threads", "CPU threads", (value) => number(value)],
  ["seconds", "Wall time", (value) => duration(value)],
  ["cpu_seconds", "CPU time", (value) => duration(value)],
  ["memory_gb", "Memory, most", (value) => bytes(value * 1e9)],
  ["gpu_gb", "GPU memory, most", (value) => bytes(value * 1e9)],
  ["disk_gb", "Disk", (value) => bytes(value * 1e9)],
  ["tokens", "Tokens", (value) => number(value)],
  ["dollars", "Dollars", (value) => number(value)],
];

/** What was used beside what was set aside or allowed, a bar each where there is a limit. */
export function usage(run) {
  const used = run.usage ?? {};
  const needs = run.needs ?? {};
  const rows = USES.filter(([key]) => typeof used[key] === "number" || typeof needs[key] === "number").filter(([key]) => used[key] || needs[key]);
  if (!rows.length) return h("p.none", {}, "Nothing was measured.");
  return rows.map(([key, name, words]) => {
    const limit = needs[key];
    const text = typeof used[key] === "number" ? words(used[key]) : "–";
    return meter(name, used[key] ?? 0, limit ?? 0, limit ? `${text} of ${words(limit)}` : text);
  });
}

function part(title, content, open = false) {
  return content && h("details.record", { open }, h("summary", {}, title), content);
}

function filled(value) {
  return value !== null && value !== undefined && (typeof value !== "object" || Object.keys(value).length > 0);
}

function identities(list) {
  return h("table", { "aria-label": "Identities" },
    h("thead", {}, h("tr", {}, ["What", "Name", "sha256"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, list.map((one) => h("tr", {}, h("td", {}, said(one.kind)), h("td", {}, said(one.name)), h("td", {}, hash(one.sha256))))));
}

/** The record of a run, each part to be opened. */
export function record(run) {
  return [
    facts([
      ["Study", said(run.study)],
      ["Created", when(run.created)],
      ["Finished", when(run.finished)],
      run.thread && ["Thread", threadLink(run.thread)],
      run.person && ["By", said(run.person)],
      filled(run.seeds) && ["Seeds", plain(run.seeds)],
      filled(run.tags) && ["Tags", plain(run.tags)],
      filled(run.resumed) && ["Resumed", `${run.resumed.length} times`],
      run.source && ["Source", h("code", {}, said(run.source))],
      run.job_state && ["Queue", said(run.job_state)],
    ]),
    part("Config", plain(run.config), true),
    part("Plan", filled(run.plan) && plain(run.plan)),
    part("Identities", filled(run.identities) && identities(run.identities)),
    part("Environment", filled(run.environment) && plain(run.environment)),
  ];
}
