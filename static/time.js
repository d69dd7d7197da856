// Times for people: always with their zone, and durations that run by the server's clock.

import { signal } from "./vendor/signals.js";

/** The server's time in milliseconds, once a second. */
export const now = signal(Date.now());

/** Server time minus ours. Events arrive late, never early, so the largest difference is best. */
let ahead = -Infinity;

setInterval(() => (now.value = serverTime()), 1000);

export function noteServerTime(at) {
  const difference = Date.parse(at) - Date.now();
  if (difference > ahead) ahead = difference;
}

function serverTime() {
  return Date.now() + (Number.isFinite(ahead) ? ahead : 0);
}

const DAY_AND_TIME = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  timeZoneName: "short",
});

/** "5 Mar, 14:03:20 CET", or a dash. */
export function moment(at) {
  return at ? DAY_AND_TIME.format(new Date(at)) : "–";
}

/** "0:07", "12:30", "1:02:03". */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Seconds since a server time, by the server's clock. Reading it makes a component tick. */
export function secondsSince(at) {
  return (now.value - Date.parse(at)) / 1000;
}
