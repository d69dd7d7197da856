// What an operator does in a live call: listen, tell the agent something, mute it, and take over.

import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { api, Problem } from "../api.js";
import { html } from "../html.js";
import { listenTo } from "../listen.js";
import { actionWord, text } from "../text.js";
import { ProblemNote } from "./common.js";

/** A button; sound stops when it goes away. */
export function Listen({ id }) {
  const open = useRef(null);
  const [isOn, setOn] = useState(false);
  const [words, setWords] = useState("");
  const stop = () => {
    open.current?.close();
    open.current = null;
    setOn(false);
  };
  useEffect(() => () => open.current?.close(), []);
  const begin = () => {
    setWords("");
    setOn(true);
    open.current = listenTo(id, (reason) => {
      open.current = null;
      setOn(false);
      setWords(reason);
    });
  };
  return html`<button type="button" aria-pressed=${isOn} onClick=${isOn ? stop : begin}>
      ${isOn ? text.stopListening : actionWord("listen")}
    </button>
    ${words && html`<div class="note note-bad" role="alert"><p>${words}</p></div>`}`;
}

/** `[isSending, send, problem]`: asks once at a time, and gives the call that the server answers. */
function useAsking(onChange) {
  const [isSending, setSending] = useState(false);
  const [problem, setProblem] = useState(null);
  const send = async (asked) => {
    setProblem(null);
    setSending(true);
    try {
      onChange(await asked());
      return true;
    } catch (failure) {
      if (!(failure instanceof Problem)) throw failure;
      setProblem(failure);
      return false;
    } finally {
      setSending(false);
    }
  };
  return [isSending, send, problem];
}

/** Keeps the callee from hearing the agent, or lets them; `action` is what is allowed. */
export function Mute({ id, action, onChange }) {
  const [isSending, send, problem] = useAsking(onChange);
  return html`<button
      type="button"
      aria-pressed=${action === "unmute"}
      disabled=${isSending}
      onClick=${() => send(() => api[action](id))}
    >
      ${actionWord(action)}
    </button>
    <${ProblemNote} problem=${problem} />`;
}

/** Asks for the number; without one the campaign's is taken. */
export function Transfer({ id, onChange }) {
  const [number, setNumber] = useState("");
  const [isSending, send, problem] = useAsking(onChange);
  const transfer = (event) => {
    event.preventDefault();
    send(() => api.transfer(id, number.replace(/[\s().-]/g, "")));
  };
  return html`<form class="hint" onSubmit=${transfer}>
    <label>
      ${text.transferLabel}
      <input
        type="tel"
        value=${number}
        placeholder=${text.transferHint}
        onInput=${({ currentTarget }) => setNumber(currentTarget.value)}
      />
    </label>
    <button type="submit" disabled=${isSending}>${actionWord("transfer")}</button>
    <${ProblemNote} problem=${problem} />
  </form>`;
}

/** `onChange` is given the call as the server answered. */
export function Hint({ id, onChange }) {
  const [words, setWords] = useState("");
  const [isSending, send, problem] = useAsking(onChange);
  const tell = async (event) => {
    event.preventDefault();
    if (await send(() => api.hint(id, words))) setWords("");
  };
  return html`<form class="hint" onSubmit=${tell}>
    <label>
      ${text.hintLabel}
      <input
        value=${words}
        maxlength="1000"
        required
        onInput=${({ currentTarget }) => setWords(currentTarget.value)}
      />
    </label>
    <button type="submit" disabled=${isSending || words.trim() === ""}>${actionWord("hint")}</button>
    <${ProblemNote} problem=${problem} />
  </form>`;
}
