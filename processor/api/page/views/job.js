// One job: its life line, what it was given and gave, why it does not run, and what can be done with it. What it tells
// live is `telling.js`.

import { get } from "../api.js";
import { element, link, renew } from "../element.js";
import { every } from "../live.js";
import { FINAL, badge, card, empty, facts, foreign, heading, jobLink, progress, table, text } from "../parts.js";
import { actions } from "../steering.js";
import { Telling } from "../telling.js";
import { ago, bytes, lasting, number, span, time } from "../times.js";

const PACE = 2;

export async function show(place, { params, signal }) {
  const id = Number(params[0]);
  const telling = new Telling(id, signal);
  const soon = once();
  let known = null;
  const look = async () => {
    known = await read(id, signal);
    telling.follow(known.job);
    draw(place, known, telling, look);
  };
  telling.onprogress = (told) => {
    if (known === null) return;
    known.job.progress = told.percent ?? known.job.progress;
    known.job.progress_message = told.text ?? known.job.progress_message;
    soon(() => signal.aborted || draw(place, known, telling, look));
  };
  await every(PACE, look, signal, telling);
}

/** Give what does a work once in a frame of the screen, however often it is asked for. */
function once() {
  let waits = false;
  return (work) => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      work();
    });
  };
}

async function read(id, signal) {
  const job = await get(`jobs/${id}`, {}, signal);
  const waits = !FINAL.includes(job.status) && job.status !== "running";
  const failed = job.attempt > 1 || job.crashes > 0 || job.error_message !== null || job.status === "failed";
  const hasChildren = Object.keys(job.children).length > 0;
  const [explanation, errors, children] = await Promise.all([
    waits ? get(`jobs/${id}/explain`, {}, signal) : null,
    failed ? get(`jobs/${id}/errors`, {}, signal) : { items: [] },
    hasChildren ? get("jobs", { parent: id, limit: 50 }, signal) : { items: [] },
  ]);
  return { job, explanation, errors: errors.items, children: children.items };
}

function draw(place, { job, explanation, errors, children }, telling, again) {
  document.title = `#${job.id} ${job.type} · jobtable`;
  renew(
    place,
    heading(
      element("span", {}, element("span", { class: "id" }, `#${job.id}`), " ", foreign(job.type)),
      element("span", { role: "status" }, badge(job.status, job.reason)),
    ),
    actions(job, again),
    job.status === "running" && now(job),
    job.cancel_requested && !FINAL.includes(job.status) && element(
      "p",
      { class: "warning" },
      "It was asked to stop; after the grace period it is killed.",
    ),
    explanation && why(explanation),
    job.error_message !== null && card(
      "Error",
      { class: "error" },
      element("p", {}, element("strong", {}, foreign(job.error_type ?? job.reason)), " ", foreign(job.error_message)),
      job.error_detail && text(job.error_detail, "Trace of the error"),
    ),
    element(
      "div",
      { class: "two", data: { key: "two" } },
      card("Life line", {}, lifeLine(job)),
      card("What it is", {}, about(job)),
    ),
    card("Log and output", { class: "wide" }, telling.place),
    element(
      "div",
      { class: "two", data: { key: "values" } },
      card("Payload", {}, text(job.payload, "Payload")),
      card("Result", {}, result(job)),
    ),
    errors.length > 0 && attempts(errors),
    children.length > 0 && family(job, children),
  );
}

function now(job) {
  const words = job.progress_message && element("bdi", {}, job.progress_message);
  return card(
    "Now",
    {},
    progress(job) ?? element("p", { class: "quiet" }, "It tells no progress."),
    element("p", {}, words, words && " · ", "running for ", lasting(job.seconds)),
  );
}

function why({ findings, runnable }) {
  const said = findings.map((one) => element("li", { class: one.blocks ? "blocks" : null }, foreign(one.text)));
  return card(
    runnable ? "Why it does not run yet" : "Why it does not run",
    {},
    said.length ? element("ul", { class: "findings" }, said) : empty("Nothing keeps it: the next free slot takes it."),
  );
}

function lifeLine(job) {
  const steps = [["inserted", job.created_at, "pending"]];
  if (job.run_at && job.run_at > job.created_at) steps.push(["not before", job.run_at, "scheduled"]);
  if (job.started_at) steps.push(
    [job.attempt > 1 ? `started, try ${job.attempt}` : "started", job.started_at, "running"],
  );
  if (job.finished_at) steps.push([job.status, job.finished_at, job.status]);
  else steps.push([`${job.status} now`, null, job.status]);
  const shown = steps.map(([words, at, kind], place) => {
    const before = steps[place - 1]?.[1];
    const took = at && before ? (new Date(at) - new Date(before)) / 1000 : null;
    return element(
      "li",
      { class: kind },
      element("span", {}, words),
      " ",
      at && time(at, { clock: true }),
      took !== null && took > 0 && element("span", { class: "quiet" }, ` after ${span(took)}`),
    );
  });
  return element("ol", { class: "life" }, shown);
}

function about(job) {
  const to = (id) => id && link(`#/jobs/${id}`, `#${id}`);
  return facts([
    ["subject", job.subject && foreign(job.subject)],
    ["owner", job.owner && foreign(job.owner)],
    ["priority", number(job.priority)],
    ["try", job.max_attempts ? `${job.attempt} of ${job.max_attempts}` : number(job.attempt)],
    ["ran", job.seconds !== null ? (job.status === "running" ? lasting : span)(job.seconds) : null],
    ["key", job.key && foreign(job.key)],
    ["lane", job.concurrency_key && foreign(job.concurrency_key)],
    ["time limit", job.timeout_seconds && span(job.timeout_seconds)],
    ["too late after", job.expires_at && time(job.expires_at)],
    ["parent", to(job.parent_id)],
    ["same work as", to(job.duplicate_of)],
    [
      "follows",
      [
        job.on_complete && `${job.on_complete} when it completes`,
        job.on_failure && `${job.on_failure} when it fails`,
      ].filter(Boolean).join(", "),
    ],
    ["processor", job.processor_id && element("code", { title: job.processor_id }, job.processor_id.slice(0, 8))],
    ["cpu", job.cpu_seconds !== null ? span(job.cpu_seconds) : null],
    ["memory", job.max_rss_bytes !== null ? bytes(job.max_rss_bytes) : null],
  ]);
}

function result(job) {
  if (job.status === "completed" && job.result === null) return empty("It returned nothing.");
  if (job.status === "completed") return text(job.result, "Result");
  return empty(FINAL.includes(job.status) ? "It has no result." : "None yet.");
}

function attempts(errors) {
  const shown = errors.map((one) =>
    element(
      "details",
      { data: { key: `try:${one.created_at}` } },
      element(
        "summary",
        {},
        `Try ${one.attempt}: `,
        foreign(one.error_type ?? one.reason),
        " ",
        element("span", { class: "quiet" }, "after ", span(one.seconds), ", ", ago(one.created_at)),
      ),
      element("p", {}, foreign(one.error_message)),
      one.error_detail && text(one.error_detail, `Trace of try ${one.attempt}`),
    ),
  );
  return card(`Failed attempts (${errors.length})`, {}, shown);
}

function family(job, children) {
  const sums = Object.entries(job.children).map(
    ([status, count]) => element("li", {}, badge(status), " ", number(count)),
  );
  const columns = [
    ["job", jobLink],
    ["state", (one) => badge(one.status, one.reason)],
    ["subject", (one) => foreign(one.subject), "name"],
    ["ran", (one) => span(one.seconds)],
  ];
  return card(
    "Children",
    {},
    element("ul", { class: "inline" }, sums),
    table("Children", columns, children, (one) => one.id),
    element("p", {}, link(`#/jobs?parent=${job.id}`, "All children")),
  );
}
