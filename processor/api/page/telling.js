// What a job tells, live: log lines and output by server-sent events, in order, each once. Lines are written all at
// once for each frame of the screen, and only the latest are kept, so that a job that talks much stops nobody.

import { address, get } from "./api.js";
import { element } from "./element.js";
import { Bell, pause } from "./live.js";
import { FINAL } from "./parts.js";
import { number, time } from "./times.js";
import { changed } from "./unread.js";

const KEPT = 2000;
const LONG = 4000;
const AGAIN = 3;

export class Telling {
  bell = new Bell(); // rings when the state has changed
  onprogress = () => {};
  #id;
  #signal;
  #job = null;
  #after = null;
  #source = null;
  #isOpen = false;
  #fresh = [];
  #follows = true; // the end of the log is in sight
  #lines = element(
    "div",
    { class: "log", role: "log", "aria-live": "off", "aria-label": "Log and output", tabindex: 0 },
  );
  #words = element("p", { class: "quiet" });

  constructor(id, signal) {
    this.#id = id;
    this.#signal = signal;
    this.place = element("div", { data: { keep: "" } }, this.#words, this.#lines);
    this.#lines.addEventListener("scroll", () => (this.#follows = fromEnd(this.#lines) < 40));
    signal.addEventListener("abort", () => this.#close());
    const seen = () => document.visibilityState === "visible"; // of six connections to a server, for all tabs
    document.addEventListener("visibilitychange", () => seen() || this.#close(), { signal });
  }

  /** Tell whether all that becomes of the job rings the bell. What keeps it from running changes untold. */
  listen() {
    if (this.#job === null) return false;
    return FINAL.includes(this.#job.status) || (this.#job.status === "running" && this.#isOpen);
  }

  /** Follow the job from where this stopped, unless all that it told is here. */
  follow(job) {
    if (this.#after === null) this.#begin(job);
    this.#job = job;
    if (this.#source !== null) return;
    if (FINAL.includes(job.status) && this.#after >= job.event_no) this.#say(
      this.#lines.childElementCount ? "It has ended; this is all it told." : "It told nothing.",
    );
    else this.#listen();
  }

  #begin(job) {
    this.#after = Math.max(0, job.event_no - KEPT);
    if (this.#after > 0) this.#lines.append(
      element(
        "p",
        { class: "line quiet" },
        `The first ${number(this.#after)} events are not shown: jobtable logs ${job.id}`,
      ),
    );
  }

  #listen() {
    this.#say("Connecting …");
    this.#source = new EventSource(address(`jobs/${this.#id}/events`, { after: this.#after }));
    this.#source.onopen = () => this.#opened();
    this.#source.onerror = () => this.#lost();
    for (const kind of ["log", "output", "progress", "state"]) this.#source.addEventListener(
      kind,
      (event) => this.#heard(kind, event),
    );
    this.#source.addEventListener("end", () => this.#stop("It has ended; this is all it told."));
    this.#source.addEventListener("dropped", () => this.#lost(true));
  }

  #opened() {
    this.#isOpen = true;
    this.#say("Live.");
  }

  #heard(kind, event) {
    const told = JSON.parse(event.data);
    if (told.number <= this.#after) return;
    this.#after = told.number;
    if (kind === "state" && told.number > this.#job.event_no) this.#changed();
    if (kind === "progress") {
      this.onprogress(told);
      return;
    }
    if (this.#fresh.push(line(told)) === 1) requestAnimationFrame(() => this.#write());
    else if (this.#fresh.length > KEPT) this.#write(); // nobody looks, so no frame comes
  }

  #write() {
    const box = this.#lines;
    box.append(...this.#fresh.splice(0).slice(-KEPT));
    while (box.childElementCount > KEPT) box.firstChild.remove();
    if (this.#follows) box.scrollTop = box.scrollHeight;
  }

  #stop(words) {
    this.#close();
    this.#say(words);
    if (!FINAL.includes(this.#job.status)) this.#changed();
  }

  #changed() {
    this.bell.ring();
    changed();
  }

  #close() {
    this.#source?.close();
    [this.#source, this.#isOpen] = [null, false];
  }

  async #lost(dropped = false) {
    if (this.#isOpen) this.bell.ring(); // until now the view looked slowly
    this.#isOpen = false;
    if (!dropped && this.#source?.readyState === EventSource.CONNECTING) {
      this.#say("The connection was lost. Connecting again …");
      return;
    }
    const source = this.#source;
    source?.close();
    this.#say(await this.#why());
    await pause(AGAIN, this.#signal);
    if (this.#source === source) this.#source = null; // the next look at the job listens again
  }

  async #why() {
    try {
      await get(`jobs/${this.#id}/events`, { after: this.#after, limit: 1 }, this.#signal);
      return "The connection was lost. Connecting again …";
    } catch (error) {
      return `${error.message} ${error.remedy ?? ""}`;
    }
  }

  #say(words) {
    if (this.#words.textContent !== words) this.#words.textContent = words;
  }
}

function line(told) {
  const kind = told.kind === "log" ? (told.level ?? "") : told.kind;
  const words = told.kind === "state" ? `${told.level}${told.text ? ` (${told.text})` : ""}` : (told.text ?? "");
  return element(
    "p",
    { class: "line", data: { kind } },
    time(told.created_at, { clock: true }),
    element("span", { class: "level" }, kind),
    said(words),
  );
}

const fromEnd = (box) => box.scrollHeight - box.scrollTop - box.clientHeight;

function said(words) {
  if (words.length <= LONG) return element("bdi", {}, words);
  const place = element("bdi", {}, words.slice(0, LONG), " ");
  place.append(
    element(
      "button",
      { type: "button", class: "small", onclick: () => place.replaceChildren(words) },
      `all ${number(words.length)} letters`,
    ),
  );
  return place;
}
