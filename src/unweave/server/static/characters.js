// What cannot be seen in a text, made visible: controls, direction overrides, invisible and unpaired characters.

const NAMES = new Map(
  Object.entries({
    "\u00ad": "SHY", "\u061c": "ALM", "\u180e": "MVS", "\u200b": "ZWSP", "\u200c": "ZWNJ", "\u200d": "ZWJ",
    "\u200e": "LRM", "\u200f": "RLM", "\u2028": "LS", "\u2029": "PS", "\u202a": "LRE", "\u202b": "RLE",
    "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO", "\u2060": "WJ", "\u2061": "FA", "\u2062": "IT",
    "\u2063": "IS", "\u2064": "IP", "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI",
    "\ufeff": "BOM", "\u00a0": "NBSP", "\u202f": "NNBSP", "\ufff9": "IAA", "\ufffa": "IAS", "\ufffb": "IAT",
  }),
);
const HIDDEN = /[\p{Cc}\p{Cs}\p{Cf}\p{Zl}\p{Zp}\p{Co}\u00a0\u202f\u3164\u115f\u1160]/u;
const JOINERS = new Set(["\u200c", "\u200d"]);

function code(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

function markOf(character) {
  if (character === "\n") return "↵";
  if (character === "\t") return "⇥";
  const point = character.codePointAt(0);
  if (point < 0x20) return String.fromCodePoint(0x2400 + point);
  if (point === 0x7f) return "␡";
  return NAMES.get(character) ?? code(character);
}

/** The text in parts: `{text}` as it is, or `{text, mark: true, title}` standing for one character that hides. */
export function visible(text) {
  const characters = Array.from(text);
  const parts = [];
  let plain = "";
  characters.forEach((character, at) => {
    // Joiners inside a word of Persian or an emoji are part of how it is written.
    const joins = JOINERS.has(character) && characters[at - 1] > "\u007f" && characters[at + 1] > "\u007f";
    if (!HIDDEN.test(character) || joins) {
      plain += character;
      return;
    }
    if (plain) parts.push({ text: plain });
    plain = "";
    parts.push({ text: markOf(character), mark: true, title: `${code(character)} ${NAMES.get(character) ?? "control"}` });
  });
  if (plain) parts.push({ text: plain });
  return parts;
}

/** The same as one line of plain text, for titles, aria-labels and SVG. */
export function visibleText(text) {
  return visible(String(text ?? ""))
    .map((part) => part.text)
    .join("");
}

/** A token's text as shown in lists, where a space at either end must be seen. */
export function tokenText(text) {
  const shown = visibleText(text);
  if (shown === "") return "∅";
  return shown.replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length));
}
