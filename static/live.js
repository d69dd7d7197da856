// The Socket.IO client: one connection, any number of subscriptions, each restored when the
// connection is.
//
// Events of one socket may come out of order and, after a reconnect, again: every payload has a
// `seq` that grows within its campaign, and the receiver compares it.

import { io } from "./vendor/socket.io.js";
import { signal } from "./vendor/signals.js";
import { api } from "./api.js";
import { noteServerTime } from "./time.js";

/** "connecting", "live" or "lost". */
export const link = signal("connecting");

/**
 * How many events before the last one seen are asked for again. Order is not kept, so one that
 * was under way when the connection broke may be older than the last one that arrived.
 */
const OVERLAP = 64;
const RETRY_MS = 5000;

const subscriptions = new Set();
let socket = null;

export function connect(token) {
  disconnect();
  link.value = "connecting";
  socket = io({ auth: { token } });
  socket.on("connect", () => {
    link.value = "live";
    for (const subscription of subscriptions) ask(subscription);
  });
  socket.on("disconnect", (reason) => {
    link.value = "lost";
    if (reason === "io server disconnect") retry(socket);
  });
  socket.on("connect_error", () => {
    link.value = "lost";
    if (!socket.active) retry(socket);
  });
  socket.onAny(dispatch);
}

export function disconnect() {
  socket?.removeAllListeners();
  socket?.disconnect();
  socket = null;
}

/**
 * Follows a campaign, a call, or with no ids the tenant, until the function returned is called.
 *
 * `onSnapshot(seq)`: everything up to `seq` has to be fetched, everything later will come.
 * `onEvent(name, payload)`: one event. `onProblem(problem)`: the server refuses to be followed.
 */
export function follow(ids, { onSnapshot, onEvent, onProblem }) {
  const subscription = { ids, onSnapshot, onEvent, onProblem, lastSeq: null, open: true };
  subscriptions.add(subscription);
  if (socket?.connected) ask(subscription);
  return () => {
    subscription.open = false;
    subscriptions.delete(subscription);
    if (socket?.connected && !isStillFollowed(ids)) socket.emit("unsubscribe", ids);
  };
}

function ask(subscription) {
  const { ids, lastSeq } = subscription;
  // The tenant's events have no common sequence, so after a break they are always fetched anew.
  const resumes = lastSeq !== null && (ids.campaignId || ids.callId);
  const request = resumes ? { ...ids, sinceSeq: Math.max(0, lastSeq - OVERLAP) } : ids;
  socket.timeout(10_000).emit("subscribe", request, (timeout, reply) => {
    if (!subscription.open) return;
    if (timeout) return socket?.connected && ask(subscription);
    if (!reply.ok) return subscription.onProblem(new Error(reply.detail));
    // When resumed, the events themselves move `lastSeq` on as they arrive.
    if (resumes && !reply.reload) return;
    subscription.lastSeq = reply.seq ?? 0;
    subscription.onSnapshot(subscription.lastSeq);
  });
}

function dispatch(name, payload) {
  noteServerTime(payload.at);
  for (const subscription of subscriptions) {
    if (!concerns(subscription.ids, name, payload)) continue;
    if (payload.seq > (subscription.lastSeq ?? Infinity)) subscription.lastSeq = payload.seq;
    subscription.onEvent(name, payload);
  }
}

function concerns({ campaignId, callId }, name, payload) {
  if (callId) return callId === (name === "campaign_call_update" ? payload.id : payload.callId);
  if (campaignId) return campaignId === payload.campaignId;
  return name === "campaign_update" || name === "active_campaigns_list";
}

function isStillFollowed({ campaignId, callId }) {
  return [...subscriptions].some(
    ({ ids }) => ids.campaignId === campaignId && ids.callId === callId,
  );
}

/** The library does not retry when the server said no; a session that ended shows in REST. */
async function retry(refused) {
  await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  if (refused !== socket) return;
  await api.me().catch(() => null);
  if (refused === socket) socket.connect();
}
