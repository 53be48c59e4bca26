// A list that the server gives by cursor, asked for by row number: cursors of pages passed on the way are remembered.

const STRIDE = 1000;

/** `fetch(after, limit, signal)` gives `{rows, total, next}`, where `next` is the cursor after these rows or null. */
export class CursorPages {
  constructor(fetch) {
    this.fetch = fetch;
    this.cursors = new Map([[0, ""]]);
    this.last = Promise.resolve();
  }

  /** `limit` rows from number `offset` on. One asks after the other, so that nobody walks the same way twice. */
  page(offset, limit, signal) {
    const mine = this.last.catch(() => {}).then(() => this.walk(offset, limit, signal));
    this.last = mine;
    return mine;
  }

  async walk(offset, limit, signal) {
    let at = Math.max(...[...this.cursors.keys()].filter((known) => known <= offset));
    while (at < offset) {
      const step = Math.min(STRIDE, offset - at);
      const passed = await this.ask(at, step, signal);
      if (passed.rows.length < step || !passed.next) return { offset, rows: [], total: passed.total };
      at += step;
    }
    const { rows, total } = await this.ask(offset, limit, signal);
    return { offset, rows, total };
  }

  async ask(at, limit, signal) {
    signal?.throwIfAborted();
    const answer = await this.fetch(this.cursors.get(at), limit, signal);
    // Rows that were added or removed have moved every later one: the cursors say where by number no longer.
    if (this.total !== undefined && this.total !== answer.total) this.cursors = new Map([[0, ""]]);
    this.total = answer.total;
    if (answer.next && answer.rows.length === limit) this.cursors.set(at + limit, answer.next);
    return answer;
  }
}
