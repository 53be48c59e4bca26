// Requests to the server that this page came from. A view answers JSON; a refusal carries the server's own line.

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function refusal(response) {
  const text = await response.text();
  let line = text;
  try {
    line = JSON.parse(text).detail ?? text;
  } catch {
    // Not JSON: the text itself is the line.
  }
  if (response.status === 401) line = `${line} Open the address that \`unweave serve\` printed once more.`;
  return new Refused(String(line).slice(0, 600) || `the server answered ${response.status}`, response.status);
}

/** What the server answers at an address, read as JSON; anything but success is thrown as `Refused`. */
export async function answer(address, options) {
  let response;
  try {
    response = await fetch(address, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("the server does not answer; is `unweave serve` still running?", 0);
  }
  if (!response.ok) throw await refusal(response);
  return response.json();
}

export function subjects(signal) {
  return answer("/api/subjects", { signal });
}

/** Asks one live view about one subject. */
export function ask(subject, view, request, signal) {
  return answer(`/api/subjects/${encodeURIComponent(subject)}/views/${encodeURIComponent(view)}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request ?? {}),
    signal,
  });
}

/** A function that runs `work(signal)` after a pause, dropping what was asked before, as its `stop()` does too. */
export function newest(pause, outer) {
  let timer = 0;
  let running = null;
  const stop = () => {
    clearTimeout(timer);
    running?.abort();
  };
  outer?.addEventListener("abort", stop);
  const ask = (work, failed) => {
    stop();
    const mine = new AbortController();
    running = mine;
    timer = setTimeout(async () => {
      try {
        await work(mine.signal);
      } catch (error) {
        if (error.name !== "AbortError" && !mine.signal.aborted) failed(error);
      }
    }, pause);
  };
  return Object.assign(ask, { stop });
}
