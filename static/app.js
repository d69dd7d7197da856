// The dashboard's root: who is signed in, which screen the address names, and the frame around it.

import { useEffect } from "./vendor/hooks.js";
import { render } from "./vendor/preact.js";
import { signal } from "./vendor/signals.js";
import { api } from "./api.js";
import { html } from "./html.js";
import { connect, disconnect, link } from "./live.js";
import { Empty } from "./parts/common.js";
import { CampaignScreen } from "./screens/campaign.js";
import { CampaignsScreen } from "./screens/campaigns.js";
import { NewCampaignScreen } from "./screens/new-campaign.js";
import { SignInScreen } from "./screens/sign-in.js";
import { end, session } from "./session.js";
import { linkWord, text } from "./text.js";

/** The part of the address after `#`: `/`, `/new`, `/campaigns/{id}`, `/campaigns/{id}/{callId}`. */
const address = signal(location.hash.slice(1) || "/");
addEventListener("hashchange", () => (address.value = location.hash.slice(1) || "/"));

function Screen() {
  const [first, id, callId] = address.value.split("/").filter(Boolean).map(decodeURIComponent);
  if (!first) return html`<${CampaignsScreen} />`;
  if (first === "new") return html`<${NewCampaignScreen} />`;
  if (first === "campaigns" && id) {
    return html`<${CampaignScreen} key=${id} id=${id} callId=${callId} />`;
  }
  return html`<${Empty}>${text.notFound}<//>`;
}

function Link() {
  return html`<span class="link link-${link.value}" role="status">${linkWord(link.value)}</span>`;
}

function Frame({ user }) {
  const signOut = () => {
    api.logout().catch(() => null); // the token ends by itself; this tab forgets it either way
    end();
  };
  const at = (path) => (address.value === path ? "page" : undefined);
  return html`<header class="top">
      <a class="brand" href="#/">Dialtone</a>
      <nav aria-label="Screens">
        <a href="#/" aria-current=${at("/")}>Campaigns</a>
        <a href="#/new" aria-current=${at("/new")}>New campaign</a>
      </nav>
      <${Link} />
      <span class="user">${user.email}</span>
      <button type="button" onClick=${signOut}>Sign out</button>
    </header>
    <main><${Screen} /></main>`;
}

function App() {
  const opened = session.value;
  useEffect(() => {
    if (opened) connect(opened.token);
    return disconnect;
  }, [opened?.token]);
  return opened ? html`<${Frame} user=${opened.user} />` : html`<${SignInScreen} />`;
}

render(html`<${App} />`, document.getElementById("app"));
