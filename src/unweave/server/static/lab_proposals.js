// Code that an agent proposed: read here before somebody allows exactly these bytes, which then run in the sandbox only.

import { h, replace, said } from "./dom.js";
import { ago, button, doing, hash } from "./lab_parts.js";
import { look } from "./lab_server.js";
import { trouble } from "./parts.js";

function entry(one, who, signal, again) {
  const place = h("div");
  const { place: refusals, does } = doing(signal, again);
  const root = h("details.record", {},
    h("summary", {}, said(one.name), " by ", said(one.proposed_by), one.allowed_by ? [", allowed by ", said(one.allowed_by), " ", ago(one.allowed)] : h("span.tag.wanted", {}, "not allowed yet")),
    h("p", {}, said(one.why)), h("p", {}, "sha256 ", hash(one.sha256)), place, refusals);
  // It can be allowed only where it has been shown.
  root.addEventListener("toggle", async () => {
    if (!root.open || place.firstChild) return;
    try {
      const { source } = await look("proposal", { sha256: one.sha256 }, signal);
      replace(place, h("pre.code.source", { tabindex: "0" }, source.split("\n").map((line) => [said(line), "\n"])),
        !one.allowed_by && who.may("review") && h("p.buttons", {}, button("Allow exactly this code", () => does("allow-code", { sha256: one.sha256 }, `${one.name} may run in the sandbox`), { quiet: false })));
    } catch (error) {
      if (error.name !== "AbortError") replace(place, trouble(error));
    }
  });
  return root;
}

/** Fills `place` with what was proposed. */
export async function proposals(place, who, signal) {
  const again = () => proposals(place, who, signal);
  const { proposals: list } = await look("proposals", {}, signal);
  replace(place, list.length ? list.map((one) => entry(one, who, signal, again)) : h("p.none", {}, "No agent has proposed code."));
}
