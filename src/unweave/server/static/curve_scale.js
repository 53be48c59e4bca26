// Scales of a curve: where a value stands on an axis, and which round values its ticks have.

function finite(values) {
  return values.filter((value) => typeof value === "number" && Number.isFinite(value));
}

/** The least and the largest of many values, or null. */
export function range(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

/** The round distance between ticks, of which there are about `wanted`. */
function stepOf(low, high, wanted) {
  const rough = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
}

function ticks(low, high, step) {
  const list = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) list.push(Number((at * step).toPrecision(12)));
  return list;
}

function powers(low, high, wanted) {
  const list = [];
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const every = Math.max(1, Math.ceil((last - first) / wanted));
  for (let power = first; power <= last; power += every) {
    for (const one of last - first <= 2 ? [1, 2, 5] : [1]) {
      const value = one * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) list.push(value);
    }
  }
  return list.length ? list : [low];
}

/**
 * A scale from values to `[from, to]` in pixels: `at(value)` and `ticks`.
 *
 * `log` counts in powers of ten, where every value is above 0; else the axis is widened to its next ticks.
 */
export function scale(values, from, to, wanted, { log = false, widen = true } = {}) {
  const found = range(log ? finite(values).filter((value) => value > 0) : values);
  let [low, high] = found ?? (log ? [1, 10] : [0, 1]);
  if (low === high) {
    const room = log ? 0 : Math.abs(low) * 0.05 || 0.5;
    [low, high] = log ? [low / 2, high * 2] : [low - room, high + room];
  }
  if (log) {
    const [a, b] = [Math.log10(low), Math.log10(high)];
    return { low, high, log, ticks: powers(low, high, wanted), at: (value) => (value > 0 ? from + ((Math.log10(value) - a) / (b - a)) * (to - from) : NaN) };
  }
  const step = stepOf(low, high, wanted);
  if (widen) [low, high] = [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
  return { low, high, log, ticks: ticks(low, high, step), at: (value) => from + ((value - low) / (high - low)) * (to - from) };
}
