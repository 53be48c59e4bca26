// A story's path in space before the others', as a figure; and what is said of it in words and as a table.

import { between, box } from "./scene_math.js";

const ENDS = 3;

/** What bounds the figures of all stories, so that the box does not jump from one to the next. */
export function bounds(scenes, scene) {
  return box([...scenes.ghosts.flatMap((one) => one.path), ...scene.path]);
}

/** Where a path's piece lies in time: told, just told, or yet to come. */
function piece(at, index) {
  if (index + 1 <= at) return { alpha: 0.45 + 0.55 * Math.max(0, 1 - (at - index - 1) / ENDS), width: 2.6 };
  return { alpha: 0.5, width: 1.1, dash: [3, 4] };
}

/** The figure of a scene when it has come to `at`: a number from 0 to its last sentence. */
export function storyFigure(scenes, scene, at, { ghosts = () => true } = {}) {
  const others = scenes.ghosts.filter((one) => one.id !== scene.id && ghosts(one));
  const here = Math.floor(at + 1e-9);
  const now = between(scene.path, at);
  const told = [...scene.path.slice(0, here + 1), ...(at > here ? [now] : [])];
  return {
    captions: scenes.axes,
    meshes: scenes.surface ? [{ ...scenes.surface, colour: "accent" }] : [],
    lines: [
      ...others.map((one) => ({ points: one.path, colour: "strong", alpha: others.length > 30 ? 0.22 : 0.34, width: 1.1 })),
      { points: scene.path, colour: "accent", each: scene.path.slice(1).map((_, index) => (index < here ? { alpha: 0 } : piece(at, index))), behind: 0 },
      { points: told, colour: "accent", alpha: 0.13, width: 9, behind: 0.02 },
      { points: told, colour: "accent", each: told.slice(1).map((_, index) => piece(at, index)), behind: -0.02 },
    ],
    dots: [
      ...others.map((one) => ({ points: [one.path.at(-1)], colour: "strong", radius: 2.4, alpha: 0.55, names: [`${one.title}${one.arc ? ` · ${one.arc}` : ""}`], keys: [one.id] })),
      {
        points: scene.path, colour: "accent", radius: 3.2, names: scene.sentences.map((text, index) => `${index + 1}. ${text}`), keys: scene.path.map((_, index) => index),
        each: scene.path.map((_, index) => ({ hollow: index > at, alpha: index > at ? 0.8 : 1 })),
        labels: scene.path.map((_, index) => (index === 0 || index === here || index === scene.path.length - 1 ? String(index + 1) : null)),
      },
      { points: [now], colour: "accent", radius: 6.5, ring: "ink" },
    ],
  };
}

/** The path in words. */
export function storyWords(scenes, scene, at) {
  return `The path of ${scene.title} through the states of ${scenes.target} at depth ${scenes.layer}, ${scene.path.length} sentences, now after sentence ${Math.floor(at) + 1}; ${scenes.ghosts.filter((one) => one.id !== scene.id).length} other stories behind it. Axes: ${scenes.axes.join(", ")}.`;
}

/** The path as a table. */
export function storyRows(scenes, scene) {
  return {
    columns: ["Sentence", ...scenes.axes, ...scene.series.map((one) => one.name)],
    rows: scene.path.map((point, index) => [String(index + 1), ...point, ...scene.series.map((one) => (one.values[index] === null ? "–" : one.values[index] * one.shown))]),
  };
}
