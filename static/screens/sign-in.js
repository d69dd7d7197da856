// Signing in.

import { useState } from "../vendor/hooks.js";
import { api } from "../api.js";
import { html } from "../html.js";
import { ProblemNote } from "../parts/common.js";
import { begin, farewell } from "../session.js";

export function SignInScreen() {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);

  async function submit(event) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setProblem(null);
    try {
      begin(await api.login(form.get("email"), form.get("password")));
    } catch (failure) {
      setProblem(failure);
      setBusy(false);
    }
  }

  return html`<main class="sign-in">
    <form class="card" onSubmit=${submit}>
      <h1>Dialtone</h1>
      ${farewell.value && html`<p class="note">${farewell.value}</p>`}
      <label>E-mail<input name="email" type="email" autocomplete="username" required autofocus /></label>
      <label>
        Password<input name="password" type="password" autocomplete="current-password" required />
      </label>
      <${ProblemNote} problem=${problem} />
      <button type="submit" class="main" disabled=${busy}>
        ${busy ? "Signing in…" : "Sign in"}
      </button>
    </form>
  </main>`;
}
