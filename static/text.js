// Every sentence of the dashboard that is more than a label beside its field, and the words for
// what the API names by a code. A code without a word here is shown as it is.

export const text = {
  unreachable: "The server cannot be reached.",
  unreadable: "The server's answer could not be read.",
  signedOut: "You have been signed out. Please sign in again.",
  noCampaigns: "No campaigns yet. Upload a list to start the first one.",
  noLiveCalls: "No call is up at the moment.",
  noRecentCalls: "No call has ended yet.",
  noContacts: "No contacts here.",
  due: "due",
  noTranscript: "Nothing has been said yet.",
  recordingLoad: "Listen to the recording",
  recordingLoads: "The recording is being fetched…",
  recordingLabel: "Recording of the call",
  priceStates: { awaited: "not told yet", givenUp: "never told" },
  latencyTitle: "From the callee's last voice to the first audio of this answer",
  noTimeline: "Nothing has happened yet.",
  notFound: "There is no such page.",
  stopTitle: "Stop this campaign?",
  stopBody: "No further calls will be placed, and the campaign cannot be started again.",
  placeholderHint: "Columns of the file can be used in both texts:",
  chooseFileHint: "Choose a file to see which columns the texts can use.",
  unknownPlaceholder: "Not a column of this file:",
  unreadableFile: "The first line of this file could not be read.",
  stopListening: "Stop listening",
  cannotListen: "This call cannot be listened to: it is over, or its audio is somewhere else.",
  lostListening: "The call's sound was lost.",
  hintLabel: "Tell the agent (the callee does not hear it)",
  transferLabel: "Transfer the call to",
  transferHint: "the campaign's number",
  importRunning: "Rows are being read…",
};

const STATUSES = {
  draft: "Draft",
  scheduled: "Scheduled",
  active: "Active",
  paused: "Paused",
  completed: "Completed",
  cancelled: "Stopped",
};

const ACTIONS = {
  start: "Start",
  pause: "Pause",
  resume: "Resume",
  stop: "Stop",
  hangUp: "Hang up",
  listen: "Listen",
  hint: "Tell the agent",
  mute: "Mute the agent",
  unmute: "Unmute the agent",
  transfer: "Transfer",
};

const CALL_STATES = {
  reserved: "Reserved",
  unknown: "Asking the carrier",
  dialing: "Dialing",
  ringing: "Ringing",
  connected: "Connected",
  ended: "Ended",
  released: "Not placed",
};

const OUTCOMES = {
  answered: "Answered",
  abandoned: "Abandoned",
  agentUnavailable: "Agent unavailable",
  busy: "Busy",
  noAnswer: "No answer",
  voicemail: "Voicemail",
  failed: "Failed",
  canceled: "Canceled",
  none: "Not called",
};

const CONTACT_STATES = { waiting: "Waiting", open: "In a call", finished: "Finished" };

const SPEAKERS = { agent: "Agent", callee: "Callee" };

const COST_UNITS = { usd: "USD" };

const LINKS = { connecting: "Connecting…", live: "Live", lost: "Not live, reconnecting…" };

const word = (words) => (code) => words[code] ?? code;

export const statusWord = word(STATUSES);
export const actionWord = word(ACTIONS);
export const callStateWord = word(CALL_STATES);
export const outcomeWord = word(OUTCOMES);
export const contactStateWord = word(CONTACT_STATES);
export const speakerWord = word(SPEAKERS);
export const costUnitWord = word(COST_UNITS);
export const linkWord = word(LINKS);

/** "1 row", "2,000 rows". */
export const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
