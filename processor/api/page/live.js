// Looks again: when something has changed, and now and then all the same; while the server is away, less often, and
// says so. Nothing is asked while nobody sees the page.

import { element, renew } from "./element.js";

const SLOWLY = 10; // where changes are told: a job that only came in tells nothing, and a stream can be dead unnoticed
const LONGEST = 30;
const away = new Set();

/** Wakes who waits, once, and at once who begins to wait when it has rung. */
export class Bell {
  #rang = false;
  #wake = () => {};

  ring() {
    this.#rang = true;
    this.#wake();
  }

  /** Let only what happens from now on wake anybody. */
  settle() {
    this.#rang = false;
    this.#wake = () => {};
  }

  wakes(wake) {
    this.#wake = wake;
    if (this.#rang) wake();
  }
}

/**
 * Do `work` now, and again until the signal: when the bell of `news` rings, and every so many seconds, or slowly while
 * `news` hears all that changes. `work` may give after how many seconds it wants to look again at the latest.
 */
export async function every(seconds, work, signal, news = null) {
  const wait = (failed) => Math.min(LONGEST, seconds * 2 ** failed);
  let failures = 0;
  while (!signal.aborted) {
    let rest = seconds;
    news?.bell.settle();
    if (document.visibilityState === "visible") {
      try {
        const hears = news?.listen(); // before the look: what changes after it is told
        const wanted = await work();
        rest = Math.min(hears ? SLOWLY : seconds, wanted ?? LONGEST);
        failures = 0;
        answers(signal);
        showLive(hears);
      } catch (error) {
        if (signal.aborted || error.name === "AbortError") break;
        if (!isAway(error)) throw error;
        failures += 1;
        rest = wait(failures);
        isMissing(signal, rest);
      }
    }
    await pause(rest, signal, news?.bell);
  }
  answers(signal);
  showLive(false);
}

const isAway = (error) => error.status === 0 || error.status === 503 || error.status === 502;

/** Wait, but not beyond the signal or the bell; who comes back to the page waits no longer. */
export function pause(seconds, signal, bell = null) {
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
    bell?.wakes(done);
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

function showLive(hears) {
  const place = document.getElementById("live");
  if (place) place.textContent = hears ? "live" : "";
}
