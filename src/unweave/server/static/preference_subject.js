// The views of a prediction in the bar.

/** Views and their titles; without maps or removed rows, none for those. */
export function barEntries(overview) {
  return [
    ["preferences", "Predictions"],
    overview.maps.length > 0 && ["maps", "Maps"],
    ["pairs", "Pairs"],
    overview.removed > 0 && ["removed", "Removed rows"],
  ].filter(Boolean);
}
