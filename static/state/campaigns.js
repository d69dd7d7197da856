// The list of campaigns, followed.

import { batch, signal } from "../vendor/signals.js";
import { api } from "../api.js";
import { follow } from "../live.js";

/** `{page, problem, show, take, close}`; `page` is null until the first answer. */
export function openCampaigns() {
  const page = signal(null);
  const problem = signal(null);
  let cursor;
  let n_loads = 0;
  let closed = false;

  async function load() {
    const mine = ++n_loads;
    try {
      const loaded = await api.campaigns({ limit: 25, cursor });
      if (closed || mine !== n_loads) return;
      batch(() => {
        page.value = loaded;
        problem.value = null;
      });
    } catch (failure) {
      if (!closed && mine === n_loads) problem.value = failure;
    }
  }

  function change(id, update) {
    if (!page.value) return;
    const items = page.value.items.map((item) => (item.id === id ? update(item) : item));
    page.value = { ...page.value, items };
  }

  /** A campaign from REST, unless a newer version is shown. */
  function take(next) {
    change(next.id, (shown) => {
      if (next.version < shown.version) return shown;
      return { ...next, progress: newer(shown.progress, next.progress) };
    });
  }

  function onEvent(name, payload) {
    if (name === "active_campaigns_list") {
      batch(() => {
        for (const { id, progress } of payload.items) {
          change(id, (shown) => ({ ...shown, progress: newer(shown.progress, progress) }));
        }
      });
    } else if (page.value?.items.some((item) => item.id === payload.campaignId)) {
      api.campaign(payload.campaignId).then(take, (failure) => (problem.value = failure));
    } else {
      load();
    }
  }

  const unfollow = follow(
    {},
    { onSnapshot: load, onEvent, onProblem: (refusal) => (problem.value = refusal) },
  );
  load();

  function show(next) {
    cursor = next;
    load();
  }

  function close() {
    closed = true;
    unfollow();
  }

  return { page, problem, show, take, close };
}

const newer = (shown, next) => (next && next.seq >= (shown?.seq ?? -1) ? next : shown);
