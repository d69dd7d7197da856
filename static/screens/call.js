// One call: what is being said, and what happened to it.

import { useEffect, useRef } from "../vendor/hooks.js";
import { api } from "../api.js";
import { html } from "../html.js";
import { Empty, Loading, OutcomeBadge, ProblemNote } from "../parts/common.js";
import { useOpened, useRequests } from "../parts/hooks.js";
import { openCall } from "../state/call.js";
import { actionWord, callStateWord, speakerWord, text } from "../text.js";
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
    ["Fault", call.fault && `${call.fault.detail} (${call.fault.code})`],
    ["Disposition", withNote(call.disposition, call.dispositionNote)],
    ["Call again", withNote(call.followUpAt && moment(call.followUpAt), call.followUpNote)],
    ["Transfer", call.transfer && `${call.transfer.to}: ${call.transfer.result ?? "under way"}`],
    ["Agent", call.agentVendor],
    ["Agent failure", call.agentFailure],
  ];
  return html`<div class="heading">
      <span class="badge call-${call.state}">${callStateWord(call.state)}</span>
      ${call.outcome && html`<${OutcomeBadge} outcome=${call.outcome} />`}
      <${HangUp} call=${call} onChange=${onChange} />
    </div>
    <dl class="facts">
      ${facts
        .filter(([, value]) => value != null)
        .map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>`;
}

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
