// A concept's values in space with the curves through them and the ways between two of them, as a figure.

/** The colour of each value: its own, of colours, else by its place among the others, round the wheel where they close. */
export function valueColours(values, closed) {
  const last = closed ? values.length : Math.max(1, values.length - 1);
  return values.map((one, at) => one.colour ?? { share: at / last, cyclic: closed });
}

/** Looks of the ways: the manifold full, straight lines dashed, all told apart without colour too. */
const WAYS = {
  manifold: { colour: "accent", width: 3, alpha: 1 },
  chord: { colour: "ink", width: 2, alpha: 0.9, dash: [7, 4] },
  "chord in subspace": { colour: "ink", width: 1.8, alpha: 0.85, dash: [2, 3] },
  "chord renormed": { colour: "dim", width: 1.8, alpha: 0.9, dash: [9, 3, 2, 3] },
};
const OTHER_WAY = { colour: "warn", width: 1.6, alpha: 0.85, dash: [3, 5] };

export function wayLook(way) {
  return WAYS[way] ?? OTHER_WAY;
}

/** Where theta lies on a drawn curve. */
export function placeAt(curve, theta) {
  const points = curve.parts[0] ?? [];
  const known = curve.theta;
  if (known.length !== points.length || !points.length) return null;
  const period = curve.closed ? known.at(-1) - known[0] : 0;
  const at = period ? known[0] + ((((theta - known[0]) % period) + period) % period) : Math.min(known.at(-1), Math.max(known[0], theta));
  const next = Math.max(1, known.findIndex((one) => one >= at));
  const share = (at - known[next - 1]) / (known[next] - known[next - 1] || 1);
  return points[next - 1].map((value, axis) => value + (points[next][axis] - value) * Math.min(1, Math.max(0, share)));
}

function curveLines(curve, shown) {
  const look = shown ? { colour: "strong", width: 1.8, alpha: 0.9 } : { colour: "line", width: 1.2, alpha: 0.9 };
  return curve.parts.map((points) => ({ points, ...look, name: curve.family }));
}

/**
 * `answer` is of `concepts-concept` or `concepts-steering`. `way` is the one in sight and `step` how far along it, from
 * 0 to 1; `place` is a point that somebody moves.
 */
export function conceptFigure(answer, { family = null, way = null, step = null, place = null } = {}) {
  const curves = answer.curves ?? [];
  const curve = curves.find((one) => one.family === family) ?? curves[0];
  const colours = valueColours(answer.values, curve?.closed ?? false);
  const named = answer.values.length <= 40 ? answer.values.map((one) => one.label) : answer.values.map((one, at) => (at % Math.ceil(answer.values.length / 24) ? null : one.label));
  const ways = answer.ways ?? [];
  const chosen = ways.find((one) => one.way === way);
  const marker = place ?? (chosen && step !== null ? chosen.path[Math.round(step * (chosen.path.length - 1))] : null);
  return {
    captions: answer.axes,
    meshes: [],
    lines: [
      ...(curve ? curveLines(curve, true) : []),
      ...ways.filter((one) => one.path.length > 1).map((one) => {
        const look = wayLook(one.way);
        return { points: one.path, ...look, alpha: !way || one.way === way ? look.alpha : 0.3, name: one.way, behind: one.way === way ? -0.03 : 0 };
      }),
    ],
    dots: [
      { points: answer.values.map((one) => one.place), names: answer.values.map((one) => one.label), labels: named, keys: answer.values.map((_, at) => at), each: colours.map((colour) => ({ colour, ring: null })), radius: answer.values.length > 60 ? 3.5 : 5.5 },
      ...(marker ? [{ points: [marker], colour: "accent", radius: 7, ring: "ink" }] : []),
    ],
  };
}

/** The figure as a table. */
export function conceptRows(answer) {
  return { columns: ["Value", ...answer.axes], rows: answer.values.map((one) => [one.label, ...one.place]) };
}
