// A new campaign from a list: the form, the upload, and what became of the rows.

import { useRef, useState } from "../vendor/hooks.js";
import { api } from "../api.js";
import { html } from "../html.js";
import { ProblemNote } from "../parts/common.js";
import { fieldNames, readHeaders, unknownPlaceholders } from "../placeholders.js";
import { text } from "../text.js";
import { ImportResult } from "./import-result.js";

export function NewCampaignScreen() {
  const [sent, setSent] = useState(null);
  const [problem, setProblem] = useState(null);
  const [result, setResult] = useState(null);

  async function submit(event) {
    event.preventDefault();
    const form = requestForm(event.currentTarget);
    setProblem(null);
    setSent(0);
    try {
      setResult(await api.startFromCsv(form, setSent));
    } catch (failure) {
      setProblem(failure);
    }
    setSent(null);
  }

  if (result) return html`<${ImportResult} campaign=${result.campaign} first=${result.import} />`;
  return html`<h1>New campaign</h1>
    <form class="card form" onSubmit=${submit}>
      <${Fields} />
      <${ProblemNote} problem=${problem} />
      ${sent !== null &&
      html`<label>Uploading<progress max="1" value=${sent}></progress></label>`}
      <button type="submit" class="main" disabled=${sent !== null}>
        ${sent === null ? "Create campaign" : "Create requested…"}
      </button>
    </form>`;
}

/** The form as the API reads it. The file comes last, so that the rest is known before its rows. */
function requestForm(form) {
  const given = new FormData(form);
  const request = new FormData();
  for (const name of ["name", "prompt", "firstMessage"]) request.append(name, given.get(name));
  const mapping = pick(given, { phone: String, name: String }, "map-");
  const settings = pick(given, { maxConcurrentCalls: Number, callsPerSecond: Number, region: String });
  if (mapping) request.append("mapping", JSON.stringify(mapping));
  if (settings) request.append("settings", JSON.stringify(settings));
  request.append("start", given.has("start") ? "true" : "false");
  request.append("file", given.get("file"));
  return request;
}

/** What was filled in, each by its kind; null when nothing was. */
function pick(given, kinds, prefix = "") {
  const filled = Object.entries(kinds).filter(([name]) => given.get(prefix + name)?.trim());
  if (filled.length === 0) return null;
  return Object.fromEntries(filled.map(([name, kind]) => [name, kind(given.get(prefix + name).trim())]));
}

function Fields() {
  const [headers, setHeaders] = useState(null);
  const [fileProblem, setFileProblem] = useState(null);
  const [texts, setTexts] = useState({ firstMessage: "", prompt: "" });
  const last = useRef(null);

  const change = (event) => {
    const { name, value } = event.currentTarget;
    setTexts((before) => ({ ...before, [name]: value }));
  };
  const keep = (event) => (last.current = event.currentTarget);

  async function chooseFile(event) {
    const [file] = event.currentTarget.files;
    setHeaders(null);
    setFileProblem(null);
    if (!file) return;
    try {
      setHeaders(await readHeaders(file));
    } catch {
      setFileProblem(new Error(text.unreadableFile));
    }
  }

  function insert(name) {
    const area = last.current;
    if (!area) return;
    area.setRangeText(`{{${name}}}`, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input", { bubbles: true }));
    area.focus();
  }

  return html`<label>Name<input name="name" required maxlength="200" autocomplete="off" /></label>
    <label>
      List (CSV, UTF-8)
      <input name="file" type="file" accept=".csv,.tsv,.txt,text/csv" required onChange=${chooseFile} />
    </label>
    <${ProblemNote} problem=${fileProblem} />
    <${Hints} headers=${headers} onPick=${insert} />
    <label>
      First message
      <textarea name="firstMessage" rows="2" required value=${texts.firstMessage}
        onInput=${change} onFocus=${keep}></textarea>
    </label>
    <${Unknown} headers=${headers} value=${texts.firstMessage} />
    <label>
      Prompt
      <textarea name="prompt" rows="6" required value=${texts.prompt}
        onInput=${change} onFocus=${keep}></textarea>
    </label>
    <${Unknown} headers=${headers} value=${texts.prompt} />
    <${Settings} headers=${headers} />
    <label class="inline"><input name="start" type="checkbox" checked /> Start now</label>`;
}

function Settings({ headers }) {
  return html`<div class="grid">
      <label>
        Max concurrent calls
        <input name="maxConcurrentCalls" type="number" min="1" step="1" placeholder="default" />
      </label>
      <label>
        Calls per second
        <input name="callsPerSecond" type="number" min="0.1" step="any" placeholder="default" />
      </label>
      <label>
        Country of numbers without +
        <input name="region" pattern="[A-Za-z]{2}" maxlength="2" placeholder="such as US or GB" />
      </label>
    </div>
    ${headers &&
    html`<details>
      <summary>Which columns hold number and name</summary>
      <div class="grid">
        <${ColumnChoice} label="Phone column" name="map-phone" headers=${headers} />
        <${ColumnChoice} label="Name column" name="map-name" headers=${headers} />
      </div>
    </details>`}`;
}

function ColumnChoice({ label, name, headers }) {
  return html`<label>
    ${label}
    <select name=${name}>
      <option value="">found by its header</option>
      ${headers.filter(Boolean).map((header) => html`<option value=${header}>${header}</option>`)}
    </select>
  </label>`;
}

/** The columns of the chosen file; a press puts one into the text written last. */
function Hints({ headers, onPick }) {
  if (!headers) return html`<p class="quiet">${text.chooseFileHint}</p>`;
  return html`<div class="hints">
    <span class="quiet">${text.placeholderHint}</span>
    ${fieldNames(headers).map(
      (name) => html`<button
        key=${name}
        type="button"
        class="chip"
        aria-label="Insert ${name}"
        onClick=${() => onPick(name)}
      >
        ${`{{${name}}}`}
      </button>`,
    )}
  </div>`;
}

function Unknown({ headers, value }) {
  const unknown = headers ? unknownPlaceholders(value, headers) : [];
  if (unknown.length === 0) return null;
  return html`<p class="note" role="status">
    ${text.unknownPlaceholder} ${unknown.map((name) => `{{${name}}}`).join(", ")}
  </p>`;
}
