// The dashboard's rules without its screens, loaded into a real browser from a server that runs.
//
// DIALTONE_URL; CHROMIUM is the browser (/usr/bin/chromium).

import { assert, check, finish, required } from "./checks.mjs";
import { launch } from "./launch.mjs";

const url = required("DIALTONE_URL");
const browser = await launch();
try {
  const page = await browser.newPage();
  await page.goto(url);
  await run(page);
} finally {
  await browser.close();
}
finish();

async function run(page) {
  await check("calls end the same in whatever order their events come", async () => {
    const endings = await page.evaluate(callsInAnyOrder);
    const expected = JSON.stringify([["b"], ["c", "a"]]);
    const others = endings.filter((ending) => ending !== expected);
    assert(others.length === 0, `${others.length} of ${endings.length}, such as ${others[0]}`);
  });
  await check("a snapshot drops what it does not have and keeps what is newer", async () => {
    const shown = await page.evaluate(callsAfterSnapshot);
    assert(shown === JSON.stringify([["b ringing", "d reserved"], ["c ended"]]), shown);
  });
  await check("a late event does not bring back a call that is no longer kept", async () => {
    const n_live = await page.evaluate(liveAfterLateEvent);
    assert(n_live === 0, `${n_live} calls came back`);
  });
  await check("headers become the names that the server uses", async () => {
    const names = await page.evaluate(namesOfHeaders);
    const expected = [
      ["first_name", "phone", "loan_amount_usd", "größe"],
      ["a_b", "phone"],
      ["last_first", "say_hi", "tel"],
    ];
    assert(JSON.stringify(names) === JSON.stringify(expected), JSON.stringify(names));
  });
  await check("mu-law becomes the sound that it stands for", async () => {
    const values = await page.evaluate(soundsOfBytes);
    assert(values.join() === "0,-32124,32124,0,-988,988", values.join());
  });
  await check("a placeholder that no column gives is named", async () => {
    const unknown = await page.evaluate(unknownNames);
    assert(unknown.join() === "surname", unknown.join());
  });
}

// What follows runs in the page.

async function callsInAnyOrder() {
  const { Calls } = await import("./state/calls.js");
  const events = [
    [1, { id: "a", state: "ringing", dialAt: "1" }],
    [2, { id: "b", state: "dialing", dialAt: "2" }],
    [3, { id: "a", state: "ended", endedAt: "3" }],
    [4, { id: "c", state: "connected", dialAt: "4" }],
    [5, { id: "b", state: "connected" }],
    [6, { id: "c", state: "released", endedAt: "6" }],
  ];
  const endings = [];
  for (let round = 0; round < events.length * 7; round += 1) {
    // Every event twice, in an order that differs by round.
    const order = [...events, ...events].sort(
      ([a], [b]) => ((a * (round + 3)) % 7) - ((b * (round + 5)) % 7),
    );
    const calls = new Calls();
    for (const [seq, call] of order) calls.apply(call, seq);
    const ids = (some) => some.map(({ id }) => id);
    endings.push(JSON.stringify([ids(calls.live()), ids(calls.ended())]));
  }
  return endings;
}

async function callsAfterSnapshot() {
  const { Calls } = await import("./state/calls.js");
  const calls = new Calls();
  calls.apply({ id: "a", state: "ringing", dialAt: "1" }, 4);
  calls.apply({ id: "b", state: "ringing", dialAt: "2" }, 9);
  calls.apply({ id: "c", state: "dialing", dialAt: "3" }, 5);
  calls.apply({ id: "d", state: "reserved", dialAt: "4" }, 8);
  const fetched = [
    { id: "b", state: "dialing", dialAt: "2" },
    { id: "c", state: "ended", dialAt: "3", endedAt: "6" },
  ];
  calls.reset(fetched, 7);
  const shown = (some) => some.map(({ id, state }) => `${id} ${state}`);
  return JSON.stringify([shown(calls.live()), shown(calls.ended())]);
}

async function liveAfterLateEvent() {
  const { Calls } = await import("./state/calls.js");
  const calls = new Calls();
  for (let n = 0; n < 80; n += 1) {
    calls.apply({ id: `call ${n}`, state: "ended", endedAt: String(1000 + n) }, 100 + n);
  }
  calls.ended();
  calls.apply({ id: "call 0", state: "connected", dialAt: "1" }, 50);
  return calls.live().length;
}

async function namesOfHeaders() {
  const { fieldNames, readHeaders } = await import("./placeholders.js");
  const files = [
    "\ufeffFirst Name;PHONE;Loan-amount (USD);Größe\r\n1;2;3;4",
    "A|B\tPhone\t--\n",
    '"Last, First","say ""hi""",tel\r1,2,3',
  ];
  const read = (text) => readHeaders(new File([text], "list.csv")).then(fieldNames);
  return Promise.all(files.map(read));
}

async function soundsOfBytes() {
  const { decode } = await import("./listen.js");
  return [0xff, 0x00, 0x80, 0x7f, 0x4e, 0xce].map((byte) => decode(byte) * 32768 + 0);
}

async function unknownNames() {
  const { unknownPlaceholders } = await import("./placeholders.js");
  return unknownPlaceholders("{{First Name}} {{ surname }} {{phone}} {{city_2}} {% {{", [
    "first name",
    "City",
    "city",
  ]);
}
