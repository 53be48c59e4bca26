// Parts that the pages of concepts and of steering share: choices, saved tables, pictures of a drawing.

import { visibleText } from "./characters.js";
import { h, replace, said } from "./dom.js";
import { field, section, trouble } from "./parts.js";
import { choice } from "./preference_parts.js";
import { fileName, pngOf, saveFile } from "./save_file.js";
import { moved } from "./scene_math.js";
import { gifOf } from "./story_pictures.js";
import { cellText } from "./table_part.js";

const TURNS = 48;
const FEW = 24;

/** A field with a list of names; nothing to choose is only said. */
export function pick(name, values, value, changed) {
  const short = values.every((one) => String(one).length < 6);
  return field(name, choice(values.map((one) => [String(one), visibleText(one)]), String(value), changed), short ? "short" : "");
}

/** Rows of a saved table, long ones folded up; nothing where there are none. */
export function savedTable(title, table) {
  if (!table) return null;
  const counted = (column) => column.kind === "integer" || column.kind === "number";
  const rows = table.rows.map((row) => h(row.some((cell, at) => cell === true && table.columns[at].name === "chosen") ? "tr.chosen" : "tr", {}, row.map((cell, at) => h(counted(table.columns[at]) ? "td.number" : "td", {}, cellText(cell, table.columns[at])))));
  const body = h("div.scroll", { tabindex: "0", role: "region", "aria-label": title }, h("table", {},
    h("thead", {}, h("tr", {}, table.columns.map((column) => h(counted(column) ? "th.number" : "th", { scope: "col" }, said(column.name), column.unit && h("span.dim", {}, " ", said(column.unit)))))),
    h("tbody", {}, rows)));
  const help = table.caption && h("p.help", {}, said(table.caption));
  if (rows.length > FEW) return section(title, help, h("details", {}, h("summary", {}, `${rows.length} rows`), body));
  return section(title, help, body);
}

/** Buttons that save a drawing in space; `name()` is what its files are called. */
export function drawingFiles(space, name) {
  const words = h("span.help", { role: "status" });
  const errors = h("div");
  const button = (title, work) => h("button.quiet", { type: "button", on: { click: async (event) => {
    const pressed = event.currentTarget;
    pressed.disabled = true;
    replace(errors);
    await Promise.resolve().then(work).catch((error) => replace(errors, trouble(error)));
    pressed.disabled = false;
    words.textContent = "";
  } } }, title);
  const turning = () => Array.from({ length: TURNS }, (_, turn) => ({ figure: space.figure, camera: moved(space.camera, (2 * Math.PI * turn) / TURNS, 0), delay: 80 }));
  return h("div.save", {}, h("p.buttons", {}, h("span.dim", {}, "Save as"),
    button("PNG", async () => saveFile(fileName(name(), "png"), await pngOf(space.picture({ scale: 3 })))),
    button("SVG", () => saveFile(fileName(name(), "svg"), space.svg(), "image/svg+xml")),
    button("GIF", async () => saveFile(fileName(name(), "gif"), await gifOf(space, turning(), (share) => (words.textContent = `${Math.round(100 * share)} % drawn`)), "image/gif")),
    words), errors);
}
