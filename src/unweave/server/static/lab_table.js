// One saved table of a run, with its hash.

import { append, h, said } from "./dom.js";
import { hash, runLink } from "./lab_parts.js";
import { count } from "./numbers.js";
import { TablePart } from "./table_part.js";

export async function show(page) {
  const [run, table] = page.route.ids;
  const part = new TablePart({ run, table, signal: page.signal, rows: 200 });
  const answer = await part.open();
  append(
    page.root,
    h("h1", {}, said(table)),
    h("p.run-facts", {}, h("span", {}, "Run ", runLink(run)), h("span", {}, `${count(answer.total)} rows, ${count(answer.columns.length)} columns`), h("span", {}, "sha256 ", hash(answer.sha256))),
    part.root,
  );
  return `${table} of ${run}`;
}
