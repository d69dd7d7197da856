// A headless Chromium that talks to nobody but the page's server.

import { chromium } from "playwright-core";

/** Starts the browser that CHROMIUM names, `/usr/bin/chromium` by default. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
