// The lab's operations over HTTP: those that only look are asked by address, the others send JSON.

import { answer } from "./server.js";

/** Asks an operation that only reads. What is empty is left out; a list is repeated. */
export function look(operation, fields = {}, signal) {
  const set = new URLSearchParams();
  for (const [key, value] of Object.entries(fields)) {
    for (const one of [value].flat()) {
      if (one !== undefined && one !== null && one !== "") set.append(key, String(one));
    }
  }
  const query = set.toString();
  return answer(`/api/lab/${operation}${query && `?${query}`}`, { signal });
}

/** Asks an operation that changes something. */
export function act(operation, request = {}, signal) {
  return answer(`/api/lab/${operation}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
    signal,
  });
}
