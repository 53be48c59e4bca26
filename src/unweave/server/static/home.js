// Home: the targets that are being served, and what each was taken apart into.

import { h, said } from "./dom.js";
import { count } from "./numbers.js";
import { address } from "./route.js";
import { subjects } from "./server.js";

const KINDS = { subcomponents: "subcomponents", sae: "SAE latents", transcoder: "transcoder latents", probe: "probes" };

export async function show(page) {
  const answer = await subjects(page.signal);
  const all = answer.subjects;
  const targets = new Map();
  for (const one of all) {
    const target = one.target ?? "not known";
    targets.set(target, [...(targets.get(target) ?? []), one]);
  }
  page.root.append(h("h1", {}, "What is served"), h("p.lead", {}, "Choose a target and what it was taken apart into."));
  if (!all.length) page.root.append(h("p.none", {}, "Nothing: name a harvest when starting `unweave serve`."));
  for (const [target, entries] of targets) {
    page.root.append(
      h(
        "section.target",
        {},
        h("h2", {}, h("small", {}, "Target "), said(target)),
        h(
          "ul.subjects",
          {},
          entries.map((one) =>
            h(
              "li",
              {},
              h("a", { href: address(one.id) }, said(one.title)),
              one.error
                ? h("span.problem", {}, said(one.error))
                : h("span.about", {}, `${count(one.features)} `, KINDS[one.kind] ?? said(one.kind)),
              h("code.about", {}, said(one.id)),
            ),
          ),
        ),
      ),
    );
  }
  return "Choose";
}
