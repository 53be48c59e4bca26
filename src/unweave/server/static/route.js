// Every view's address, both ways. Ids are encoded, so that a site's name may hold any character.

export const VIEWS = ["features", "text", "graph", "edits"];

/** The address of a view: `address("polyglot", "feature", {}, "site:3")`. */
export function address(subject, view = "features", query = {}, name = "") {
  const parts = ["", "s", encodeURIComponent(subject)];
  if (view === "feature") parts.push("f", encodeURIComponent(name));
  else if (view !== "features") parts.push(view);
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined || value === null || value === "" || value === false) continue;
    search.set(key, value === true ? "1" : String(value));
  }
  const text = search.toString();
  return parts.join("/") + (text ? `?${text}` : "");
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** What an address asks for: `{view, subject, name, query}`. */
export function parse(location) {
  const parts = location.pathname.split("/").filter(Boolean).map(decode);
  const query = Object.fromEntries(new URLSearchParams(location.search));
  if (parts.length === 0) return { view: "home", query };
  const [head, subject, view, name, ...rest] = parts;
  if (head !== "s" || !subject || rest.length) return { view: "nowhere", query };
  if (view === undefined) return { view: "features", subject, query };
  if (view === "f" && name) return { view: "feature", subject, name, query };
  if (VIEWS.includes(view) && name === undefined) return { view, subject, query };
  return { view: "nowhere", subject, query };
}

/** Changes the query of the present address; `step` makes it an entry of the history that Back returns from. */
export function remember(changes, { step = false } = {}) {
  const url = new URL(window.location.href);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined || value === null || value === "" || value === false) url.searchParams.delete(key);
    else url.searchParams.set(key, value === true ? "1" : String(value));
  }
  const next = url.pathname + url.search;
  if (next === window.location.pathname + window.location.search) return;
  history[step ? "pushState" : "replaceState"](history.state, "", next);
}

/** Goes to another view of this page. */
export function go(to, { quietly = false } = {}) {
  if (to === window.location.pathname + window.location.search) return;
  history[quietly ? "replaceState" : "pushState"](null, "", to);
  window.dispatchEvent(new PopStateEvent("popstate"));
}
