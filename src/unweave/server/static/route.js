// Every view's address, both ways. A name that does not go into a path as it is goes into the query.

export const VIEWS = ["features", "text", "graph", "edits"];
/** Views of what a run foresaw of a preference dataset. */
export const FORESEEN = ["preferences", "column", "maps", "pairs", "pair", "removed"];
/** Views of what a run read of stories, and of the shapes that a run found concepts to have or was steered along. */
export const STORIES = ["stories"];
export const CONCEPTS = ["concepts", "steering"];
/** The longest query that the server takes, with some room. */
export const LONGEST = 8000;
/** An id of the lab: of a run, a thread, a table or a figure. */
const ID = /^[a-z0-9][a-z0-9._-]{0,99}$/;
/** The lab's views by the parts of their address after /lab; a dot stands for an id. */
const LAB = new Map([
  ["", "runs"], ["runs/.", "run"], ["runs/./claims", "claims"], ["runs/./tables/.", "table"], ["compare", "compare"],
  ["threads", "threads"], ["threads/.", "thread"], ["agent", "agents"], ["agent/.", "agent"], ["queue", "queue"],
  ["start", "start"], ["people", "people"],
]);
const PLAIN = /^(?!\.+$)[A-Za-z0-9._~!$&()*+,;=:@-]{1,300}$/;

/** A query's text; what is empty is left out. */
function search(query) {
  const set = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined || value === null || value === "" || value === false) continue;
    set.set(key, value === true ? "1" : String(value));
  }
  const text = set.toString();
  return text && `?${text}`;
}

/** The address of a view: `address("polyglot", "feature", {}, "site:3")`. */
export function address(subject, view = "features", query = {}, name = "") {
  const parts = ["", "d", encodeURIComponent(subject)];
  if (view !== "feature") return [...parts, ...(view === "features" ? [] : [view])].join("/") + search(query);
  if (PLAIN.test(name)) return [...parts, "f", name].join("/") + search(query);
  return [...parts, "f"].join("/") + search({ name, ...query });
}

/** The address of a view of the lab: `lab("claims", "run-3", {claim: 2})`. */
export function lab(view, ids = [], query = {}) {
  const names = [ids].flat();
  const shape = [...LAB].find(([, one]) => one === view)?.[0];
  let at = 0;
  const parts = (shape ?? "").split("/").map((part) => (part === "." ? encodeURIComponent(names[at++]) : part));
  return ["/lab", ...parts.filter(Boolean)].join("/") + search(query);
}

function parseLab(parts, query) {
  for (const [shape, view] of LAB) {
    const wanted = shape.split("/").filter(Boolean);
    if (wanted.length !== parts.length) continue;
    if (!wanted.every((part, at) => (part === "." ? ID.test(parts[at]) : part === parts[at]))) continue;
    return { view: `lab-${view}`, ids: parts.filter((_, at) => wanted[at] === "."), query };
  }
  return { view: "nowhere", query };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** What an address asks for: `{view, subject, name, query}`, of a view of the lab `{view, ids, query}`. */
export function parse(location) {
  const parts = location.pathname.split("/").filter(Boolean).map(decode);
  const query = Object.fromEntries(new URLSearchParams(location.search));
  if (parts.length === 0) return { view: "home", query };
  if (parts[0] === "lab") return parseLab(parts.slice(1), query);
  const [head, subject, view, name, ...rest] = parts;
  if (head !== "d" || !subject || rest.length) return { view: "nowhere", query };
  if (view === undefined) return { view: "features", subject, query };
  if (view === "f" && (name || query.name)) return { view: "feature", subject, name: name || query.name, query };
  if ([VIEWS, FORESEEN, STORIES, CONCEPTS].some((views) => views.includes(view)) && name === undefined) return { view, subject, query };
  return { view: "nowhere", subject, query };
}

/**
 * Changes the query of the present address; `step` makes it an entry of the history that Back returns from.
 *
 * Gives the keys that were left out because the address had no room for them: long lists first, then texts.
 */
export function remember(changes, { step = false } = {}) {
  const url = new URL(window.location.href);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined || value === null || value === "" || value === false) url.searchParams.delete(key);
    else url.searchParams.set(key, value === true ? "1" : String(value));
  }
  const dropped = [];
  for (const key of ["hide", "pin", "q", "prompt"]) {
    if (url.search.length <= LONGEST || !url.searchParams.has(key)) continue;
    url.searchParams.delete(key);
    dropped.push(key);
  }
  const next = url.pathname + url.search;
  if (next !== window.location.pathname + window.location.search) {
    history[step ? "pushState" : "replaceState"](history.state, "", next);
  }
  return dropped;
}

/** Goes to another view of this page. */
export function go(to, { quietly = false } = {}) {
  if (to === window.location.pathname + window.location.search) return;
  history[quietly ? "replaceState" : "pushState"](null, "", to);
  window.dispatchEvent(new PopStateEvent("popstate"));
}
