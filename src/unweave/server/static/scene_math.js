// A figure in space as flat marks in the order in which they are painted. Without a document, so that what is drawn on a
// canvas, written as SVG and tested is one and the same.

import { scale } from "./curve_scale.js";

const AWAY = 3.4;
const ROOM = 0.74;
const STEEPEST = Math.PI / 2;
export const FIRST = { yaw: -0.65, pitch: 0.42, zoom: 1, perspective: true };

/** The least box around points, `{low: [x, y, z], high}`; nothing where there are none. */
export function box(points) {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (const point of points) {
    for (let axis = 0; axis < 3; axis += 1) {
      low[axis] = Math.min(low[axis], point[axis]);
      high[axis] = Math.max(high[axis], point[axis]);
    }
  }
  return points.length ? { low, high } : null;
}

/** A point turned as the camera stands: `[right, up, away]`, from the middle. The third axis of space is upright. */
export function turned([x, y, z], { yaw, pitch }) {
  const [c, s] = [Math.cos(yaw), Math.sin(yaw)];
  const right = c * x + s * y;
  const behind = c * y - s * x;
  const [cp, sp] = [Math.cos(pitch), Math.sin(pitch)];
  return [right, cp * z + sp * behind, cp * behind - sp * z];
}

/** A camera after a drag of `dx`, `dy` radians and a zoom; it never turns over. */
export function moved(camera, dx, dy, zoom = 1) {
  const pitch = Math.min(STEEPEST, Math.max(-STEEPEST, camera.pitch + dy));
  return { ...camera, yaw: camera.yaw + dx, pitch, zoom: Math.min(12, Math.max(0.3, camera.zoom * zoom)) };
}

/**
 * A function from points in space to `{x, y, depth, size}` in pixels on `width` by `height`.
 *
 * `depth` is from about -1, nearest, to 1; `size` is 1 in the middle, and what is farther is smaller in perspective.
 */
export function projection(bounds, camera, { width, height }) {
  const middle = bounds.low.map((low, axis) => (low + bounds.high[axis]) / 2);
  const half = bounds.low.map((low, axis) => (bounds.high[axis] - low) / 2);
  const radius = Math.hypot(...half) || 1;
  // What may stick out to a side whatever the yaw, and upright at this pitch: so nothing jumps when it turns.
  const side = Math.hypot(half[0], half[1]) / radius || 1e-9;
  const upright = (Math.abs(Math.cos(camera.pitch)) * half[2]) / radius + Math.abs(Math.sin(camera.pitch)) * side || 1e-9;
  const scaled = Math.min(width / 2 / side, height / 2 / upright) * ROOM * camera.zoom;
  return (point) => {
    const [right, up, away] = turned(point.map((value, axis) => (value - middle[axis]) / radius), camera);
    const size = camera.perspective ? AWAY / Math.max(0.2, AWAY + away) : 1;
    return { x: width / 2 + right * scaled * size, y: height / 2 - up * scaled * size, depth: away, size };
  };
}

/** Light on a piece of a surface: 1 where it faces the eye, 0 where it is seen edge on. */
export function facing(points, camera) {
  const [a, b, c] = points.slice(0, 3).map((point) => turned(point, camera));
  const [u, v] = [b.map((one, axis) => one - a[axis]), c.map((one, axis) => one - a[axis])];
  const normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
  return Math.abs(normal[2]) / (Math.hypot(...normal) || 1);
}

const average = (places) => places.reduce((sum, place) => sum + place.depth, 0) / places.length;
const flat = (places) => places.map(({ x, y }) => [x, y]);

function meshMarks(mesh, place, camera) {
  const marks = [];
  for (let row = 0; row + 1 < mesh.rows; row += 1) {
    for (let column = 0; column + 1 < mesh.columns; column += 1) {
      const first = row * mesh.columns + column;
      const corners = [first, first + 1, first + 1 + mesh.columns, first + mesh.columns].map((at) => mesh.points[at]);
      const places = corners.map(place);
      const light = facing(corners, camera);
      marks.push({ shape: "area", points: flat(places), depth: average(places), colour: mesh.colour ?? "accent", alpha: (mesh.alpha ?? 0.1) * (0.4 + 0.6 * light), edge: 0.16 });
    }
  }
  return marks;
}

function lineMarks(line, place) {
  const places = line.points.map(place);
  const list = [];
  for (let at = 0; at + 1 < places.length; at += 1) {
    const pair = [places[at], places[at + 1]];
    const look = { ...line, ...line.each?.[at] };
    if (look.alpha === 0) continue;
    list.push({
      shape: "line", points: flat(pair), depth: average(pair) + (line.behind ?? 0), colour: look.colour, alpha: look.alpha ?? 1,
      width: (look.width ?? 1.5) * average(pair.map((one) => ({ depth: one.size }))), dash: look.dash ?? null, name: line.name,
    });
  }
  return list;
}

function dotMarks(dots, place) {
  return dots.points.map((point, at) => {
    const { x, y, depth, size } = place(point);
    const look = { ...dots, ...dots.each?.[at] };
    return {
      shape: "dot", x, y, depth, radius: (look.radius ?? 4) * size, colour: look.colour, alpha: look.alpha ?? 1,
      ring: look.ring ?? null, hollow: look.hollow ?? false, name: dots.names?.[at] ?? null, key: dots.keys?.[at] ?? null, label: dots.labels?.[at] ?? null,
    };
  });
}

/** The box's edges, its ticks and the axes' captions. The three that carry captions meet in the box's lowest corner. */
function frameMarks(bounds, captions, place, size) {
  const corner = (bits) => bits.map((bit, axis) => (bit ? bounds.high : bounds.low)[axis]);
  const middle = place(bounds.low.map((low, axis) => (low + bounds.high[axis]) / 2));
  const longest = Math.max(...bounds.low.map((low, axis) => bounds.high[axis] - low));
  const marks = [];
  const taken = [];
  for (let axis = 0; axis < 3; axis += 1) {
    const others = [0, 1, 2].filter((one) => one !== axis);
    for (const bits of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
      const from = [0, 0, 0];
      others.forEach((other, at) => (from[other] = bits[at]));
      const to = [...from];
      to[axis] = 1;
      const ends = [corner(from), corner(to)].map(place);
      const first = bits[0] + bits[1] === 0;
      marks.push({ shape: "line", points: flat(ends), depth: 9, colour: first ? "strong" : "line", alpha: 0.9, width: 1, dash: null });
      if (!first) continue;
      const thin = bounds.high[axis] - bounds.low[axis] <= 1e-6 * longest;
      for (const tick of thin ? [] : scale([bounds.low[axis], bounds.high[axis]], 0, 1, 3, { widen: false }).ticks) {
        const at = corner([0, 0, 0]);
        at[axis] = tick;
        const { x, y } = place(at);
        marks.push({ shape: "dot", x, y, depth: 9, radius: 1.6, colour: "strong", alpha: 1, ring: null, hollow: false, name: null, key: null, label: null });
        marks.push({ shape: "text", x: x + 4, y: y + 12, depth: 9, text: String(tick).replace("-", "−"), colour: "dim", size: 10, anchor: "start" });
      }
      marks.push(caption(captions[axis] ?? "", ends[1], middle, size, taken));
    }
  }
  return marks;
}

/** A caption beyond the end of its axis, within the drawing and not on another. */
function caption(text, end, middle, { width, height }, taken) {
  const far = Math.hypot(end.x - middle.x, end.y - middle.y) || 1;
  const wide = text.length * 5.9;
  const anchor = end.x < middle.x ? "end" : "start";
  let left = end.x + (14 * (end.x - middle.x)) / far - (anchor === "end" ? wide : 0);
  left = Math.max(4, Math.min(width - wide - 4, left));
  let y = Math.max(14, Math.min(height - 6, end.y + (14 * (end.y - middle.y)) / far + 4));
  for (const other of taken) if (left < other.left + other.wide && other.left < left + wide && Math.abs(y - other.y) < 14) y = other.y + (y < other.y ? -15 : 15);
  taken.push({ left, wide, y });
  return { shape: "text", x: left, y, depth: 9, text, colour: "dim", size: 11, anchor: "start" };
}

/** All points of a figure, for the box that they are in. */
export function pointsOf(figure) {
  return [...figure.meshes, ...figure.lines, ...figure.dots].filter((one) => !one.outside).flatMap((one) => one.points);
}

/**
 * The marks of a figure, farthest first.
 *
 * A figure is `{captions, meshes, lines, dots}`: a mesh `{rows, columns, points}`, a line `{points, colour, each}` and
 * dots `{points, names, labels, colour, each}`, where `each` overrides the look of a piece or a dot.
 */
export function marksOf(figure, camera, size, bounds = box(pointsOf(figure))) {
  if (!bounds) return [];
  const place = projection(bounds, camera, size);
  const marks = [
    ...frameMarks(bounds, figure.captions, place, size),
    ...figure.meshes.flatMap((mesh) => meshMarks(mesh, place, camera)),
    ...figure.lines.flatMap((line) => lineMarks(line, place)),
    ...figure.dots.flatMap((dots) => dotMarks(dots, place)),
  ];
  marks.sort((a, b) => b.depth - a.depth);
  return [...marks, ...labels(marks, size)];
}

/** Names beside dots, nearest first, without those that would lie on one another or beyond the edge. */
function labels(marks, { width, height }) {
  const taken = [];
  const list = [];
  for (const mark of [...marks].reverse()) {
    if (!mark.label) continue;
    const wide = mark.label.length * 6.4 + 4;
    const x = mark.x + mark.radius + 3 + wide > width ? mark.x - mark.radius - 3 - wide : mark.x + mark.radius + 3;
    const one = [x, mark.y - 7, x + wide, mark.y + 7];
    if (one[1] < 0 || one[3] > height || taken.some((other) => one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3])) continue;
    taken.push(one);
    list.push({ shape: "text", x, y: mark.y + 4, depth: mark.depth, text: mark.label, colour: "ink", size: 11.5, anchor: "start" });
  }
  return list;
}

/** The named dot nearest to a place on the drawing within `reach` pixels; the nearer to the eye where several are. */
export function dotAt(marks, x, y, reach = 9) {
  let best = null;
  let least = Infinity;
  for (const mark of marks) {
    if (mark.shape !== "dot" || !mark.name) continue;
    const far = Math.hypot(mark.x - x, mark.y - y) - mark.radius;
    if (far <= reach && far <= least + 0.5) [best, least] = [mark, far];
  }
  return best;
}

/** A place on a row of points, between those that `at` lies between. */
export function between(points, at) {
  const low = Math.min(points.length - 1, Math.max(0, Math.floor(at)));
  const high = Math.min(points.length - 1, low + 1);
  const share = Math.min(1, Math.max(0, at - low));
  return points[low].map((value, axis) => value + (points[high][axis] - value) * share);
}
