// What is known of a prediction on show: its overview, asked once, and its places in the bar.

import { ask } from "./server.js";

const MODULES = {
  preferences: "preferences", column: "preference_column", maps: "preference_map", pairs: "preference_pairs",
  pair: "preference_pair", removed: "preference_removed",
};
const known = new Map();

/** The file, without its ending, that shows a view. */
export function moduleName(view) {
  return MODULES[view];
}

/** The overview of a subject that a run foresaw. */
export async function foreseen(subject, signal) {
  if (!known.has(subject)) known.set(subject, { ...(await ask(subject, "preferences-overview", {}, signal)), id: subject });
  return known.get(subject);
}

export function forgetForeseen() {
  known.clear();
}

/** Views and their titles in the bar; without maps or removed rows, none for those. */
export function barEntries(overview) {
  return [
    ["preferences", "Predictions"],
    overview.maps.length > 0 && ["maps", "Maps"],
    ["pairs", "Pairs"],
    overview.removed > 0 && ["removed", "Removed rows"],
  ].filter(Boolean);
}
