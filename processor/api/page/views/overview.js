// Overview: what runs now, what waits and why, what became of the work in the last hour and day.

import { get, post } from "../api.js";
import { bars } from "../charts.js";
import { Changes } from "../changes.js";
import { announce } from "../dialogs.js";
import { element, link, renew } from "../element.js";
import { every } from "../live.js";
import { badge, button, card, empty, foreign, heading, jobLink, progress, spread, table } from "../parts.js";
import { session } from "../session.js";
import { ago, counted, lasting, minute, number, percent, span } from "../times.js";

const PACE = 2;
const SUMS = 5; // seconds from one reading of the sums, which cost more, to the next
const SHOWN = 20;
const FAILED = 8;
const WINDOWS = { hour: 3600, day: 86400 };

export async function show(place, { signal }) {
  const known = { summedAt: -Infinity };
  await every(PACE, async () => {
    const summed = await look(known, signal);
    draw(place, known);
    return summed ? null : SUMS - age(known);
  }, signal, new Changes({ kind: ["state", "progress"] }, signal));
}

const age = (known) => (performance.now() - known.summedAt) / 1000;

/** Read what is shown; tell whether the sums, too, are of now. */
async function look(known, signal) {
  const sums = age(known) >= SUMS;
  const begunAt = performance.now();
  const admin = session().scopes.includes("admin");
  const asked = {
    running: get("jobs", { status: "running", limit: SHOWN + 1 }, signal),
    waiting: sums ? get("statistics/waiting", {}, signal) : known.waiting,
    hour: sums ? get("statistics", { seconds: WINDOWS.hour }, signal) : known.hour,
    day: sums ? get("statistics", { seconds: WINDOWS.day }, signal) : known.day,
    failed: get("jobs", { status: "failed", limit: FAILED }, signal),
    processors: admin ? get("processors", {}, signal) : null,
  };
  const answers = await Promise.all(Object.values(asked));
  Object.keys(asked).forEach((name, place) => (known[name] = answers[place]));
  if (sums) known.summedAt = begunAt;
  return sums;
}

function draw(place, known) {
  const { hour, day } = known;
  renew(
    place,
    heading("Overview", alive(known)),
    figures(known),
    element("div", { class: "two", data: { key: "windows" } }, ended("Last hour", hour), ended("Last day", day)),
    running(known.running.items),
    waiting(known.waiting.items),
    failures(known.failed.items),
  );
}

function alive(known) {
  if (known.processors === null) return null;
  const living = known.processors.items.filter((one) => !one.lease_over);
  const slots = living.reduce((sum, one) => sum + one.max_concurrent, 0);
  if (living.length) return link("#/processors", `${counted(living.length, "processor")}, ${counted(slots, "slot")}`);
  return element(
    "span",
    { class: "warning" },
    "No processor is alive: nothing will run. Start one with ",
    element("code", {}, "jobtable run"),
    ".",
  );
}

function figures({ hour, day, waiting: waits, running: { items } }) {
  const all = Object.values(hour.counts).reduce((total, of) => total + (of.running ?? 0), 0);
  const runs = items.length > SHOWN ? Math.max(items.length, all) : items.length; // of the same look as the table
  const due = waits.items.reduce((total, one) => total + one.jobs, 0);
  const tile = (name, value, words, href) =>
    element(
      "li",
      {},
      element(
        "a",
        { class: "tile", href },
        element("span", { class: "name" }, name),
        element("span", { class: "large" }, value),
        element("span", { class: "more" }, words),
      ),
    );
  const perMinute = (sums) => Object.values(sums.finished).reduce((a, b) => a + b, 0) / (sums.seconds / 60);
  return element(
    "ul",
    { class: "tiles", "aria-label": "In short" },
    tile("Running", number(runs), "now", "#/jobs?status=running"),
    tile(
      "Waiting",
      number(due),
      "due, scheduled, waiting or paused",
      "#/jobs?status=pending&status=scheduled&status=waiting&status=paused",
    ),
    tile(
      "Throughput",
      perMinute(hour).toFixed(perMinute(hour) < 10 ? 1 : 0),
      "a minute, last hour",
      "#/jobs?status=completed",
    ),
    tile("Success", hour.success_rate === null ? "–" : percent(hour.success_rate), "of the last hour", "#/types"),
    tile(
      "Waited",
      hour.times.waited ? span(hour.times.waited.p50) : "–",
      hour.times.waited ? `median; 95 % under ${span(hour.times.waited.p95)}` : "nothing was started",
      "#/types",
    ),
    tile(
      "Failed",
      number(hour.finished.failed ?? 0),
      `last hour; ${number(day.finished.failed ?? 0)} in a day`,
      "#/jobs?status=failed",
    ),
  );
}

function running(items) {
  const columns = [
    ["job", jobLink],
    ["subject", (job) => foreign(job.subject ?? job.owner), "name"],
    [
      "progress",
      (job) => element(
        "div",
        { class: "going" },
        progress(job) ?? element("span", { class: "quiet" }, "no progress told"),
        job.progress_message && element("bdi", { class: "quiet" }, job.progress_message),
      ),
    ],
    ["for", (job) => lasting(job.seconds), "figure"],
    [
      "",
      (job) => button("Cancel", "write", () => cancel(job), { class: "small", "aria-label": `Cancel job ${job.id}` }),
    ],
  ];
  if (items.length === 0) return card("Runs now", {}, empty("Nothing runs at the moment."));
  const more = items.length > SHOWN && element("p", {}, link("#/jobs?status=running", "All that run …"));
  return card("Runs now", {}, table("Jobs that run now", columns, items.slice(0, SHOWN), (job) => job.id), more);
}

async function cancel(job) {
  await post(`jobs/${job.id}/cancel`);
  announce(`Job ${job.id} was asked to stop.`);
}

function waiting(items) {
  if (items.length === 0) return card(
    "Waits, and why",
    {},
    empty("Nothing waits. ", link("#/create", "Create a job"), "."),
  );
  const query = (one) => `#/jobs?status=${one.status}&type=${encodeURIComponent(one.type)}`;
  const columns = [
    ["type", (one) => link(query(one), foreign(one.type))],
    ["state", (one) => badge(one.status, one.reason)],
    ["jobs", (one) => number(one.jobs), "figure"],
    [
      "oldest",
      (one) => element("span", { class: "one" }, link(`#/jobs/${one.oldest}`, `#${one.oldest}`), " ", ago(one.since)),
    ],
    ["why the oldest waits", (one) => why(one)],
  ];
  return card(
    "Waits, and why",
    {},
    table("What waits, by type", columns, items, (one) => `${one.type} ${one.status} ${one.reason}`),
  );
}

function why(one) {
  if (one.why === null) return link(`#/jobs/${one.oldest}`, "Ask of the job");
  if (one.why.length === 0) return "Nothing keeps it: the next free slot takes it.";
  return element("ul", { class: "plain" }, one.why.map((text) => element("li", {}, foreign(text))));
}

function ended(title, sums) {
  const total = Object.values(sums.finished).reduce((a, b) => a + b, 0);
  const words = Object.entries(sums.finished).filter(([, count]) => count).map(
    ([status, count]) => element("li", {}, badge(status), " ", number(count)),
  );
  const begins = sums.buckets[0]?.begins_at;
  return card(
    title,
    {},
    total === 0 ? empty("Nothing ended in this time.") : bars(sums.buckets, title),
    total > 0 && element(
      "p",
      { class: "axis", "aria-hidden": "true" },
      element("span", {}, begins ? minute(begins) : ""),
      element("span", {}, `bars of ${span(sums.bucket_seconds)}`),
      element("span", {}, "now"),
    ),
    element("ul", { class: "inline" }, words),
    element(
      "p",
      { class: "quiet" },
      "ran ",
      spread(sums.times.ran),
      " · waited ",
      spread(sums.times.waited),
      " (p50 · p95 · p99",
      sums.sampled ? ", of the latest 10,000)" : ")",
    ),
  );
}

function failures(items) {
  if (items.length === 0) return card("Failed lately", {}, empty("No job has failed."));
  const all = link("#/jobs?status=failed", "All that failed");
  const columns = [
    ["job", jobLink],
    ["state", (job) => badge(job.status, job.reason)],
    ["error", (job) => element("span", { class: "clip" }, foreign(job.error_message ?? "no message"))],
    ["ended", (job) => ago(job.finished_at)],
  ];
  return card(
    "Failed lately",
    {},
    table("Jobs that failed lately", columns, items, (job) => job.id),
    element("p", {}, all),
  );
}
