// One campaign, followed: what REST says of it, brought up to date by its events.

import { batch, signal } from "../vendor/signals.js";
import { api } from "../api.js";
import { follow } from "../live.js";
import { Calls } from "./calls.js";

/** Events are shown together, this often, however many come. */
const SHOW_EVERY_MS = 100;

/** `{campaign, progress, live, ended, problem, take, close}`: signals, and two functions. */
export function openCampaign(id) {
  const campaign = signal(null);
  const progress = signal(null);
  const live = signal([]);
  const ended = signal([]);
  const problem = signal(null);

  const calls = new Calls();
  let pending = [];
  let timer = null;
  let n_loads = 0;
  let closed = false;

  /** A campaign from REST; one that is older than what is shown is not taken. */
  function take(next) {
    if (closed || next.version < (campaign.value?.version ?? 0)) return;
    campaign.value = next;
    takeProgress(next.progress);
  }

  function takeProgress(next) {
    if (next && next.seq >= (progress.value?.seq ?? -1)) progress.value = next;
  }

  function showCalls() {
    live.value = calls.live();
    ended.value = calls.ended();
  }

  async function load(seq) {
    const mine = ++n_loads;
    try {
      const [loaded, open, over] = await Promise.all([
        api.campaign(id),
        api.calls(id, { open: true, limit: 500 }),
        api.calls(id, { open: false, limit: 50 }),
      ]);
      if (closed || mine !== n_loads) return;
      batch(() => {
        take(loaded);
        calls.reset([...open.items, ...over.items], seq);
        showCalls();
        problem.value = null;
      });
    } catch (failure) {
      if (!closed && mine === n_loads) problem.value = failure;
    }
  }

  /** Which actions are allowed only REST says, so a change of status is fetched. */
  function refetch() {
    api.campaign(id).then(take, (failure) => (problem.value = failure));
  }

  function show() {
    timer = null;
    const events = pending;
    pending = [];
    batch(() => {
      for (const [name, payload] of events) {
        if (name === "campaign_progress") takeProgress(payload);
        if (name === "campaign_call_update") calls.apply(payload, payload.seq);
      }
      showCalls();
    });
    if (events.some(([name]) => name === "campaign_update")) refetch();
  }

  const unfollow = follow(
    { campaignId: id },
    {
      onSnapshot: load,
      onEvent(name, payload) {
        pending.push([name, payload]);
        timer ??= setTimeout(show, SHOW_EVERY_MS);
      },
      onProblem: (refusal) => (problem.value = refusal),
    },
  );
  // Shown at once, and also when live events cannot be had.
  load(0);

  function close() {
    closed = true;
    clearTimeout(timer);
    unfollow();
  }

  return { campaign, progress, live, ended, problem, take, close };
}
