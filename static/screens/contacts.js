// The contacts of a campaign, page by page.

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { api } from "../api.js";
import { html } from "../html.js";
import { Empty, Loading, OutcomeBadge, Pager, ProblemNote } from "../parts/common.js";
import { contactStateWord, count, text } from "../text.js";
import { moment, secondsSince } from "../time.js";

const STATES = ["waiting", "open", "finished"];

/** While the campaign moves, the page shown is fetched again this often at most. */
const REFRESH_MS = 2000;

/** `seq` changes when the campaign has moved. */
export function Contacts({ campaignId, seq }) {
  const [state, setState] = useState("");
  const [trail, setTrail] = useState([]);
  const cursor = trail.at(-1);
  const [page, problem] = usePage(campaignId, state, cursor, seq);
  const choose = (event) => {
    setState(event.currentTarget.value);
    setTrail([]);
  };
  return html`<section class="card" aria-label="Contacts">
    <div class="heading">
      <h2>Contacts</h2>
      ${page && html`<span class="quiet">${count(page.total, "contact", "contacts")}</span>`}
      <label class="inline">
        Show
        <select value=${state} onChange=${choose}>
          <option value="">all</option>
          ${STATES.map((name) => html`<option value=${name}>${contactStateWord(name)}</option>`)}
        </select>
      </label>
    </div>
    <${ProblemNote} problem=${problem} />
    ${!page && !problem && html`<${Loading} />`}
    ${page && html`<${Table} items=${page.items} />`}
    ${page && html`<${Pager} trail=${trail} next=${page.next} onGo=${setTrail} />`}
  </section>`;
}

/** The page, at once when another one is chosen and now and then while the campaign moves. */
function usePage(campaignId, state, cursor, seq) {
  const [shown, setShown] = useState({ page: null, problem: null });
  const fetched = useRef({ key: "", at: 0 });
  const wanted = useRef("");
  const key = JSON.stringify([campaignId, state, cursor]);
  wanted.current = key;
  useEffect(() => {
    const wait = fetched.current.key === key ? fetched.current.at + REFRESH_MS - Date.now() : 0;
    const timer = setTimeout(() => {
      fetched.current = { key, at: Date.now() };
      api.contacts(campaignId, { state, cursor, limit: 25 }).then(
        (page) => wanted.current === key && setShown({ page, problem: null }),
        (problem) => wanted.current === key && setShown(({ page }) => ({ page, problem })),
      );
    }, Math.max(0, wait));
    return () => clearTimeout(timer);
  }, [key, seq]);
  return [shown.page, shown.problem];
}

function Table({ items }) {
  if (items.length === 0) return html`<${Empty}>${text.noContacts}<//>`;
  return html`<div class="scroll"><table>
    <thead>
      <tr>
        <th>Name</th><th>Phone</th><th>State</th><th>Outcome</th>
        <th class="figure">Attempts</th><th>Next call</th>
      </tr>
    </thead>
    <tbody>
      ${items.map(
        (contact) => html`<tr key=${contact.enrollmentId}>
          <td>${contact.name ?? html`<span class="quiet">no name</span>`}</td>
          <td>${contact.phone}</td>
          <td>${contactStateWord(contact.state)}</td>
          <td><${OutcomeBadge} outcome=${contact.outcome} /></td>
          <td class="figure">${contact.attempts}</td>
          <td>${contact.state === "waiting" ? nextCall(contact.dueAt) : "–"}</td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}

/** When a waiting contact may be called: a time to come, or as soon as there is room. */
function nextCall(dueAt) {
  return dueAt && secondsSince(dueAt) >= 0 ? text.due : moment(dueAt);
}
