// Named checks with a count at the end, and waiting with a limit.

let n_passed = 0;
let n_failed = 0;

/** Runs one check and says how it went; an error is a failure. Returns what the check returned. */
export async function check(name, run) {
  try {
    const result = await run();
    n_passed += 1;
    console.log(`ok      ${name}`);
    return result;
  } catch (error) {
    n_failed += 1;
    console.log(`FAILED  ${name}: ${error.message}`);
    return undefined;
  }
}

export function assert(condition, message) {
  if (!condition) throw new Error(message);
}

/** Waits until `probe` returns something true, and returns it. */
export async function until(probe, what, limitMs = 15_000) {
  const end = Date.now() + limitMs;
  while (Date.now() < end) {
    const result = await probe();
    if (result) return result;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited ${limitMs} ms in vain for ${what}`);
}

/** Prints the sum and sets the exit code. */
export function finish() {
  console.log(`${n_passed} passed, ${n_failed} failed`);
  process.exitCode = n_failed > 0 || n_passed === 0 ? 1 : 0;
}

/** A variable of the environment, or an end with a word about it. */
export function required(name) {
  const value = process.env[name];
  if (value) return value;
  console.error(`${name} is not set`);
  process.exit(2);
}
