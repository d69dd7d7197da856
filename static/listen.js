// Listening to a live call: frames of mu-law from a WebSocket, played by Web Audio.
//
// A binary message is a byte for the side (0 the callee, 1 the agent) and then audio; texts are JSON.

import { session } from "./session.js";
import { text } from "./text.js";

const RATE = 8000;
/** How far ahead sound is played, so that frames that come unevenly make no gaps, in seconds. */
const AHEAD = 0.12;
/** Sound that is later than this is not played any more: it would only come later and later. */
const MOST_AHEAD = 0.6;
/** Where the sides are heard. */
const PAN = [-0.6, 0.6];

/**
 * Plays a call until it is over or `close` is called; `onEnd(words)` is told why it ended by itself.
 * To be called when a button was pressed: browsers let no page make a sound before.
 */
export function listenTo(callId, onEnd) {
  const sound = new AudioContext();
  const sides = PAN.map((pan) => {
    const out = new StereoPannerNode(sound, { pan });
    out.connect(sound.destination);
    return { out, playing: new Set(), until: 0 };
  });
  const socket = open(callId);
  let closed = false;
  let words = text.cannotListen;

  function close() {
    if (closed) return;
    closed = true;
    socket.close();
    sound.close();
  }

  socket.onmessage = ({ data }) => {
    if (closed) return;
    if (typeof data !== "string") return play(sound, sides, new Uint8Array(data));
    const { type } = JSON.parse(data);
    if (type === "started") words = text.lostListening;
    if (type === "cleared") silence(sides[1]);
    if (type === "ended") words = "";
  };
  socket.onclose = () => {
    if (closed) return;
    close();
    onEnd(words);
  };
  return { close };
}

function open(callId) {
  const address = new URL(`/api/v1/calls/${encodeURIComponent(callId)}/listen`, location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  // No header can be sent from here, and addresses are written to logs.
  const socket = new WebSocket(address, ["dialtone.listen", `bearer.${session.value.token}`]);
  socket.binaryType = "arraybuffer";
  return socket;
}

function play(sound, sides, message) {
  const side = sides[message[0]];
  const n = message.length - 1;
  if (!side || n < 1) return;
  const now = sound.currentTime;
  if (side.until < now) side.until = now + AHEAD;
  if (side.until > now + MOST_AHEAD) return;
  const buffer = sound.createBuffer(1, n, RATE);
  const samples = buffer.getChannelData(0);
  for (let i = 0; i < n; i += 1) samples[i] = DECODED[message[i + 1]];
  const source = new AudioBufferSourceNode(sound, { buffer });
  source.connect(side.out);
  source.start(side.until);
  side.until += n / RATE;
  side.playing.add(source);
  source.onended = () => side.playing.delete(source);
}

/** What was to be played of a side is not. */
function silence(side) {
  for (const source of side.playing) source.stop();
  side.playing.clear();
  side.until = 0;
}

/** The linear value of a mu-law byte (G.711), from -1 to 1. */
export function decode(byte) {
  const bits = ~byte & 0xff;
  const magnitude = ((((bits & 0x0f) << 3) + 0x84) << ((bits >> 4) & 7)) - 0x84;
  return (bits & 0x80 ? -magnitude : magnitude) / 32768;
}

const DECODED = Float32Array.from({ length: 256 }, (_, byte) => decode(byte));
