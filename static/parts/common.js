// The small pieces that every screen uses.

import { html } from "../html.js";
import { outcomeWord, statusWord } from "../text.js";

/** An error, with what the API says of each field. */
export function ProblemNote({ problem }) {
  if (!problem) return null;
  return html`<div class="note note-bad" role="alert">
    <p>${problem.message}</p>
    ${problem.errors?.length > 0 &&
    html`<ul>
      ${problem.errors.map((error) => html`<li><code>${error.pointer}</code> ${error.detail}</li>`)}
    </ul>`}
  </div>`;
}

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

export const Loading = () => html`<p class="empty" aria-busy="true">Loading…</p>`;

export const StatusBadge = ({ status }) =>
  html`<span class="badge badge-${status}">${statusWord(status)}</span>`;

export function OutcomeBadge({ outcome }) {
  if (!outcome) return html`<span class="quiet">–</span>`;
  return html`<span class="badge outcome-${outcome}">${outcomeWord(outcome)}</span>`;
}

/** Previous and next, by the cursors that the API gives. */
export function Pager({ trail, next, onGo }) {
  if (trail.length === 0 && !next) return null;
  return html`<nav class="pager" aria-label="Pages">
    <button type="button" disabled=${trail.length === 0} onClick=${() => onGo(trail.slice(0, -1))}>
      Previous
    </button>
    <span>Page ${trail.length + 1}</span>
    <button type="button" disabled=${!next} onClick=${() => onGo([...trail, next])}>Next</button>
  </nav>`;
}
