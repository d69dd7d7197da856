// Who is signed in. The token is kept for this tab only.

import { signal } from "./vendor/signals.js";

const KEY = "dialtone.session";

/** `{token, expiresAt, user}`, or null. */
export const session = signal(restore());

/** Why the last session ended, to be shown where the next one begins. */
export const farewell = signal("");

export function begin(opened) {
  sessionStorage.setItem(KEY, JSON.stringify(opened));
  farewell.value = "";
  session.value = opened;
}

export function end(reason = "") {
  sessionStorage.removeItem(KEY);
  farewell.value = reason;
  session.value = null;
}

function restore() {
  try {
    const saved = JSON.parse(sessionStorage.getItem(KEY));
    return saved && Date.parse(saved.expiresAt) > Date.now() ? saved : null;
  } catch {
    return null;
  }
}
