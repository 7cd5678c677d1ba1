// Create a job from a form: the payload is checked as JSON before it is sent, and what the server says of a field is
// shown beside it. `?replay=42` fills the form with what job 42 was made of.

import { get, post } from "../api.js";
import { announce } from "../dialogs.js";
import { element, link } from "../element.js";
import {
  field, holdsMasked, instant, jsonField, numberOf, pair, readJson, sends, typeField,
} from "../forms.js";
import { heading } from "../parts.js";
import { session } from "../session.js";

const TEXTS = ["owner", "key", "subject", "concurrency_key", "on_complete", "on_failure"];
const NUMBERS = ["priority", "delay_seconds", "max_attempts", "timeout_seconds", "parent_id"];

export async function show(place, { query, signal }) {
  const replayed = /^\d{1,16}$/.test(query.get("replay") ?? "") ? query.get("replay") : null;
  const [types, old] = await Promise.all(
    [get("types", {}, signal), replayed ? get(`jobs/${replayed}`, {}, signal) : {}],
  );
  const title = replayed ? `Replay job ${replayed} as new` : "Create a job";
  place.replaceChildren(
    heading(title),
    form(old, types.items, query),
  );
}

function form(old, types, query) {
  const submit = sends(async (read) => {
    const made = await post("jobs", given(read));
    announce(made.new ? `Job ${made.id} is there.` : `Job ${made.id} of the same work is there already.`);
    location.hash = `#/jobs/${made.id}`;
  });
  const owner = session().all_owners
    ? field("owner", "Owner", { value: old.owner })
    : element("p", { class: "quiet" }, "It belongs to ", element("bdi", {}, session().owner), ".");
  return element(
    "form",
    { class: "card form", onsubmit: submit },
    typeField(types, old.type ?? query.get("type")),
    jsonField(
      "payload",
      "Payload (JSON)",
      old.payload ?? {},
      holdsMasked(old.payload) && 'Fields that are masked here hold "***": write them anew.',
    ),
    pair(
      field("subject", "Subject", { value: old.subject, help: "What it is about, such as chapter:123." }),
      field(
        "priority",
        "Priority",
        { type: "number", min: -32767, max: 32767, value: old.priority ?? 5, help: "Higher runs first." },
      ),
    ),
    pair(owner, field("delay_seconds", "Wait before it may run, in seconds", { type: "number", min: 0, step: "any" })),
    element(
      "details",
      {},
      element("summary", {}, "More"),
      field("key", "Key", { help: "Your identity for the work: an equal one is not done twice." }),
      field("concurrency_key", "Lane", { value: old.concurrency_key, help: "Those of a lane run one at a time." }),
      pair(
        field("max_attempts", "Attempts at most", { type: "number", min: 1, value: old.max_attempts }),
        field(
          "timeout_seconds",
          "Time limit in seconds",
          { type: "number", min: 0.001, step: "any", value: old.timeout_seconds },
        ),
      ),
      pair(instant("run_at", "Not before"), instant("expires_at", "Too late to start after")),
      pair(
        field("on_complete", "Type that follows when it completes", { value: old.on_complete }),
        field("on_failure", "Type that follows when it fails", { value: old.on_failure }),
      ),
      field("parent_id", "Parent (number of a job that waits for it)", { type: "number", min: 1 }),
    ),
    element("div", { class: "said" }),
    element(
      "div",
      { class: "actions" },
      element("button", { class: "strong" }, "Create the job"),
      link("#/jobs", "Leave it"),
    ),
  );
}

function given(read) {
  const job = { type: read.get("type").trim(), payload: readJson(read.get("payload")) };
  for (const name of TEXTS) if (read.get(name)?.trim()) job[name] = read.get(name).trim();
  for (const name of NUMBERS) if (numberOf(read.get(name)) !== null) job[name] = numberOf(read.get(name));
  for (const name of ["run_at", "expires_at"]) if (read.get(name)) job[name] = new Date(read.get(name)).toISOString();
  return job;
}
