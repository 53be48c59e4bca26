// Kinds of runs that are asked about live, beside harvests: their views, their overview, their places in the bar.

import { barEntries } from "./preference_subject.js";
import { CONCEPTS, FORESEEN, STORIES } from "./route.js";
import { ask } from "./server.js";

const MODULES = {
  preferences: "preferences", column: "preference_column", maps: "preference_map", pairs: "preference_pairs",
  pair: "preference_pair", removed: "preference_removed", stories: "stories", concepts: "concepts", steering: "steering",
};
const known = new Map();

const KINDS = [
  { views: FORESEEN, asks: "preferences-overview", bar: barEntries, under: { column: "preferences", pair: "pairs" } },
  { views: STORIES, asks: "stories-overview", bar: () => [["stories", "Stories"]] },
  { views: CONCEPTS, asks: "concepts-overview", bar: (overview) => [
    overview.concepts.length > 0 && ["concepts", "Concepts"], overview.tasks.length > 0 && ["steering", "Steering"],
  ].filter(Boolean) },
];

/** The kind that a view belongs to; nothing for one of a harvest or of the lab. */
export function kindOf(view) {
  return KINDS.find((kind) => kind.views.includes(view));
}

/** The file, without its ending, that shows a view. */
export function moduleName(view) {
  return MODULES[view];
}

/** The overview of a subject of a kind. */
export async function overviewOf(kind, subject, signal) {
  const name = `${kind.asks} ${subject}`;
  if (!known.has(name)) known.set(name, { ...(await ask(subject, kind.asks, {}, signal)), id: subject });
  return known.get(name);
}

/** The first view of a subject of whichever kind has it; nothing where none has. */
export async function firstView(subject, signal) {
  for (const kind of KINDS) {
    try {
      return kind.bar(await overviewOf(kind, subject, signal))[0][0];
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
  return null;
}

export function forgetRuns() {
  known.clear();
}
