// The dashboard in a real browser, against a server that runs: signs in, starts a campaign from a
// list, watches it, pauses, resumes and stops it. Any error of the page fails.
//
// DIALTONE_URL, DIALTONE_EMAIL, DIALTONE_PASSWORD, DIALTONE_CSV (a list with a column First Name);
// CHROMIUM is the browser (/usr/bin/chromium), SCREENSHOTS where pictures go (target/browser).

import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { assert, check, finish, required, until } from "./checks.mjs";
import { launch } from "./launch.mjs";

const url = required("DIALTONE_URL");
const email = required("DIALTONE_EMAIL");
const password = required("DIALTONE_PASSWORD");
const csv = required("DIALTONE_CSV");
const pictures =
  process.env.SCREENSHOTS ?? fileURLToPath(new URL("../../target/browser", import.meta.url));
const name = `Browser test ${process.pid}`;
const TALK_MS = 60_000;

await mkdir(pictures, { recursive: true });
const browser = await launch();
try {
  await run();
} finally {
  await browser.close();
}
finish();

async function run() {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const mishaps = [];
  let expectedRefusal = null;
  page.on("pageerror", (error) => mishaps.push(error.message));
  page.on("console", (message) => {
    const isRefusal = expectedRefusal && message.text().includes(expectedRefusal);
    if (message.type() === "error" && !isRefusal) mishaps.push(message.text());
  });
  page.setDefaultTimeout(15_000);
  await page.addInitScript(keepSockets);
  const picture = (title) => page.screenshot({ path: `${pictures}/${title}.png`, fullPage: true });

  expectedRefusal = "401";
  await check("a wrong password is refused in words", () => refusesPassword(page));
  expectedRefusal = null;
  await check("signing in opens the campaigns, live", async () => {
    await signIn(page, password);
    await page.getByRole("heading", { name: "Campaigns" }).waitFor();
    await page.getByText("Live", { exact: true }).waitFor();
    await picture("campaigns");
  });
  await check("a column of the file is offered and put into the text", () => fillForm(page));
  await check("the upload says what became of the rows", async () => {
    await picture("new-campaign");
    await page.getByRole("button", { name: "Create campaign" }).click();
    await page.getByRole("region", { name: "Import" }).waitFor();
    await saysSum(page);
    await picture("import");
  });
  await check("calls show while they are up, and run", async () => {
    await page.getByRole("link", { name: "Go to the campaign" }).click();
    const row = liveRows(page).first();
    await row.waitFor({ timeout: TALK_MS });
    const figures = () => liveRows(page).locator("td.figure").allInnerTexts();
    const before = (await figures()).join();
    await until(async () => (await figures()).join() !== before, "the seconds to run");
  });
  await check("a line of a transcript appears", async () => {
    await openTalkingCall(page);
    await picture("campaign");
  });
  // A call may end between seeing its buttons and pressing one.
  expectedRefusal = "409";
  await check("a live call is heard, its agent told something, muted, and the callee transferred", () => attends(page, picture));
  expectedRefusal = null;
  await check("a broken connection is said and mended, and nothing is missing then", () => mends(page));
  await check("the contacts are listed and can be narrowed", () => narrowsContacts(page));
  await check("pausing shows the campaign as paused", () => act(page, "Pause", "Paused"));
  await check("resuming shows it as active", () => act(page, "Resume", "Active"));
  await check("the page fits a narrow screen", async () => {
    await page.setViewportSize({ width: 380, height: 800 });
    await picture("campaign-narrow");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert(wide <= 380, `the page is ${wide} pixels wide`);
    await page.setViewportSize({ width: 1280, height: 900 });
  });
  await check("the page follows the dark colour scheme", async () => {
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.emulateMedia({ colorScheme: "dark" });
    await picture("campaign-dark");
    assert((await ground()) !== light, "the ground has the same colour in both schemes");
    await page.emulateMedia({ colorScheme: "light" });
  });
  await check("stopping asks first, then shows the campaign as stopped", () => stops(page));
  await check("the list shows the campaign as it is", async () => {
    await page.getByRole("link", { name: "Campaigns", exact: true }).click();
    const row = page.getByRole("listitem").filter({ hasText: name });
    await row.getByText(/Stopped|Completed/).waitFor();
  });
  await check("signing out leads back to signing in", async () => {
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Sign in" }).waitFor();
  });
  await check("the page had no errors", () => assert(mishaps.length === 0, mishaps.join("; ")));
}

async function signIn(page, word) {
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(word);
  await page.getByRole("button", { name: "Sign in" }).click();
}

async function refusesPassword(page) {
  await page.goto(url);
  await signIn(page, `not ${password}`);
  const words = await page.getByRole("alert").innerText();
  assert(words.trim().length > 0, "the refusal has no words");
}

async function fillForm(page) {
  await page.getByRole("link", { name: "New campaign" }).first().click();
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel("List (CSV, UTF-8)").setInputFiles(csv);
  const message = page.getByLabel("First message");
  await message.fill("Hello ");
  await page.getByRole("button", { name: "Insert first_name" }).click();
  assert((await message.inputValue()) === "Hello {{first_name}}", "the column was not inserted");
  await page.getByLabel("Prompt").fill("Remind {{first_name}} of the renewal and be brief.");
  await page.getByLabel("Max concurrent calls").fill("5");
  await page.getByLabel("Calls per second").fill("5");
}

/** Rows are accepted, duplicates or rejected, and nothing else. */
async function saysSum(page) {
  const figure = async (title) => {
    const box = page.getByRole("region", { name: "Import" }).locator("dl > div");
    const words = await box.filter({ has: page.getByText(title, { exact: true }) }).innerText();
    return Number(words.replace(/\D/g, ""));
  };
  const ready = async () => (await figure("Rows")) > 0;
  await until(ready, "rows to be read", 30_000);
  await page.locator("[aria-busy=true]").waitFor({ state: "detached" });
  const [rows, accepted] = [await figure("Rows"), await figure("Accepted")];
  const left = (await figure("Duplicates")) + (await figure("Rejected"));
  assert(accepted > 0 && rows === accepted + left, `${rows} rows, ${accepted} + ${left}`);
  if (left > 0) await page.getByRole("region", { name: "Rows left out" }).locator("tbody tr").first().waitFor();
}

function liveRows(page) {
  return page.getByRole("region", { name: "Live calls" }).locator("tbody tr");
}

/** Opens connected calls, one after the other, until one has a line of transcript. */
async function openTalkingCall(page) {
  const line = page.getByRole("log", { name: "Transcript" }).locator("li").first();
  const connected = liveRows(page).filter({ hasText: "Connected" }).getByRole("link").first();
  await until(
    async () => {
      // A row may end between seeing it and pressing it; the next round takes another one.
      await connected.click({ timeout: 1000 }).catch(() => null);
      return line.waitFor({ timeout: 5000 }).then(() => true, () => false);
    },
    "a line of transcript",
    TALK_MS,
  );
}

/** Listens to connected calls, one after the other, and does with one what an operator can do. */
async function attends(page, picture) {
  const connected = liveRows(page).filter({ hasText: "Connected" }).getByRole("link").first();
  const panel = page.getByRole("region", { name: "Call", exact: true });
  const told = panel.locator(".timeline").getByText("told the agent: The callee is called Ann");
  const soon = { timeout: 2000 };
  const attend = async () => {
    const heardBefore = await page.evaluate(() => window.n_sounds);
    await connected.click(soon);
    await panel.getByRole("button", { name: "Listen", exact: true }).click(soon);
    const heard = async () => (await page.evaluate(() => window.n_sounds)) > heardBefore;
    await until(heard, "sound", 3000);
    await panel.getByLabel("Tell the agent", { exact: false }).fill("The callee is called Ann", soon);
    await panel.getByRole("button", { name: "Tell the agent", exact: true }).click(soon);
    await told.waitFor({ state: "attached", ...soon });
    await panel.getByRole("button", { name: "Stop listening" }).click(soon);
    await panel.getByRole("button", { name: "Mute the agent", exact: true }).click(soon);
    const unmute = panel.getByRole("button", { name: "Unmute the agent" });
    await unmute.waitFor(soon);
    await picture("call-muted");
    await unmute.click(soon);
    const open = panel.locator(".timeline").getByText("let the agent be heard again");
    await open.waitFor({ state: "attached", ...soon });
    await panel.getByLabel("Transfer the call to").fill("+1 (202) 555-0196", soon);
    await panel.getByRole("button", { name: "Transfer", exact: true }).click(soon);
    await panel.locator(".facts").getByText("+12025550196:", { exact: false }).waitFor(soon);
    return true;
  };
  await until(() => attend().catch(() => false), "a call to be heard", TALK_MS);
}

/** Runs in the page before its scripts: lets the test break connections, and counts what is heard. */
function keepSockets() {
  window.openSockets = [];
  window.n_sounds = 0;
  window.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      window.openSockets.push(this);
      this.addEventListener("message", ({ data }) => (window.n_sounds += data instanceof ArrayBuffer));
    }
  };
}

async function mends(page) {
  await page.evaluate(() => window.openSockets.forEach((socket) => socket.close()));
  await page.getByText("Not live", { exact: false }).waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  await until(async () => {
    const [shown, known] = await page.evaluate(shownAndKnownCalls);
    return shown === known;
  }, "the live calls to be those that the server has");
}

/** Runs in the page: the ids of the live calls on the screen, and by REST. */
async function shownAndKnownCalls() {
  const { api } = await import("./api.js");
  const [, , campaignId] = location.hash.split("/");
  const { items } = await api.calls(campaignId, { open: true, limit: 500 });
  const links = [...document.querySelectorAll("section[aria-label='Live calls'] a")];
  const shown = links.map((link) => link.hash.split("/")[3]);
  return [shown.sort().join(), items.map(({ id }) => id).sort().join()];
}

async function narrowsContacts(page) {
  const contacts = page.getByRole("region", { name: "Contacts" });
  await contacts.locator("tbody tr").first().waitFor();
  await contacts.getByLabel("Show").selectOption("waiting");
  const states = () => contacts.locator("tbody td:nth-child(3)").allInnerTexts();
  await until(async () => {
    const seen = await states();
    return seen.length > 0 && seen.every((state) => state === "Waiting");
  }, "waiting contacts only");
  await contacts.getByLabel("Show").selectOption("");
}

async function act(page, action, status) {
  await page.getByRole("button", { name: `${action} ${name}` }).click();
  await page.locator(".heading .badge").getByText(status, { exact: true }).first().waitFor();
}

async function stops(page) {
  await page.getByRole("button", { name: `Stop ${name}` }).click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await dialog.getByRole("button", { name: "Stop the campaign" }).click();
  await page.locator(".heading .badge").getByText("Stopped", { exact: true }).first().waitFor();
}
