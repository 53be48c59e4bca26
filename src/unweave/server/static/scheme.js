// Runs before the first paint, so that a chosen colour scheme does not flash.
try {
  const chosen = localStorage.getItem("unweave.scheme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.scheme = chosen;
} catch {
  // Storage may be forbidden; the system's own preference holds then.
}
