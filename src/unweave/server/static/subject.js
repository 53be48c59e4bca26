// What is known of the subject on show: its overview, asked once, and how its features are called.

import { ask } from "./server.js";

const NOUNS = { subcomponents: "subcomponent", sae: "latent", transcoder: "latent", probe: "probe" };
const known = new Map();

function commonDots(names) {
  const split = names.map((name) => name.split("."));
  const first = split[0] ?? [];
  let length = 0;
  while (length < first.length - 1 && split.every((parts) => parts.length > length + 1 && parts[length] === first[length])) {
    length += 1;
  }
  return length ? `${first.slice(0, length).join(".")}.` : "";
}

/** The subject's overview, with `singular`, `plural` and `short(name)`, a feature's name without what all share. */
export async function about(subject, signal) {
  if (!known.has(subject)) {
    const overview = await ask(subject, "overview", {}, signal);
    const singular = NOUNS[overview.kind] ?? "feature";
    const prefix = commonDots(overview.groups.map((group) => group.name));
    known.set(subject, {
      ...overview,
      id: subject,
      singular,
      plural: `${singular}s`,
      short: (name) => (prefix && name.startsWith(prefix) ? name.slice(prefix.length) : name),
    });
  }
  return known.get(subject);
}

export function forget() {
  known.clear();
}
