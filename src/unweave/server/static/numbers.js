// Numbers as they are printed: few digits, one minus sign, and a dash where nothing was measured.

const MINUS = "−";
const NONE = "–";

function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function sign(text) {
  return text.replace(/^-/, MINUS).replace("e-", `e${MINUS}`).replace("e+", "e");
}

/** A share in [0, 1] or a score, with two digits. */
export function share(value, digits = 2) {
  if (!known(value)) return NONE;
  return sign(value.toFixed(digits)).replace(/^(−?)0\./, "$1.");
}

/** A share as per cent. */
export function percent(value) {
  if (!known(value)) return NONE;
  const hundred = value * 100;
  if (hundred === 0) return "0 %";
  if (Math.abs(hundred) < 0.01) return `${hundred < 0 ? MINUS : ""}<.01 %`;
  const digits = Math.abs(hundred) < 1 ? 2 : Math.abs(hundred) < 10 ? 1 : 0;
  return `${sign(hundred.toFixed(digits)).replace(/^(−?)0\./, "$1.")} %`;
}

/** Any number with about three significant digits. */
export function number(value) {
  if (!known(value)) return NONE;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return sign(value.toExponential(1));
  // What three digits round up to a thousand is written as one.
  if (Number(size.toPrecision(3)) >= 1000) return count(Math.round(value));
  return sign(value.toPrecision(3)).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

/** A signed change. */
export function change(value, digits = 2) {
  if (!known(value)) return NONE;
  const text = share(value, digits);
  return value > 0 ? `+${text}` : text;
}

/** A whole number with narrow spaces between thousands. */
export function count(value) {
  if (!known(value)) return NONE;
  return sign(String(Math.round(value))).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** `.81 (.77 – .85)` */
export function interval(value, low, high) {
  if (!known(value)) return NONE;
  return known(low) && known(high) ? `${share(value)} (${share(low)}${NONE}${share(high)})` : share(value);
}

export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
