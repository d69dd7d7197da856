// The buttons of a campaign: those that the server allows, each "requested" until it is so.

import { useRef } from "../vendor/hooks.js";
import { api } from "../api.js";
import { html } from "../html.js";
import { actionWord, text } from "../text.js";
import { ProblemNote } from "./common.js";
import { useRequests } from "./hooks.js";

const SHOWN = ["start", "resume", "pause", "stop"];

/** `onChange` is given the campaign as the server answered. */
export function CampaignActions({ campaign, onChange }) {
  const dialog = useRef(null);
  const [requested, request, problem] = useRequests(
    { id: campaign.id, state: campaign.status },
    async (action) => onChange(await api.act(campaign.id, action)),
  );
  const press = (action) =>
    action === "stop" ? dialog.current.showModal() : request(action);
  const allowed = SHOWN.filter((action) => campaign.allowedActions.includes(action));
  return html`<div class="actions">
    ${allowed.map(
      (action) => html`<button
        key=${action}
        type="button"
        class="action-${action}"
        aria-label="${actionWord(action)} ${campaign.name}"
        disabled=${requested !== null}
        onClick=${() => press(action)}
      >
        ${requested === action ? `${actionWord(action)} requested…` : actionWord(action)}
      </button>`,
    )}
    <${ProblemNote} problem=${problem} />
    <${StopDialog} dialog=${dialog} name=${campaign.name} onConfirm=${() => request("stop")} />
  </div>`;
}

function StopDialog({ dialog, name, onConfirm }) {
  const confirm = () => {
    dialog.current.close();
    onConfirm();
  };
  return html`<dialog ref=${dialog} aria-label=${text.stopTitle}>
    <h2>${text.stopTitle}</h2>
    <p><b>${name}</b></p>
    <p>${text.stopBody}</p>
    <div class="actions">
      <button type="button" onClick=${() => dialog.current.close()}>Keep it running</button>
      <button type="button" class="action-stop" onClick=${confirm}>Stop the campaign</button>
    </div>
  </dialog>`;
}
