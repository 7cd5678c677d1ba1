// Looks again: while the page is seen, at an even pace; while the server is away, less often, and says so.

import { element, renew } from "./element.js";

const LONGEST = 30;
const away = new Set();

/** Do `work` now and every so many seconds until the signal; while the server is away, wait longer each time. */
export async function every(seconds, work, signal) {
  const wait = (failed) => Math.min(LONGEST, seconds * 2 ** failed);
  let failures = 0;
  while (!signal.aborted) {
    if (document.visibilityState === "visible") {
      try {
        await work();
        failures = 0;
        answers(signal);
      } catch (error) {
        if (signal.aborted || error.name === "AbortError") break;
        if (!isAway(error)) throw error;
        failures += 1;
        isMissing(signal, wait(failures));
      }
    }
    await pause(wait(failures), signal);
  }
  answers(signal);
}

const isAway = (error) => error.status === 0 || error.status === 503 || error.status === 502;

/** Wait, but not beyond the signal; who comes back to the page waits no longer. */
export function pause(seconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const seen = () => document.visibilityState === "visible" && done();
    const timer = setTimeout(done, seconds * 1000);
    signal.addEventListener("abort", done);
    document.addEventListener("visibilitychange", seen);
  });
}

function isMissing(who, seconds) {
  away.add(who);
  const words = `The server does not answer. What you see is from before. Trying again in ${Math.round(seconds)} s …`;
  renew(document.getElementById("banner"), element("p", { class: "away" }, words));
}

function answers(who) {
  if (away.delete(who) && away.size === 0) renew(document.getElementById("banner"));
}
