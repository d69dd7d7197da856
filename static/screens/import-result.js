// What became of an uploaded list.

import { useEffect, useState } from "../vendor/hooks.js";
import { api } from "../api.js";
import { html } from "../html.js";
import { Loading, ProblemNote } from "../parts/common.js";
import { count, text } from "../text.js";

const POLL_MS = 500;
const N_REJECTED_SHOWN = 10;

/** `first` is the import as the upload's answer had it; it may still be running. */
export function ImportResult({ campaign, first }) {
  const [shown, setShown] = useState(first);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    if (shown.status !== "running") return;
    const timer = setTimeout(() => api.import(shown.id).then(setShown, setProblem), POLL_MS);
    return () => clearTimeout(timer);
  }, [shown]);

  const n_left = shown.rejected + shown.duplicates;
  return html`<h1>${campaign.name}</h1>
    <section class="card" aria-label="Import">
      <h2>${shown.fileName}</h2>
      ${shown.status === "running" && html`<p aria-busy="true">${text.importRunning}</p>`}
      ${shown.reason && html`<p class="note note-bad" role="alert">${shown.reason}</p>`}
      <${ProblemNote} problem=${problem} />
      <dl class="figures">
        <div><dt>Rows</dt><dd>${shown.rows.toLocaleString("en")}</dd></div>
        <div><dt>Accepted</dt><dd>${shown.accepted.toLocaleString("en")}</dd></div>
        <div><dt>Duplicates</dt><dd>${shown.duplicates.toLocaleString("en")}</dd></div>
        <div><dt>Rejected</dt><dd>${shown.rejected.toLocaleString("en")}</dd></div>
      </dl>
      <p><a class="button main" href="#/campaigns/${campaign.id}">Go to the campaign</a></p>
    </section>
    ${shown.status !== "running" && n_left > 0 && html`<${Rejected} id=${shown.id} />`}`;
}

function Rejected({ id }) {
  const [page, setPage] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    api.rejected(id, { limit: N_REJECTED_SHOWN }).then(setPage, setProblem);
  }, [id]);
  return html`<section class="card" aria-label="Rows left out">
    <div class="heading">
      <h2>Rows left out</h2>
      <button type="button" onClick=${() => download(id).catch(setProblem)}>
        Download rejected.csv
      </button>
    </div>
    <${ProblemNote} problem=${problem} />
    ${!page && !problem && html`<${Loading} />`}
    ${page && html`<${Rows} items=${page.items} total=${page.total} />`}
  </section>`;
}

function Rows({ items, total }) {
  return html`<div class="scroll"><table>
      <thead><tr><th class="figure">Line</th><th>Why</th><th>Column</th><th>Cells</th></tr></thead>
      <tbody>
        ${items.map(
          (row) => html`<tr key=${row.line}>
            <td class="figure">${row.line}</td>
            <td>${row.reason}</td>
            <td>${row.column ?? "–"}</td>
            <td>${row.cells.join(" | ")}</td>
          </tr>`,
        )}
      </tbody>
    </table></div>
    ${total > items.length &&
    html`<p class="quiet">The first ${items.length} of ${count(total, "row", "rows")}.</p>`}`;
}

/** A link cannot carry the token, so the file is fetched and handed to the browser. */
async function download(id) {
  const url = URL.createObjectURL(await api.rejectedCsv(id));
  const link = Object.assign(document.createElement("a"), { href: url, download: "rejected.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
