// Hears that something has changed, so that a view looks again at once and an idle page asks nothing. The stream only
// says that: the table says what. The first change closes it, and the view looks when it is open again, so that ten
// thousand changes cost one look a second. It is open only while the page is seen: a browser has six connections to a
// server for all its tabs.

import { address } from "./api.js";
import { Bell } from "./live.js";
import { changed } from "./unread.js";

const GAP = 1000; // milliseconds from one opening to the next

export class Changes {
  bell = new Bell();
  #address;
  #source = null;
  #timer = null;
  #hears = false;
  #openedAt = -GAP;

  /** `choice`: of which `kind` of events, and of which `type`. */
  constructor(choice, signal) {
    this.#address = address("changes", choice);
    signal.addEventListener("abort", () => this.#close());
    const seen = () => document.visibilityState === "visible";
    document.addEventListener("visibilitychange", () => seen() || this.#close(), { signal });
  }

  /** Begin to listen; tell whether all that changes from now on rings the bell. */
  listen() {
    if (this.#source === null && this.#timer === null) this.#openSoon();
    return this.#hears;
  }

  #openSoon() {
    const wait = this.#openedAt + GAP - performance.now();
    if (wait <= 0) this.#open();
    else this.#timer = setTimeout(() => this.#open(), wait);
  }

  #open() {
    this.#timer = null;
    this.#openedAt = performance.now();
    this.#source = new EventSource(this.#address);
    this.#source.addEventListener("ready", () => this.#isReady());
    for (const kind of ["state", "progress"]) this.#source.addEventListener(kind, () => this.#changed());
    for (const end of ["error", "dropped"]) this.#source.addEventListener(end, () => this.#lost());
  }

  #isReady() {
    this.#hears = true;
    this.bell.ring();
    changed();
  }

  #changed() {
    this.#source.close();
    this.#openSoon();
  }

  #lost() {
    const relies = this.#hears; // the view does: it looks slowly
    this.#close();
    if (relies) this.bell.ring();
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    [this.#timer, this.#source, this.#hears] = [null, null, false];
  }
}
