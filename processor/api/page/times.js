// Instants, durations and numbers as people read them: local time, with the exact instant in UTC as the title. What
// grows as time goes by is written anew each second, without asking the server.

import { element } from "./element.js";

const WORDS = { hourCycle: "h23", hour: "2-digit", minute: "2-digit" };
const DAY = new Intl.DateTimeFormat(undefined, { ...WORDS, day: "numeric", month: "short" });
const CLOCK = new Intl.DateTimeFormat(undefined, { ...WORDS, second: "2-digit" });
const MINUTE = new Intl.DateTimeFormat(undefined, WORDS);
const NUMBER = new Intl.NumberFormat();

const OFF = 2000; // milliseconds; the header says whole seconds
let ahead = 0; // of the clock here, the server's

/** Hear what time it is at the server: the clock of a browser may be wrong. */
export function setClock(header) {
  const off = Date.parse(header) - Date.now();
  if (!Number.isNaN(off)) ahead = Math.abs(off) > OFF ? off : 0;
}

/** Milliseconds since 1970, by the server's clock. */
export const now = () => Date.now() + ahead;

export const number = (value) => NUMBER.format(value);
export const counted = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
export const percent = (share) => `${(100 * share).toFixed(share > 0.99 && share < 1 ? 2 : share === 1 ? 0 : 1)} %`;
export const minute = (text) => MINUTE.format(new Date(text));

/** Write seconds: 0.04 s, 3.2 s, 4 min 5 s, 3 h 10 min, 2 d 4 h. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds === 0) return "0 s";
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95 && !Number.isInteger(seconds)) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return two(whole, 60, "min", 1, "s");
  if (whole < 86400) return two(whole, 3600, "h", 60, "min");
  return two(whole, 86400, "d", 3600, "h");
}

function two(whole, large, word, small, smaller) {
  const rest = Math.floor((whole % large) / small);
  return `${Math.floor(whole / large)} ${word}${rest ? ` ${rest} ${smaller}` : ""}`;
}

/** Write an instant; null: a dash. */
export function time(text, { clock = false } = {}) {
  if (!text) return "–";
  const instant = new Date(text);
  return element("time", { datetime: text, title: exact(text) }, clock ? CLOCK.format(instant) : DAY.format(instant));
}

/** Write how long ago, or how far ahead, an instant is. */
export function ago(text) {
  if (!text) return "–";
  const data = { ago: new Date(text).getTime() };
  return element("time", { datetime: text, title: exact(text), data }, distance(text));
}

function distance(instant) {
  const seconds = (now() - new Date(instant)) / 1000;
  return Math.abs(seconds) < 1 ? "now" : seconds > 0 ? `${short(seconds)} ago` : `in ${short(-seconds)}`;
}

/** Write for how long something goes on that has gone on for so many seconds. */
export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return element("span", { data: { began: Math.round(Date.now() - seconds * 1000) } }, span(seconds));
}

/** Let the time go by on the page. */
export function goBy() {
  if (document.visibilityState !== "visible") return;
  for (const one of document.querySelectorAll("[data-ago]")) says(one, distance(Number(one.dataset.ago)));
  for (const one of document.querySelectorAll("[data-began]")) {
    says(one, span(Math.round((Date.now() - one.dataset.began) / 1000)));
  }
}

function says(place, words) {
  if (place.textContent !== words) place.textContent = words;
}

const short = (seconds) => (seconds < 60 ? `${Math.round(seconds)} s` : span(seconds).replace(/ (min|h|d) .*/, " $1"));
const exact = (text) => `${new Date(text).toISOString().replace("T", " ").replace("Z", "")} UTC`;

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB"];
  let place = 0;
  while (count >= 1024 && place < units.length - 1) [count, place] = [count / 1024, place + 1];
  return `${count < 10 && place ? count.toFixed(1) : Math.round(count)} ${units[place]}`;
}
