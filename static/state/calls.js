// The calls of one campaign as they are known: snapshots and events merged by `seq`.

const KEPT_ENDED = 50;
const OVER = new Set(["ended", "released"]);

export const isOver = (call) => OVER.has(call.state);

export class Calls {
  #calls = new Map();
  /** The `seq` of the last word on each call, also of calls no longer kept. */
  #seqs = new Map();

  /** Takes one event; false when it is old news. */
  apply(call, seq) {
    if (seq <= (this.#seqs.get(call.id) ?? -1)) return false;
    this.#seqs.set(call.id, seq);
    this.#calls.set(call.id, { ...this.#calls.get(call.id), ...call });
    return true;
  }

  /** Takes what REST said after event `seq`; newer events are kept. */
  reset(calls, seq) {
    const newer = [...this.#calls.values()].filter((call) => this.#seqs.get(call.id) > seq);
    this.#calls.clear();
    for (const call of calls) {
      this.#calls.set(call.id, call);
      this.#seqs.set(call.id, Math.max(seq, this.#seqs.get(call.id) ?? -1));
    }
    for (const call of newer) this.#calls.set(call.id, call);
  }

  /** Calls that are up, the oldest first. */
  live() {
    const live = [...this.#calls.values()].filter((call) => !isOver(call));
    return live.sort((a, b) => compare(a.dialAt, b.dialAt));
  }

  /** The last calls that ended, the newest first; forgets the rest. */
  ended() {
    const ended = [...this.#calls.values()].filter(isOver);
    ended.sort((a, b) => compare(b.endedAt, a.endedAt));
    for (const call of ended.splice(KEPT_ENDED)) this.#calls.delete(call.id);
    return ended;
  }
}

/** Times are compared as the API writes them; a time that is not known comes last. */
const compare = (a, b) => (a ?? "~").localeCompare(b ?? "~");
