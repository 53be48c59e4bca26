// What the machine has and what is set aside for runs; what accounts may spend and have spent.

import { h, said } from "./dom.js";
import { ago, bytes, duration, meter, plural, runLink } from "./lab_parts.js";
import { count, number } from "./numbers.js";

const KINDS = [
  ["threads", "CPU threads", (value) => number(value)],
  ["memory_gb", "Memory", (value) => bytes(value * 1e9)],
  ["gpu_gb", "GPU memory", (value) => bytes(value * 1e9)],
  ["disk_gb", "Disk", (value) => bytes(value * 1e9)],
];
const SPENT = {
  runs: ["Runs", (value) => count(value)],
  seconds: ["Wall time", (value) => duration(value)],
  tokens: ["Tokens", (value) => count(value)],
  dollars: ["Dollars", (value) => number(value)],
};

/** Capacity, a bar a resource that there is any of. */
export function capacity(answer) {
  const shown = KINDS.filter(([key]) => answer.capacity[key] > 0);
  return [
    h("div.meters", {}, shown.map(([key, name, words]) => meter(name, answer.used[key] ?? 0, answer.capacity[key], `${words(answer.used[key] ?? 0)} of ${words(answer.capacity[key])}`))),
    h("p.help", {}, `Set aside for what runs. ${bytes(answer.disk_free_gb * 1e9)} are free on the disk.`, answer.capacity.gpu_gb > 0 ? "" : " There is no GPU."),
    answer.nodes.length > 1 && h("ul", {}, answer.nodes.map((node) => h("li", {}, said(node.name), `: ${amounts(node.total)}`))),
  ];
}

/** What an account of a budget spent and has reserved, a bar a resource. */
export function budgets(list) {
  return h("div.meters", {}, list.map((one) => {
    const [name, words] = SPENT[one.resource] ?? [one.resource, (value) => number(value)];
    const reserved = one.reserved > 0 ? ` and ${words(one.reserved)} reserved` : "";
    return meter(name, one.spent + one.reserved, one.granted ?? 0, `${words(one.spent)} spent${reserved}${one.granted === null ? ", no limit" : ` of ${words(one.granted)}`}`);
  }));
}

/** `2 threads, 4 GB`, and GPU memory where there is some. */
export function amounts(needs) {
  const gpu = needs.gpu_gb > 0 ? `, ${bytes(needs.gpu_gb * 1e9)} GPU` : "";
  return `${plural(needs.threads, "thread")}, ${bytes((needs.memory_gb ?? 0) * 1e9)}${gpu}`;
}

/** Who works on what. `needsOf` has what was set aside for each run. */
export function workers(list, needsOf) {
  if (!list.length) return h("p.none", {}, "Nobody works.");
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Workers" }, h("table", {},
    h("thead", {}, h("tr", {}, ["On", "Process", "Works on", "Since", "Set aside"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, list.map((one) => h("tr", {},
      h("th", { scope: "row" }, said(one.name)), h("td", {}, one.process ?? "–"),
      h("td", {}, one.run ? runLink(one.run) : h("span.none", {}, "waits for work")),
      h("td", {}, one.since ? ago(one.since) : "–"),
      h("td", {}, needsOf.has(one.run) ? amounts(needsOf.get(one.run)) : "–"))))));
}
