// The page's frame: which view an address shows, the bar above it, colour scheme and keys that work everywhere.

import { announce, h, replace } from "./dom.js";
import { openKeys } from "./keys.js";
import { nameOf, person, unlearn } from "./lab_person.js";
import { address, go, lab, parse } from "./route.js";
import { firstView, forgetRuns, kindOf, moduleName, overviewOf } from "./run_kinds.js";
import { schemeButton } from "./schemes.js";
import { about, forget } from "./subject.js";
import { problem } from "./parts.js";
import * as edits from "./edits.js";
import * as feature from "./feature.js";
import * as features from "./features.js";
import * as graph from "./graph.js";
import * as home from "./home.js";
import * as text from "./text.js";

const LAB = [["runs", "Runs"], ["threads", "Threads"], ["agents", "Agent"], ["queue", "Queue"], ["people", "People"]];
/** The entry of the bar that a view of the lab belongs to. */
const UNDER = { run: "runs", claims: "runs", table: "runs", compare: "runs", start: "runs", thread: "threads", agent: "agents" };
const SHOWN = { home, features, feature, text, graph, edits };
const content = document.getElementById("content");
let current = null;

/** The module of a view; those of the lab and of runs are loaded when one is first asked for. */
async function moduleOf(view) {
  if (SHOWN[view]) return SHOWN[view];
  if (view.startsWith("lab-")) return import(`./lab_${view.slice(4)}.js`);
  if (kindOf(view)) return import(`./${moduleName(view)}.js`);
  throw new Error(`no view has the address ${window.location.pathname}`);
}

function labBar(route, who) {
  const view = route.view.slice(4);
  const here = UNDER[view] ?? view;
  replace(
    document.getElementById("views"),
    LAB.filter(([entry]) => entry !== "people" || who.may("own")).map(([entry, title]) => h("a", { href: lab(entry), "aria-current": entry === here ? "page" : null }, title)),
    h("span.person", { title: "Who you are in this lab, and your role" }, nameOf(who)),
  );
}

function bar(route, overview) {
  const nav = document.getElementById("views");
  if (!overview) {
    replace(nav);
    return;
  }
  const kind = kindOf(route.view);
  const entries = kind ? kind.bar(overview) : [
    ["features", capital(overview.plural)],
    ["text", "Text"],
    ["graph", "Prompt graph"],
    ["edits", "Edits"],
  ];
  const here = { feature: "features", ...kind?.under }[route.view] ?? route.view;
  replace(
    nav,
    entries.map(([view, title]) =>
      h("a", { href: address(route.subject, view), "aria-current": view === here ? "page" : null }, title),
    ),
  );
}

function capital(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** What is known of a route's subject. A bare address of a run leads to its first view. */
async function known(route, signal) {
  const kind = kindOf(route.view);
  if (kind) return overviewOf(kind, route.subject, signal);
  try {
    return await about(route.subject, signal);
  } catch (error) {
    if (error.status !== 404 || route.view !== "features") throw error;
    const first = await firstView(route.subject, signal);
    if (first === null) throw error;
    go(address(route.subject, first), { quietly: true });
    return null;
  }
}

async function show() {
  const route = parse(window.location);
  const here = [route.view, route.subject ?? "", route.name ?? "", ...(route.ids ?? [])].join(" ");
  if (current?.here === here && current.again?.(route)) return;
  current?.stop.abort();
  const stop = new AbortController();
  const page = { root: h("div.view"), route, signal: stop.signal, again: null };
  current = { here, stop, again: null };
  const mine = current;
  document.body.dataset.view = route.view;
  try {
    const shown = await moduleOf(route.view);
    page.overview = route.subject ? await known(route, stop.signal) : null;
    page.who = route.view.startsWith("lab-") ? await person(stop.signal) : null;
    if (stop.signal.aborted) return;
    if (page.who) labBar(route, page.who);
    else bar(route, page.overview);
    replace(content, page.root);
    const title = await shown.show(page);
    if (stop.signal.aborted) return;
    mine.again = page.again;
    document.title = [title, page.overview?.title ?? page.who?.lab, "unweave"].filter(Boolean).join(" · ");
    announce(title ?? "");
  } catch (error) {
    if (stop.signal.aborted || error.name === "AbortError") return;
    if (!page.overview && !page.who) bar(route, null);
    replace(content, problem(error, () => (forget(), forgetRuns(), unlearn(), show())));
    document.title = "Problem · unweave";
  }
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target) return;
  const to = link.getAttribute("href");
  if (to.startsWith("#")) {
    event.preventDefault();
    document.getElementById(to.slice(1))?.focus();
    return;
  }
  if (link.hasAttribute("download") || !to.startsWith("/") || to.startsWith("/api/")) return;
  event.preventDefault();
  go(to);
  window.scrollTo(0, 0);
  content.focus({ preventScroll: true });
}

document.addEventListener("click", follow);
window.addEventListener("popstate", show);
document.getElementById("help").addEventListener("click", openKeys);
schemeButton(document.getElementById("scheme"));
show();
