// Animated GIF (89a) from frames of pixels: one palette for all of them, Lempel-Ziv-Welch as the format has it.

const MOST = 256;
const LARGEST_CODE = 4096;

/** Up to `most` colours that stand for most pixels of all frames, `[[r, g, b], ...]`: the median cut (Heckbert 1982). */
export function commonColours(frames, most = MOST) {
  const counts = new Map();
  for (const { data } of frames) {
    for (let at = 0; at < data.length; at += 4) {
      const key = (data[at] << 16) | (data[at + 1] << 8) | data[at + 2];
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  const all = [...counts].map(([key, count]) => ({ rgb: [key >> 16, (key >> 8) & 255, key & 255], count }));
  const boxes = [boxOf(all)];
  while (boxes.length < most) {
    const widest = boxes.reduce((best, one) => (one.weight > best.weight ? one : best));
    if (widest.weight === 0) break;
    boxes.splice(boxes.indexOf(widest), 1, ...halves(widest));
  }
  return boxes.map(({ list }) => {
    const total = list.reduce((sum, one) => sum + one.count, 0);
    return [0, 1, 2].map((channel) => Math.round(list.reduce((sum, one) => sum + one.rgb[channel] * one.count, 0) / total));
  });
}

function boxOf(list) {
  let [channel, extent] = [0, 0];
  for (const one of [0, 1, 2]) {
    let [low, high] = [255, 0];
    for (const { rgb } of list) [low, high] = [Math.min(low, rgb[one]), Math.max(high, rgb[one])];
    if (high - low > extent) [channel, extent] = [one, high - low];
  }
  // Rare shades of an edge get less of the palette than what fills the picture, but some.
  return { list, channel, weight: extent * Math.sqrt(list.reduce((sum, one) => sum + one.count, 0)) };
}

function halves({ list, channel }) {
  list.sort((a, b) => a.rgb[channel] - b.rgb[channel]);
  const total = list.reduce((sum, one) => sum + one.count, 0);
  let seen = 0;
  let cut = 1;
  for (let at = 0; at < list.length - 1; at += 1) {
    seen += list[at].count;
    cut = at + 1;
    if (seen >= total / 2) break;
  }
  return [boxOf(list.slice(0, cut)), boxOf(list.slice(cut))];
}

/** Every pixel's nearest colour of the palette, by its number. */
export function indexed({ data }, colours, known = new Map()) {
  const found = new Uint8Array(data.length / 4);
  for (let at = 0; at < found.length; at += 1) {
    const [r, g, b] = [data[4 * at], data[4 * at + 1], data[4 * at + 2]];
    const key = (r << 16) | (g << 8) | b;
    let best = known.get(key);
    if (best === undefined) {
      let least = Infinity;
      colours.forEach(([cr, cg, cb], index) => {
        const far = (r - cr) ** 2 + (g - cg) ** 2 + (b - cb) ** 2;
        if (far < least) [best, least] = [index, far];
      });
      known.set(key, best);
    }
    found[at] = best;
  }
  return found;
}

/** Pixels' numbers, each below 2 ** `bits`, compressed: codes that grow from `bits` + 1 to 12 bits, low bits first. */
export function compressed(pixels, bits) {
  const [clear, end] = [1 << bits, (1 << bits) + 1];
  const bytes = [];
  let [held, filled] = [0, 0];
  let [table, next, size] = [new Map(), end + 1, bits + 1];
  const put = (code) => {
    held |= code << filled;
    filled += size;
    while (filled >= 8) {
      bytes.push(held & 255);
      held >>>= 8;
      filled -= 8;
    }
  };
  put(clear);
  let prefix = pixels[0];
  for (let at = 1; at < pixels.length; at += 1) {
    const key = prefix * 256 + pixels[at];
    const code = table.get(key);
    if (code !== undefined) {
      prefix = code;
      continue;
    }
    put(prefix);
    prefix = pixels[at];
    if (next === LARGEST_CODE) {
      put(clear);
      [table, next, size] = [new Map(), end + 1, bits + 1];
      continue;
    }
    table.set(key, next);
    next += 1;
    // The reader's table is one entry behind, so the code that is made now is the first that may need one bit more.
    if (next > 1 << size && size < 12) size += 1;
  }
  put(prefix);
  put(end);
  if (filled) bytes.push(held & 255);
  return bytes;
}

const short = (value) => [value & 255, value >> 8];
const letters = (text) => [...text].map((one) => one.charCodeAt(0));

function blocks(bytes) {
  const list = [];
  for (let at = 0; at < bytes.length; at += 255) {
    const part = bytes.slice(at, at + 255);
    list.push([part.length, ...part]);
  }
  return [...list.flat(), 0];
}

/**
 * A GIF that repeats for ever, as bytes, of frames `{data, width, height, delay}` all of one size: `data` is RGBA as a
 * canvas gives it, `delay` in milliseconds. Transparency is not kept.
 */
export function gif(frames) {
  const [{ width, height }] = frames;
  if (frames.some((frame) => frame.width !== width || frame.height !== height)) throw new Error("the frames of a GIF are all of one size");
  const colours = commonColours(frames);
  const bits = Math.max(2, Math.ceil(Math.log2(colours.length)));
  const table = [...colours, ...Array(2 ** bits - colours.length).fill([0, 0, 0])].flat();
  const known = new Map();
  const pictures = frames.flatMap((frame) => [
    [0x21, 0xf9, 4, 0, ...short(Math.max(2, Math.round(frame.delay / 10))), 0, 0],
    [0x2c, ...short(0), ...short(0), ...short(width), ...short(height), 0, bits],
    blocks(compressed(indexed(frame, colours, known), bits)),
  ]);
  const parts = [
    letters("GIF89a"),
    [...short(width), ...short(height), 0x80 | (bits - 1), 0, 0],
    table,
    [0x21, 0xff, 11, ...letters("NETSCAPE2.0"), 3, 1, 0, 0, 0],
    ...pictures,
    [0x3b],
  ];
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
