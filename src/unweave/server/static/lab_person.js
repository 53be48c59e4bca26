// Who looks at the lab, and what their role lets them do here. The server refuses what the page does not offer, too.

import { h, said } from "./dom.js";
import { look } from "./lab_server.js";

let known = null;

/** `{name, role, lab, may(scope)}` of whoever holds this browser's token, asked once. */
export async function person(signal) {
  if (!known) {
    const answer = await look("lab", {}, signal);
    known = { name: answer.person, role: answer.role, lab: answer.name, may: (scope) => answer.scopes.includes(scope) };
  }
  return known;
}

export function unlearn() {
  known = null;
}

export function nameOf(who) {
  return [said(who.name), h("span.role", {}, who.role)];
}
