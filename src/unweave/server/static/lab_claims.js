// A run's claims: the verdict on each, and one click away the row that its number was read from, with its hash.

import { announce, append, h, replace, said } from "./dom.js";
import { button, coded, hash, plain, runLink, verdict } from "./lab_parts.js";
import { look } from "./lab_server.js";
import { trouble } from "./parts.js";
import { lab, remember } from "./route.js";
import { TablePart } from "./table_part.js";

const KINDS = { cell: "one cell of a table", metric: "a logged metric", aggregate: "computed from several rows" };
const MOST = 20;

/** Where one of a claim's numbers stands, with the table itself below. */
function evidence(entry, run, signal) {
  const place = h("div");
  const open = async () => {
    if (!entry.table) return;
    const part = new TablePart({ run: entry.run, table: entry.table, signal, mark: entry, rows: 50 });
    replace(place, part.root);
    try {
      const answer = await part.open();
      if (answer.sha256 !== entry.sha256) place.prepend(h("p.problem", {}, "The table that is there now has another hash than the claim names: ", h("code", {}, said(answer.sha256))));
    } catch (error) {
      if (error.name !== "AbortError") replace(place, trouble(error));
    }
  };
  const root = h("div.evidence", {},
    h("dl.facts.small", {},
      entry.run !== run && [h("dt", {}, "Run"), h("dd", {}, runLink(entry.run))],
      entry.table ? [
        h("dt", {}, "Table"), h("dd", {}, h("a", { href: lab("table", [entry.run, entry.table]) }, said(entry.table))),
        h("dt", {}, "Rows"), h("dd", {}, Object.keys(entry.row).length ? Object.entries(entry.row).map(([name, value], at) => [at ? ", " : "", said(name), " = ", plain(value)]) : "all", entry.rows.length !== 1 && ` (${entry.rows.length})`),
        h("dt", {}, "Column"), h("dd", {}, said(entry.column)),
      ] : [h("dt", {}, "Metric"), h("dd", {}, said(entry.column))],
      entry.how && [h("dt", {}, "How"), h("dd", {}, said(entry.how))],
      h("dt", {}, "Value"), h("dd", {}, h("b", {}, plain(entry.value))),
      h("dt", {}, "sha256"), h("dd", {}, hash(entry.sha256))),
    place);
  return { root, open };
}

function claim(one, run, opened, signal) {
  const marks = h("span");
  const reason = h("p.reason");
  const inside = h("div.claim-evidence", { hidden: true });
  const toggle = button("Evidence", () => unfold(inside.hidden), { "aria-expanded": "false" });
  let filled = false;
  const unfold = async (open) => {
    inside.hidden = !open;
    toggle.setAttribute("aria-expanded", String(open));
    if (!open) return;
    opened(one.number);
    if (filled) return;
    filled = true;
    const parts = one.evidence.map((entry) => evidence(entry, run, signal));
    replace(inside,
      h("p.help", {}, `Its number is ${KINDS[one.kind] ?? "read from its evidence"}${parts.length > 1 ? `, ${parts.length} pieces of evidence` : ""}.`),
      parts.slice(0, MOST).map((part) => part.root),
      parts.length > MOST && h("p.help", {}, `${parts.length - MOST} more are in the run's claims.json.`));
    // One at a time: a claim over many runs has many tables.
    for (const part of parts.slice(0, MOST)) await part.open();
  };
  const judge = (given) => {
    replace(marks, verdict(given.verdict));
    replace(reason, said(given.reason));
  };
  judge(one);
  const root = h("li.claim", { id: `claim-${one.number}`, tabindex: "-1" },
    h("div.claim-head", {}, h("p.claim-sentence", {}, coded(one.sentence)), marks, toggle), reason, inside);
  return { root, unfold, judge, number: one.number };
}

/** The button that has the auditor recompute everything, and what it says. */
function auditing(run, claims, signal) {
  const said_ = h("div.audit", { role: "status" });
  const press = button("Audit now", async () => {
    replace(said_, h("p.dim", {}, "Another process reads the run's files and recomputes every claim …"));
    try {
      const found = await look("audit", { run }, signal);
      for (const one of found.claims) claims.find((claim_) => claim_.number === one.number)?.judge(one);
      replace(said_, h("p", {}, "Audited now: ", verdict(found.verdict), found.findings.length === 0 && ". Nothing was found that differs."),
        found.findings.length > 0 && h("ul", {}, found.findings.map((one) => h("li", {}, h("code", {}, said(one.where)), " ", said(one.what)))));
      announce(`audited: ${found.verdict}`);
    } catch (error) {
      if (error.name !== "AbortError") replace(said_, trouble(error));
    }
  }, { quiet: false });
  return [h("p.buttons", {}, press), said_];
}

export async function show(page) {
  const { signal, route } = page;
  const [run] = route.ids;
  const answer = await look("claims", { run }, signal);
  const claims = answer.claims.map((one) => claim(one, run, (number) => remember({ claim: number }), signal));
  append(
    page.root,
    h("h1", {}, "Claims"),
    h("p.run-facts", {}, h("span", {}, "Run ", runLink(run)), h("span", {}, `${claims.length} ${claims.length === 1 ? "claim" : "claims"}`)),
    auditing(run, claims, signal),
    claims.length ? h("ol.claims", { start: "0" }, claims.map((one) => one.root)) : h("p.none", {}, "This run claims nothing."),
  );
  const wanted = claims.find((one) => String(one.number) === route.query.claim);
  if (wanted) {
    wanted.unfold(true).then(() => wanted.root.scrollIntoView({ block: "start" }), () => {});
    wanted.root.focus({ preventScroll: true });
  }
  return `Claims of ${run}`;
}
