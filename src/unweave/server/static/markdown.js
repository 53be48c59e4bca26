// Notes in Markdown, built as elements: headings, lists, quotes, code, emphasis. Anything else stays the text it is.

import { h, said } from "./dom.js";

const DEEPEST = 3;
const SPANS = /(`[^`\n]+`)|(\*\*[^*\n]+\*\*)|(?<![\w*])(\*[^*\s][^*\n]*\*)(?![\w*])|(?<!\w)(_[^_\s][^_\n]*_)(?!\w)|(\[[^\]\n]{1,300}\]\([^()\s]{1,500}\))/g;

/** A line's spans. `link(name)` may give an element for a text that names something of the lab, or nothing. */
function spans(text, link) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(SPANS)) {
    if (found.index > from) parts.push(said(text.slice(from, found.index)));
    from = found.index + found[0].length;
    const [whole, code, strong, em, under] = found;
    if (code) parts.push(link(code.slice(1, -1)) || h("code", {}, said(code.slice(1, -1))));
    else if (strong) parts.push(h("strong", {}, said(strong.slice(2, -2))));
    else if (em || under) parts.push(h("em", {}, said((em ?? under).slice(1, -1))));
    else parts.push(anchor(whole, link));
  }
  if (from < text.length) parts.push(said(text.slice(from)));
  return parts;
}

/** A link inside the lab, or to what `link` knows; of any other address the text and the address are shown. */
function anchor(whole, link) {
  const cut = whole.indexOf("](");
  const text = whole.slice(1, cut);
  const to = whole.slice(cut + 2, -1);
  if (/^\/lab(\/[a-z0-9._-]+)*$/.test(to) && !to.includes("..")) return h("a", { href: to }, said(text));
  return link(to) || [said(text), " (", said(to), ")"];
}

function fence(lines, at) {
  const body = [];
  let end = at + 1;
  while (end < lines.length && !/^\s*```\s*$/.test(lines[end])) body.push(lines[end++]);
  return [h("pre.code", { tabindex: "0" }, body.map((line) => [said(line), "\n"])), end + 1];
}

function list(lines, at, link) {
  const ordered = /^\s*\d+[.)]\s/.test(lines[at]);
  const mark = ordered ? /^\s*\d+[.)]\s+/ : /^\s*[-*+]\s+/;
  const items = [];
  let end = at;
  while (end < lines.length && (mark.test(lines[end]) || (/^\s{2,}\S/.test(lines[end]) && items.length))) {
    if (mark.test(lines[end])) items.push([lines[end].replace(mark, "")]);
    else items.at(-1).push(lines[end].trim());
    end += 1;
  }
  return [h(ordered ? "ol" : "ul", {}, items.map((item) => h("li", {}, spans(item.join(" "), link)))), end];
}

function quote(lines, at, link, depth) {
  const body = [];
  let end = at;
  while (end < lines.length && /^\s*>/.test(lines[end])) body.push(lines[end++].replace(/^\s*> ?/, ""));
  return [h("blockquote", {}, blocks(body, link, depth + 1)), end];
}

function blocks(lines, link, depth) {
  const made = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const heading = /^(#{1,6})\s+(.+?)\s*#*$/.exec(line);
    let block = null;
    if (!line.trim()) at += 1;
    else if (/^\s*```/.test(line)) [block, at] = fence(lines, at);
    else if (heading) [block, at] = [h(`h${Math.min(6, heading[1].length + 2)}`, {}, spans(heading[2], link)), at + 1];
    else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) [block, at] = [h("hr", {}), at + 1];
    else if (/^\s*([-*+]|\d+[.)])\s+\S/.test(line)) [block, at] = list(lines, at, link);
    else if (/^\s*>/.test(line) && depth < DEEPEST) [block, at] = quote(lines, at, link, depth);
    else {
      const body = [line];
      at += 1;
      while (at < lines.length && lines[at].trim() && !/^\s*(```|>|#{1,6}\s|([-*+]|\d+[.)])\s)/.test(lines[at])) body.push(lines[at++]);
      block = h("p", {}, body.map((one, number) => [number ? h("br", {}) : null, spans(one, link)]));
    }
    if (block) made.push(block);
  }
  return made;
}

/** A Markdown text as elements. `link(name)` may give an element for the name of a run or a thread. */
export function markdown(text, link = () => null) {
  return h("div.markdown", {}, blocks(String(text ?? "").replaceAll("\r\n", "\n").split("\n"), link, 0));
}
