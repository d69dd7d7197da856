// One call: what is being said, and what happened to it.

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { api, Problem } from "../api.js";
import { html } from "../html.js";
import { Hint, Listen, Mute, Transfer } from "../parts/attend.js";
import { Empty, Loading, OutcomeBadge, ProblemNote } from "../parts/common.js";
import { useOpened, useRequests } from "../parts/hooks.js";
import { openCall } from "../state/call.js";
import { actionWord, callStateWord, costUnitWord, speakerWord, text } from "../text.js";
import { duration, moment } from "../time.js";

export function CallPanel({ id, campaignId }) {
  const opened = useOpened(openCall, id);
  const call = opened?.call.value;
  return html`<section class="card call" aria-label="Call">
    <div class="heading">
      <h2>${call ? (call.name ?? call.phone) : "Call"}</h2>
      <a class="button" href="#/campaigns/${campaignId}" aria-label="Close the call">Close</a>
    </div>
    <${ProblemNote} problem=${opened?.problem.value} />
    ${call && html`<${Facts} call=${call} onChange=${opened.take} />`}
    ${!call && !opened?.problem.value && html`<${Loading} />`}
    ${call?.hasRecording && html`<${Recording} key=${id} id=${id} />`}
    ${call && html`<${Transcript} lines=${opened.lines.value} />`}
    ${call?.timeline && html`<${Timeline} entries=${call.timeline} />`}
  </section>`;
}

function Facts({ call, onChange }) {
  const facts = [
    ["Number", call.phone],
    ["From", call.from],
    ["Attempt", call.attempt],
    ["Talked", call.durationSeconds == null ? null : duration(call.durationSeconds)],
    ["Ended by", call.endedBy],
    ["Answer to first audio", call.answerToFirstAudioMs == null ? null : `${call.answerToFirstAudioMs} ms`],
    ["Time to answer", answerTime(call.latency)],
    ["Carrier's price", carrierPrice(call)],
    ["Agent's cost", agentCost(call.report?.cost)],
    ["Recording deleted", call.recordingDeletedAt && moment(call.recordingDeletedAt)],
    ["Fault", call.fault && `${call.fault.detail} (${call.fault.code})`],
    ["Disposition", withNote(call.disposition, call.dispositionNote)],
    ["Call again", withNote(call.followUpAt && moment(call.followUpAt), call.followUpNote)],
    ["Transfer", call.transfer && `${call.transfer.to}: ${call.transfer.result ?? "under way"}`],
    ["Agent", call.agentVendor],
    ["Agent failure", call.agentFailure],
    ["Agent's verdict", call.agentVerdict],
    ["Agent's summary", call.report?.summary],
  ];
  const allows = (action) => call.allowedActions.includes(action);
  const hearing = ["mute", "unmute"].find(allows);
  return html`<div class="heading">
      <span class="badge call-${call.state}">${callStateWord(call.state)}</span>
      ${call.outcome && html`<${OutcomeBadge} outcome=${call.outcome} />`}
      <div class="actions">
        ${allows("listen") && html`<${Listen} key=${call.id} id=${call.id} />`}
        ${hearing &&
        html`<${Mute} key=${call.id} id=${call.id} action=${hearing} onChange=${onChange} />`}
        <${HangUp} call=${call} onChange=${onChange} />
      </div>
    </div>
    ${allows("hint") && html`<${Hint} key=${call.id} id=${call.id} onChange=${onChange} />`}
    ${allows("transfer") && html`<${Transfer} key=${call.id} id=${call.id} onChange=${onChange} />`}
    <dl class="facts">
      ${facts
        .filter(([, value]) => value != null)
        .map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>`;
}

/** The middle and the longest of the agent's turns that answered the callee. */
const answerTime = (latency) =>
  latency && `${latency.medianMs} ms, at most ${latency.worstMs} ms (turns: ${latency.turns})`;

function carrierPrice({ carrierPrice: price, carrierPriceState: state }) {
  if (price) return amount(price.millionths, price.currency);
  return state && text.priceStates[state];
}

const agentCost = (cost) => cost && amount(cost.millionths, costUnitWord(cost.unit));

/** Two decimal places, and more where there are more. */
const amount = (millionths, unit) => {
  const options = { minimumFractionDigits: 2, maximumFractionDigits: 6 };
  return `${(millionths / 1e6).toLocaleString("en", options)} ${unit}`;
};

const withNote = (value, note) => (value && note ? `${value} (${note})` : value);

function HangUp({ call, onChange }) {
  const [requested, request, problem] = useRequests(
    { id: call.id, state: call.state },
    async () => onChange(await api.hangUp(call.id)),
  );
  if (!call.allowedActions.includes("hangUp")) return null;
  const word = actionWord("hangUp");
  return html`<button
      type="button"
      class="action-stop"
      disabled=${requested !== null}
      onClick=${() => request("hangUp")}
    >
      ${requested ? `${word} requested…` : word}
    </button>
    <${ProblemNote} problem=${problem} />`;
}

/** The file is fetched when somebody wants to hear it: an address cannot carry the token. */
function Recording({ id }) {
  const [url, setUrl] = useState(null);
  const [isAsked, setAsked] = useState(false);
  const [problem, setProblem] = useState(null);
  useEffect(() => () => url && URL.revokeObjectURL(url), [url]);
  async function load() {
    setProblem(null);
    setAsked(true);
    try {
      setUrl(URL.createObjectURL(await api.recording(id)));
    } catch (failure) {
      if (!(failure instanceof Problem)) throw failure;
      setProblem(failure);
    } finally {
      setAsked(false);
    }
  }
  return html`<h3>Recording</h3>
    ${url
      ? html`<audio controls src=${url} aria-label=${text.recordingLabel}></audio>`
      : html`<button type="button" disabled=${isAsked} onClick=${load}>
          ${isAsked ? text.recordingLoads : text.recordingLoad}
        </button>`}
    <${ProblemNote} problem=${problem} />`;
}

function Transcript({ lines }) {
  const box = useRef(null);
  // Reading along follows the last line, unless the reader has scrolled up.
  const atEnd = useRef(true);
  useEffect(() => {
    if (atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  const onScroll = ({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) =>
    (atEnd.current = scrollTop + clientHeight > scrollHeight - 40);
  return html`<h3>Transcript</h3>
    ${lines.length === 0 && html`<${Empty}>${text.noTranscript}<//>`}
    <ol
      class="transcript"
      ref=${box}
      onScroll=${onScroll}
      tabindex="0"
      role="log"
      aria-label="Transcript"
    >
      ${lines.map((line) => html`<${Line} key="${line.turn} ${line.speaker}" line=${line} />`)}
    </ol>`;
}

function Line({ line }) {
  return html`<li class="line line-${line.speaker} ${line.final ? "" : "line-partial"}">
    <b>${speakerWord(line.speaker)}</b>
    <span>${line.text}</span>
    ${line.interrupted && html`<em class="interrupted">interrupted</em>`}
    ${line.latencyMs != null &&
    html`<small title=${text.latencyTitle}>${line.latencyMs} ms</small>`}
  </li>`;
}

function Timeline({ entries }) {
  return html`<details>
    <summary>Timeline</summary>
    ${entries.length === 0 && html`<${Empty}>${text.noTimeline}<//>`}
    <ol class="timeline">
      ${entries.map(
        (entry) => html`<li key=${entry.seq}><time>${moment(entry.at)}</time> ${entry.text}</li>`,
      )}
    </ol>
  </details>`;
}
