// What screens share that is not markup.

import { useEffect, useState } from "../vendor/hooks.js";
import { Problem } from "../api.js";

/** Opens something that has to be closed, anew for each `key`; null until it is open. */
export function useOpened(open, key) {
  const [opened, setOpened] = useState(null);
  useEffect(() => {
    const next = open(key);
    setOpened(next);
    return () => next.close();
  }, [key]);
  return opened;
}

/**
 * Actions that are asked for and not confirmed yet.
 *
 * `subject` is `{id, state}`; a request is over when the state has become another one, or when it
 * fails. Returns `[requested, request, problem]`.
 */
export function useRequests(subject, ask) {
  const [asked, setAsked] = useState(null);
  const [problem, setProblem] = useState(null);
  const isPending = asked && asked.id === subject.id && asked.state === subject.state;

  async function request(action) {
    setProblem(null);
    setAsked({ ...subject, action });
    try {
      await ask(action);
    } catch (failure) {
      setAsked(null);
      if (!(failure instanceof Problem)) throw failure;
      setProblem(failure);
    }
  }
  return [isPending ? asked.action : null, request, problem];
}
