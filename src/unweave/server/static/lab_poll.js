// Asking again: only while the page is in sight, once a second while something runs, and ever more slowly after a failure.

const MOST = 30000;

/**
 * Runs `work(signal)` over and over until the signal ends it.
 *
 * What it gives is the pause before the next time in milliseconds; nothing ends it. `failed(error)` hears of a failure,
 * after which the pause doubles up to half a minute; `failed(null)` hears that it works again.
 */
export function poll(work, { signal, failed = () => {}, first = 1000 }) {
  let timer = 0;
  let pause = first;
  let failures = 0;
  let busy = false;
  let over = false;
  const later = () => {
    clearTimeout(timer);
    if (!signal.aborted && !over && !document.hidden) timer = setTimeout(once, pause);
  };
  const once = async () => {
    if (busy || signal.aborted || over) return;
    busy = true;
    try {
      const next = await work(signal);
      if (signal.aborted) return;
      if (failures) failed(null);
      failures = 0;
      over = typeof next !== "number";
      pause = over ? MOST : next;
    } catch (error) {
      if (error.name === "AbortError" || signal.aborted) return;
      failures += 1;
      pause = Math.min(MOST, 1000 * 2 ** failures);
      failed(error);
    } finally {
      busy = false;
      later();
    }
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : once()), { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  later();
  return {
    /** Asks at once, and goes on from there: something was done that changes what there is to see. */
    now() {
      over = false;
      clearTimeout(timer);
      return once();
    },
  };
}
