// What an operator does in a live call: listen, and tell the agent something.

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

/** `onChange` is given the call as the server answered. */
export function Hint({ id, onChange }) {
  const [words, setWords] = useState("");
  const [isSending, setSending] = useState(false);
  const [problem, setProblem] = useState(null);
  const send = async (event) => {
    event.preventDefault();
    setProblem(null);
    setSending(true);
    try {
      onChange(await api.hint(id, words));
      setWords("");
    } catch (failure) {
      if (!(failure instanceof Problem)) throw failure;
      setProblem(failure);
    } finally {
      setSending(false);
    }
  };
  return html`<form class="hint" onSubmit=${send}>
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
