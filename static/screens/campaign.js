// One campaign as it runs: its figures, its calls, and one call read along.

import { html } from "../html.js";
import { CampaignActions } from "../parts/actions.js";
import { Loading, ProblemNote, StatusBadge } from "../parts/common.js";
import { useOpened } from "../parts/hooks.js";
import { Figures, Outcomes, ProgressBar } from "../parts/progress.js";
import { openCampaign } from "../state/campaign.js";
import { moment } from "../time.js";
import { CallPanel } from "./call.js";
import { LiveCalls, RecentCalls } from "./calls.js";
import { Contacts } from "./contacts.js";

export function CampaignScreen({ id, callId }) {
  const opened = useOpened(openCampaign, id);
  const campaign = opened?.campaign.value;
  if (!campaign) {
    const problem = opened?.problem.value;
    return problem ? html`<${ProblemNote} problem=${problem} />` : html`<${Loading} />`;
  }
  const progress = opened.progress.value;
  return html`<${Heading} campaign=${campaign} onChange=${opened.take} />
    <${ProblemNote} problem=${opened.problem.value} />
    <section class="card" aria-label="Progress">
      <${ProgressBar} progress=${progress} />
      <${Figures} progress=${progress} />
      <${Outcomes} progress=${progress} />
      <p class="quiet">
        As of ${moment(progress.at)}${progress.nextDueAt && `; next call due ${moment(progress.nextDueAt)}`}
      </p>
    </section>
    <div class="columns">
      <div>
        <${LiveCalls} calls=${opened.live.value} open=${progress.open} chosen=${callId} />
        <${RecentCalls} calls=${opened.ended.value} chosen=${callId} />
      </div>
      ${callId && html`<${CallPanel} key=${callId} id=${callId} campaignId=${id} />`}
    </div>
    <${Contacts} campaignId=${id} seq=${progress.seq} />
    <${Texts} campaign=${campaign} />`;
}

function Heading({ campaign, onChange }) {
  const { startedAt, endedAt } = campaign;
  return html`<div class="heading">
      <h1>${campaign.name}</h1>
      <${StatusBadge} status=${campaign.status} />
      <span class="quiet">
        ${startedAt && `Started ${moment(startedAt)}`}${endedAt && `, ended ${moment(endedAt)}`}
      </span>
      <${CampaignActions} campaign=${campaign} onChange=${onChange} />
    </div>
    ${campaign.reason && html`<p class="note">${campaign.reason}</p>`}
    ${campaign.warnings?.map((warning) => html`<p class="note">${warning}</p>`)}`;
}

function Texts({ campaign }) {
  return html`<details class="card">
    <summary>What the agent is told</summary>
    <h3>First message</h3>
    <p class="prose">${campaign.firstMessage}</p>
    <h3>Prompt</h3>
    <p class="prose">${campaign.prompt}</p>
  </details>`;
}
