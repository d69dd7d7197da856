// All campaigns, each with its progress as it happens.

import { useState } from "../vendor/hooks.js";
import { html } from "../html.js";
import { CampaignActions } from "../parts/actions.js";
import { Empty, Loading, Pager, ProblemNote, StatusBadge } from "../parts/common.js";
import { useOpened } from "../parts/hooks.js";
import { ProgressBar } from "../parts/progress.js";
import { openCampaigns } from "../state/campaigns.js";
import { count, text } from "../text.js";
import { moment } from "../time.js";

export function CampaignsScreen() {
  const list = useOpened(openCampaigns, "");
  const [trail, setTrail] = useState([]);
  if (!list) return html`<${Loading} />`;
  const page = list.page.value;
  const go = (next) => {
    setTrail(next);
    list.show(next.at(-1));
  };
  return html`<div class="heading">
      <h1>Campaigns</h1>
      ${page && html`<span class="quiet">${count(page.total, "campaign", "campaigns")}</span>`}
      <a class="button main" href="#/new">New campaign</a>
    </div>
    <${ProblemNote} problem=${list.problem.value} />
    ${page ? html`<${Rows} list=${list} items=${page.items} />` : !list.problem.value && html`<${Loading} />`}
    ${page && html`<${Pager} trail=${trail} next=${page.next} onGo=${go} />`}`;
}

function Rows({ list, items }) {
  if (items.length === 0) return html`<${Empty}>${text.noCampaigns}<//>`;
  return html`<ul class="rows">
    ${items.map((campaign) => html`<${Row} key=${campaign.id} campaign=${campaign} list=${list} />`)}
  </ul>`;
}

function Row({ campaign, list }) {
  return html`<li class="card row">
    <div class="row-name">
      <a href="#/campaigns/${campaign.id}">${campaign.name}</a>
      <${StatusBadge} status=${campaign.status} />
      <span class="quiet">${moment(campaign.createdAt)}</span>
      ${campaign.reason && html`<p class="reason">${campaign.reason}</p>`}
    </div>
    <div class="row-progress">
      <${ProgressBar} progress=${campaign.progress} />
      <span class="quiet">
        ${count(campaign.progress.calls, "call", "calls")} placed,
        ${" "}${campaign.progress.open} open
      </span>
    </div>
    <${CampaignActions} campaign=${campaign} onChange=${list.take} />
  </li>`;
}
