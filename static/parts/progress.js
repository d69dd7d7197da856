// How far a campaign is: one bar, and the figures it is made of.

import { html } from "../html.js";
import { count, outcomeWord } from "../text.js";

const number = (n) => n.toLocaleString("en");

/** The bar: answered, finished otherwise, in a call; the rest is still to be called. */
export function ProgressBar({ progress }) {
  const { enrolled, finished, open, outcomes } = progress;
  const answered = outcomes.answered ?? 0;
  const width = (n) => ({ width: `${enrolled ? (100 * n) / enrolled : 0}%` });
  const words = `${number(finished)} of ${count(enrolled, "contact", "contacts")} finished`;
  return html`<div class="progress">
    <div
      class="bar"
      role="progressbar"
      aria-valuemin="0"
      aria-valuemax=${enrolled}
      aria-valuenow=${finished}
      aria-valuetext=${words}
      aria-label="Progress"
    >
      <span class="bar-answered" style=${width(answered)}></span>
      <span class="bar-finished" style=${width(finished - answered)}></span>
      <span class="bar-open" style=${width(open)}></span>
    </div>
    <span class="progress-words">${words}</span>
  </div>`;
}

/** Every count of the progress, by its name in the API. */
export function Figures({ progress }) {
  const figures = [
    ["Contacts", progress.enrolled],
    ["Not called yet", progress.untried],
    ["To be called again", progress.retrying],
    ["In a call", progress.open],
    ["Connected", progress.connected],
    ["Finished", progress.finished],
    ["Calls placed", progress.calls],
  ];
  return html`<dl class="figures">
    ${figures.map(
      ([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${number(value)}</dd></div>`,
    )}
  </dl>`;
}

/** Finished contacts by how their last call ended; results nobody had are left out. */
export function Outcomes({ progress }) {
  const present = Object.entries(progress.outcomes).filter(([, n]) => n > 0);
  if (present.length === 0) return null;
  return html`<ul class="outcomes" aria-label="Finished contacts by outcome">
    ${present.map(
      ([outcome, n]) =>
        html`<li key=${outcome}>
          <span class="dot outcome-${outcome}"></span>${outcomeWord(outcome)} <b>${number(n)}</b>
        </li>`,
    )}
  </ul>`;
}
