// The calls of a campaign: those that are up, and those that ended last.

import { html } from "../html.js";
import { Empty, OutcomeBadge } from "../parts/common.js";
import { callStateWord, count, text } from "../text.js";
import { duration, moment, secondsSince } from "../time.js";

/** `open` is how many calls are up by the campaign's own count. */
export function LiveCalls({ calls, open, chosen }) {
  return html`<section class="card" aria-label="Live calls">
    <h2>Live calls <span class="quiet">${count(open, "open", "open")}</span></h2>
    ${calls.length === 0
      ? html`<${Empty}>${text.noLiveCalls}<//>`
      : html`<div class="scroll"><table>
          <thead><tr><th>Contact</th><th>State</th><th class="figure">For</th></tr></thead>
          <tbody>
            ${calls.map((call) => html`<${LiveRow} key=${call.id} call=${call} chosen=${chosen} />`)}
          </tbody>
        </table></div>`}
  </section>`;
}

function LiveRow({ call, chosen }) {
  const since = call.answeredAt ?? call.ringingAt ?? call.dialAt;
  return html`<tr aria-selected=${call.id === chosen}>
    <td><${Who} call=${call} /></td>
    <td><span class="badge call-${call.state}">${callStateWord(call.state)}</span></td>
    <td class="figure">${since ? duration(secondsSince(since)) : "–"}</td>
  </tr>`;
}

export function RecentCalls({ calls, chosen }) {
  return html`<section class="card" aria-label="Recent calls">
    <h2>Recent calls</h2>
    ${calls.length === 0
      ? html`<${Empty}>${text.noRecentCalls}<//>`
      : html`<div class="scroll"><table>
          <thead>
            <tr><th>Contact</th><th>Outcome</th><th class="figure">Talked</th><th>Ended</th></tr>
          </thead>
          <tbody>
            ${calls.map((call) => html`<${EndedRow} key=${call.id} call=${call} chosen=${chosen} />`)}
          </tbody>
        </table></div>`}
  </section>`;
}

function EndedRow({ call, chosen }) {
  const outcome =
    call.state === "released"
      ? html`<span class="badge">${callStateWord(call.state)}</span>`
      : html`<${OutcomeBadge} outcome=${call.outcome} />`;
  return html`<tr aria-selected=${call.id === chosen}>
    <td><${Who} call=${call} /></td>
    <td>${outcome}${call.fault && html`<span class="fault">${call.fault.detail}</span>`}</td>
    <td class="figure">${call.durationSeconds == null ? "–" : duration(call.durationSeconds)}</td>
    <td>${moment(call.endedAt)}</td>
  </tr>`;
}

/** Name and number, and the way to the call. */
function Who({ call }) {
  const attempt = call.attempt > 1 ? `, attempt ${call.attempt}` : "";
  return html`<a class="who" href="#/campaigns/${call.campaignId}/${call.id}">
    ${call.name ?? call.phone}
    <span class="quiet">${call.name ? call.phone : ""}${attempt}</span>
  </a>`;
}
