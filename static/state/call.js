// One call, followed: its facts, its timeline and what is being said.

import { batch, signal } from "../vendor/signals.js";
import { api } from "../api.js";
import { follow } from "../live.js";

/** `{call, lines, problem, take, close}`: signals, and two functions. */
export function openCall(id) {
  const call = signal(null);
  const lines = signal([]);
  const problem = signal(null);

  /** Line by turn and speaker, and the `seq` of the last word on each. */
  const byTurn = new Map();
  const seqs = new Map();
  let callSeq = -1;
  let n_loads = 0;
  let closed = false;

  const key = (line) => `${line.turn} ${line.speaker}`;

  function takeLine(line, seq) {
    if (seq <= (seqs.get(key(line)) ?? -1)) return;
    seqs.set(key(line), seq);
    byTurn.set(key(line), line);
  }

  function showLines() {
    const all = [...byTurn.values()];
    lines.value = all.sort((a, b) => a.turn - b.turn || a.at.localeCompare(b.at));
  }

  async function load(seq) {
    const mine = ++n_loads;
    try {
      const loaded = await api.call(id);
      if (closed || mine !== n_loads) return;
      batch(() => {
        take(loaded, seq);
        for (const line of loaded.transcript) takeLine(line, seq);
        showLines();
        problem.value = null;
      });
    } catch (failure) {
      if (!closed && mine === n_loads) problem.value = failure;
    }
  }

  function take(next, seq = callSeq) {
    if (closed || seq < callSeq) return;
    callSeq = seq;
    call.value = { ...call.value, ...next };
  }

  function onEvent(name, payload) {
    if (name === "call_transcript") {
      takeLine(payload, payload.seq);
      showLines();
    }
    if (name === "campaign_call_update" && payload.seq > callSeq) {
      take(payload, payload.seq);
      // Timeline, report and latency are not part of the event.
      api.call(id).then(
        ({ timeline, report, latency }) => take({ timeline, report, latency }),
        (failure) => (problem.value = failure),
      );
    }
  }

  const unfollow = follow(
    { callId: id },
    { onSnapshot: load, onEvent, onProblem: (refusal) => (problem.value = refusal) },
  );
  load(0);

  function close() {
    closed = true;
    unfollow();
  }

  return { call, lines, problem, take, close };
}
