// The REST client: one function per route, answers as the API gives them, errors as `Problem`.

import { end, session } from "./session.js";
import { text } from "./text.js";

const ROOT = "/api/v1";

/** What the API says went wrong (RFC 9457), or that it could not be asked (status 0). */
export class Problem extends Error {
  constructor({ status = 0, code = "unreachable", title = "", detail = "", errors = [] }) {
    super(detail || title || text.unreadable);
    this.status = status;
    this.code = code;
    this.errors = errors;
  }
}

export const api = {
  login: (email, password) => send("POST", "/auth/login", { email, password }),
  logout: () => send("POST", "/auth/logout"),
  me: () => get("/auth/me"),

  campaigns: (query) => get("/campaigns", query),
  campaign: (id) => get(`/campaigns/${part(id)}`),
  act: (id, action) => send("POST", `/campaigns/${part(id)}/${part(action)}`),
  progress: (id) => get(`/campaigns/${part(id)}/progress`),
  contacts: (id, query) => get(`/campaigns/${part(id)}/contacts`, query),
  calls: (id, query) => get(`/campaigns/${part(id)}/calls`, query),

  call: (id) => get(`/calls/${part(id)}`),
  recording: (id) => request("GET", `/calls/${part(id)}/recording`).then((r) => r.blob()),
  hangUp: (id) => send("POST", `/calls/${part(id)}/hangup`),
  mute: (id) => send("POST", `/calls/${part(id)}/mute`),
  unmute: (id) => send("POST", `/calls/${part(id)}/unmute`),
  transfer: (id, to) => send("POST", `/calls/${part(id)}/transfer`, to ? { to } : {}),
  hint: (id, text) => send("POST", `/calls/${part(id)}/hint`, { text }),

  startFromCsv: (form, onSent) => upload("/campaigns/start-from-csv", form, onSent),
  import: (id) => get(`/imports/${part(id)}`),
  rejected: (id, query) => get(`/imports/${part(id)}/rejected`, query),
  rejectedCsv: (id) => request("GET", `/imports/${part(id)}/rejected.csv`).then((r) => r.blob()),
};

const part = encodeURIComponent;

function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const search = new URLSearchParams(given).toString();
  return request("GET", search ? `${path}?${search}` : path).then(json);
}

function send(method, path, body) {
  return request(method, path, body).then((reply) => (reply.status === 204 ? null : json(reply)));
}

async function request(method, path, body) {
  const headers = authorization();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let reply;
  try {
    reply = await fetch(ROOT + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Problem({ detail: text.unreachable });
  }
  if (reply.ok) return reply;
  throw refused(reply.status, await reply.text());
}

async function json(reply) {
  try {
    return await reply.json();
  } catch {
    throw new Problem({ status: reply.status, code: "unreadable", detail: text.unreadable });
  }
}

/** Posts a form and reports the share sent: `fetch` cannot tell. */
function upload(path, form, onSent) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open("POST", ROOT + path);
    for (const [name, value] of Object.entries(authorization())) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => event.lengthComputable && onSent(event.loaded / event.total);
    xhr.onerror = () => reject(new Problem({ detail: text.unreachable }));
    xhr.onload = () => {
      if (xhr.status < 200 || xhr.status > 299) return reject(refused(xhr.status, xhr.responseText));
      try {
        resolve(JSON.parse(xhr.responseText));
      } catch {
        reject(new Problem({ status: xhr.status, code: "unreadable", detail: text.unreadable }));
      }
    };
    xhr.send(form);
  });
}

function authorization() {
  return session.value ? { Authorization: `Bearer ${session.value.token}` } : {};
}

/** The problem in an answer; a session that is no longer valid ends here. */
function refused(status, body) {
  if (status === 401 && session.value) end(text.signedOut);
  try {
    return new Problem({ ...JSON.parse(body), status });
  } catch {
    return new Problem({ status, code: "unreadable", detail: `${text.unreadable} (${status})` });
  }
}
