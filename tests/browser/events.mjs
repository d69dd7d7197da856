// The Socket.IO interface with the official client, against a server that runs: starts a campaign
// from a list and checks that its events arrive, can be put in order, and survive a broken
// connection.
//
// DIALTONE_URL, DIALTONE_EMAIL, DIALTONE_PASSWORD, DIALTONE_CSV.

import { readFile } from "node:fs/promises";
import { io } from "socket.io-client";
import { assert, check, finish, required, until } from "./checks.mjs";

const url = required("DIALTONE_URL");
const email = required("DIALTONE_EMAIL");
const password = required("DIALTONE_PASSWORD");
const csv = required("DIALTONE_CSV");
const LIMIT_MS = 30_000;
const RANK = { reserved: 0, unknown: 1, dialing: 1, ringing: 2, connected: 3, ended: 4, released: 4 };

let token = null;
({ token } = await post("/auth/login", { email, password }));
const sockets = [];
try {
  await run();
} finally {
  for (const socket of sockets) socket.disconnect();
}
finish();

async function run() {
  await check("a bad token is refused", () => isRefused({ token: "not a token" }));
  await check("no token is refused", () => isRefused(undefined));

  const tenant = await open();
  await check("the tenant's room can be joined", () => subscribe(tenant, {}));
  const campaign = await startCampaign();
  const campaignId = campaign.id;
  const first = await open();
  await check("a campaign's room can be joined", () => subscribe(first, { campaignId, sinceSeq: 0 }));
  await check("a campaign that does not exist is refused with a code", async () => {
    const reply = await ask(first, { campaignId: "cmp_00000000000000000000000000000000" });
    assert(reply.ok === false && reply.code && reply.detail, JSON.stringify(reply));
  });
  for (const name of ["campaign_progress", "campaign_call_update"]) {
    await check(`${name} arrives, with campaign, seq and time`, async () => {
      const event = await until(() => named(first, name)[0], name, LIMIT_MS);
      assert(event.campaignId === campaignId, "it is of another campaign");
      assert(Number.isInteger(event.seq) && Date.parse(event.at) > 0, JSON.stringify(event));
    });
  }
  await check("the tenant hears of its active campaigns", async () => {
    const lists = () => named(tenant, "active_campaigns_list");
    const has = ({ items }) => items.some(({ id }) => id === campaignId);
    await until(() => lists().some(has), "active_campaigns_list", LIMIT_MS);
  });
  await check("call_transcript arrives for a call that is followed", () => hearsTalk(first));
  await check("calls advance when their events are put in order of seq", () => advances(first));
  await check("what a broken connection missed comes with sinceSeq", () => catchesUp(first, campaignId));
  await check("campaign_update tells of a pause", async () => {
    await post(`/campaigns/${campaignId}/pause`);
    const isPaused = ({ status }) => status === "paused";
    await until(() => named(first, "campaign_update").some(isPaused), "the campaign's room", LIMIT_MS);
    await until(() => named(tenant, "campaign_update").some(isPaused), "the tenant's room", LIMIT_MS);
  });
  await check("what is left is not heard any more", () => fallsSilent(first, campaignId));
  await post(`/campaigns/${campaignId}/stop`);
}

/** A connected socket that keeps its events as `[name, payload]`, and connects again when told. */
async function open() {
  const socket = io(url, { auth: { token }, forceNew: true, reconnection: false });
  sockets.push(socket);
  socket.events = [];
  socket.onAny((name, payload) => socket.events.push([name, payload]));
  await until(() => socket.connected, "a connection");
  return socket;
}

async function isRefused(auth) {
  const socket = io(url, { auth, forceNew: true, reconnection: false });
  sockets.push(socket);
  const answer = await new Promise((resolve) => {
    socket.on("connect_error", resolve);
    socket.on("disconnect", resolve);
    setTimeout(() => resolve(null), 5000);
  });
  assert(answer !== null && !socket.connected, "it was let in");
}

function ask(socket, request) {
  return socket.timeout(10_000).emitWithAck("subscribe", request);
}

async function subscribe(socket, request) {
  const reply = await ask(socket, request);
  assert(reply.ok === true, JSON.stringify(reply));
  return reply;
}

function named(socket, wanted) {
  return socket.events.filter(([name]) => name === wanted).map(([, payload]) => payload);
}

/** Follows every call that connects, until something is said in one. */
async function hearsTalk(socket) {
  const followed = new Set();
  const line = await until(async () => {
    for (const { id, state } of named(socket, "campaign_call_update")) {
      if (state !== "connected" || followed.has(id)) continue;
      followed.add(id);
      await subscribe(socket, { callId: id });
    }
    return named(socket, "call_transcript")[0];
  }, "a line", 60_000);
  assert(["agent", "callee"].includes(line.speaker), JSON.stringify(line));
  assert(line.callId && Number.isInteger(line.turn) && line.text, JSON.stringify(line));
}

/** By `seq`, no call goes back, and no two different events share a `seq`. */
async function advances(socket) {
  const isOver = ({ state }) => state === "ended";
  await until(() => named(socket, "campaign_call_update").some(isOver), "a call to end", 60_000);
  const updates = named(socket, "campaign_call_update").toSorted((a, b) => a.seq - b.seq);
  const last = new Map();
  for (const update of updates) {
    const before = last.get(update.id);
    last.set(update.id, update);
    if (!before) continue;
    if (before.seq === update.seq) assert(before.state === update.state, `seq ${update.seq} twice`);
    const isForward = RANK[update.state] >= RANK[before.state];
    assert(isForward, `${update.id} went from ${before.state} to ${update.state}`);
  }
}

/** A second socket hears everything; the first is cut and must know the same calls afterwards. */
async function catchesUp(socket, campaignId) {
  const witness = await open();
  await subscribe(witness, { campaignId });
  const lastSeq = Math.max(...socket.events.map(([, payload]) => payload.seq ?? 0));
  socket.io.engine.close();
  await until(() => !socket.connected, "the connection to break");
  const from = witness.events.length;
  const missed = () =>
    witness.events.slice(from).filter(([name]) => name === "campaign_call_update");
  await until(() => missed().length >= 3, "events to be missed", 60_000);
  const wanted = missed().map(([, { seq }]) => seq);

  socket.connect();
  await until(() => socket.connected, "the connection to come back");
  const reply = await subscribe(socket, { campaignId, sinceSeq: lastSeq });
  assert(reply.reload === false, "after so short a break a reload should not be needed");
  const have = () => new Set(named(socket, "campaign_call_update").map(({ seq }) => seq));
  await until(() => wanted.every((seq) => have().has(seq)), "the missed events");
}

async function fallsSilent(socket, campaignId) {
  socket.emit("unsubscribe", { campaignId });
  for (const { id } of named(socket, "campaign_call_update")) {
    socket.emit("unsubscribe", { callId: id });
  }
  await post(`/campaigns/${campaignId}/resume`);
  // An acknowledged request after it shows that the server has dealt with what came before.
  const witness = await open();
  await subscribe(witness, { campaignId });
  await until(() => witness.events.length > 0, "the campaign to move", LIMIT_MS);
  const n_before = socket.events.length;
  const n_witness = witness.events.length;
  await until(() => witness.events.length > n_witness + 2, "more of it", LIMIT_MS);
  assert(socket.events.length === n_before, "events came after leaving");
}

async function startCampaign() {
  const form = new FormData();
  form.append("name", `Event test ${process.pid}`);
  form.append("prompt", "Be brief.");
  form.append("firstMessage", "Hello {{first_name}}");
  form.append("settings", JSON.stringify({ maxConcurrentCalls: 5, callsPerSecond: 5 }));
  form.append("file", new Blob([await readFile(csv)], { type: "text/csv" }), "people.csv");
  const { campaign } = await post("/campaigns/start-from-csv", form);
  return campaign;
}

async function post(path, body) {
  const isForm = body instanceof FormData;
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body && !isForm) headers["Content-Type"] = "application/json";
  const reply = await fetch(`${url}/api/v1${path}`, {
    method: "POST",
    headers,
    body: !body || isForm ? body : JSON.stringify(body),
  });
  const text = await reply.text();
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${text}`);
  return text ? JSON.parse(text) : null;
}
