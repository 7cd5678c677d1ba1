// Jobs: filter, search, page by page; cancel, retry or delete all that a filter finds, after counting them.

import { get, post } from "../api.js";
import { Changes } from "../changes.js";
import { cleanup } from "../cleanup.js";
import { announce, confirm } from "../dialogs.js";
import { element, link, renew } from "../element.js";
import { every } from "../live.js";
import { STATUSES, badge, button, card, empty, foreign, heading, jobLink, progress, table } from "../parts.js";
import { ago, counted, lasting, span } from "../times.js";

const PACE = 3;
const FIELDS = ["type", "owner", "subject", "key", "text", "parent", "created_after", "created_before"];
const COLUMNS = [
  ["job", jobLink],
  ["state", (job) => badge(job.status, job.reason)],
  ["subject", (job) => foreign(job.subject), "name"],
  ["owner", (job) => foreign(job.owner), "name"],
  ["progress or error", (job) => progressOrError(job)],
  ["ran", (job) => (job.status === "running" ? lasting : span)(job.seconds), "figure"],
  ["created", (job) => ago(job.created_at)],
];
const VERBS = [
  ["cancel", "Cancel …", "to cancel", "cancelled or asked to stop"],
  ["retry", "Retry …", "to put back as new", "put back as new"],
  ["pause", "Pause …", "to pause", "paused"],
  ["resume", "Resume …", "to resume", "resumed"],
  ["run-now", "Run now …", "to run before its time", "brought forward"],
  ["delete", "Delete …", "to delete, with their events and errors", "deleted"],
];

export async function show(place, { query, signal }) {
  const which = filterOf(query);
  const cursor = query.get("cursor");
  const look = async () => {
    const page = await get("jobs", { ...which, cursor, limit: 50 }, signal);
    draw(place, which, cursor, page, look);
  };
  await every(PACE, look, signal, new Changes({ kind: ["state", "progress"], type: which.type }, signal));
}

/** Read the filter out of the address of the view. */
function filterOf(query) {
  const which = { status: query.getAll("status").filter((name) => STATUSES.includes(name)) };
  for (const name of FIELDS) if (query.get(name)) which[name] = query.get(name);
  return which;
}

function hrefOf(which, cursor) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(which)) for (const one of [value].flat()) query.append(name, one);
  if (cursor) query.set("cursor", cursor);
  return `#/jobs${query.size ? `?${query}` : ""}`;
}

const isNarrow = (which) => which.status.length > 0 || FIELDS.some((name) => which[name]);

function draw(place, which, cursor, page, again) {
  const list = found(which, cursor, page);
  const steers = isNarrow(which) ? [all(which, again), list] : [list, page.items.length > 0 && cleanup(again)];
  renew(place, heading("Jobs"), form(which), steers);
}

function found(which, cursor, page) {
  if (page.items.length === 0 && page.next === null) {
    return card(
      "Found",
      { quiet: true },
      isNarrow(which) ? empty("No job is like that. ", link("#/jobs", "Show all.")) : empty(
        "There is no job yet. ",
        link("#/create", "Create one."),
        " Or INSERT INTO jobs (type) VALUES ('…').",
      ),
    );
  }
  const turn = element(
    "nav",
    { class: "turn", "aria-label": "Pages" },
    cursor && link(hrefOf(which), "Newest"),
    page.next ? link(
      hrefOf(which, page.next),
      page.items.length ? "Older" : "Search on",
    ) : element("span", { class: "quiet" }, "That was all."),
  );
  const none = page.items.length === 0 && empty("None among the jobs that were looked at; there are more.");
  return card(
    "Found",
    { quiet: true },
    none || table("Jobs, newest first", COLUMNS, page.items, (job) => job.id),
    turn,
  );
}

function progressOrError(job) {
  if (job.status === "failed") return element("span", { class: "clip" }, foreign(job.error_message));
  if (job.status !== "running") return job.attempt > 1 ? `try ${job.attempt}` : "";
  return progress(job) ?? "runs";
}

function form(which) {
  const submit = (event) => {
    event.preventDefault();
    location.hash = hrefOf(given(event.currentTarget));
  };
  return element(
    "form",
    { class: "card filter", role: "search", "aria-label": "Filter jobs", onsubmit: submit, data: {
      key: `filter:${JSON.stringify(which)}`,
    } },
    element(
      "details",
      { open: !matchMedia("(max-width: 760px)").matches }, // there it would be all that is seen
      element("summary", {}, "Filter", isNarrow(which) && [": ", foreign(inWords(which))]),
      element("fieldset", { class: "choices" }, element("legend", {}, "State"), statuses(which)),
      element(
        "div",
        { class: "fields" },
        field(which, "text", "Text in a name or an error", { id: "search", type: "search", maxlength: 200 }),
        field(which, "type", "Type"),
        field(which, "subject", "Subject"),
      ),
      moreFilters(which),
      element(
        "div",
        { class: "actions" },
        element("button", { class: "strong" }, "Show"),
        isNarrow(which)
          ? link("#/jobs", "Clear")
          : element("span", { class: "quiet" }, "All that a filter finds can be cancelled, retried or deleted."),
      ),
    ),
  );
}

function statuses(which) {
  const send = (event) => event.currentTarget.form.requestSubmit();
  return STATUSES.map((name) =>
    element(
      "label",
      { class: "choice" },
      element(
        "input",
        { type: "checkbox", name: "status", value: name, checked: which.status.includes(name), onchange: send },
      ),
      badge(name),
    ),
  );
}

function moreFilters(which) {
  const instant = (name, words) =>
    field(which, name, words, { type: "datetime-local", step: 1, value: local(which[name]) });
  return element(
    "details",
    { open: ["owner", "key", "parent", "created_after", "created_before"].some((name) => which[name]) },
    element("summary", {}, "More filters"),
    element(
      "div",
      { class: "fields" },
      field(which, "owner", "Owner"),
      field(which, "key", "Key"),
      field(which, "parent", "Parent (number of a job)", { inputmode: "numeric", pattern: "[0-9]*" }),
      instant("created_after", "Created after"),
      instant("created_before", "Created before"),
    ),
  );
}

function field(which, name, words, properties = {}) {
  return element(
    "label",
    {},
    element("span", {}, words),
    element("input", { name, value: which[name] ?? "", autocomplete: "off", ...properties }),
  );
}

/** Say what a filter asks for, in a line. */
function inWords(which) {
  const others = FIELDS.filter((name) => which[name]).map((name) => `${name.replace("_", " ")} ${which[name]}`);
  return [which.status.join(" or "), ...others].filter(Boolean).join(", ");
}

function given(form_) {
  const read = new FormData(form_);
  const which = { status: read.getAll("status") };
  for (const name of FIELDS) {
    const value = read.get(name)?.trim();
    if (value) which[name] = name.startsWith("created") ? new Date(value).toISOString() : value;
  }
  return which;
}

function local(text) {
  if (!text || Number.isNaN(Date.parse(text))) return "";
  const instant = new Date(text);
  return new Date(instant - instant.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function all(which, again) {
  const buttons = VERBS.map((verb) => button(verb[1], "write", () => steer(which, again, ...verb)));
  return card(
    "All that this filter finds",
    {},
    element("p", { class: "quiet" }, "On every page, not only on this one. They are counted before you are asked."),
    element("div", { class: "actions" }, buttons),
  );
}

async function steer(which, again, verb, words, todo, done) {
  const { jobs } = await post("jobs/bulk", { ...asked(which), verb, dry_run: true });
  if (jobs === 0) return announce(`None of these jobs is in a state ${todo}.`);
  const many = counted(jobs, "job");
  if (!(await confirm(
    `${words.replace(" …", "")} ${many}?`,
    `${many} that this filter finds ${jobs === 1 ? "is" : "are"} in a state ${todo}.`,
    `Yes: ${verb.replace("-", " ")} ${many}`,
  ))) return undefined;
  const told = await post("jobs/bulk", { ...asked(which), verb });
  announce(`${counted(told.jobs, "job")} ${told.jobs === 1 ? "was" : "were"} ${done}.`);
  return again();
}

function asked({ status, type, parent, ...others }) {
  return { ...others, statuses: status, types: type ? [type] : [], parent: parent ? Number(parent) : null };
}
