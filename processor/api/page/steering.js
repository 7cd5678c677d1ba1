// What can be done with one job, as its state allows it.

import { patch, post, remove } from "./api.js";
import { announce, complain, confirm, open } from "./dialogs.js";
import { element } from "./element.js";
import { FINAL, button } from "./parts.js";
import { now } from "./times.js";

/**
 * The buttons of a job; `again` shows what became of it. None takes the place of another when the state changes: who is
 * about to cancel what has just ended meets a form, and no retry.
 */
export function actions(job, again) {
  const ends = FINAL.includes(job.status);
  const steer = (verb, words) => async () => {
    await post(`jobs/${job.id}/${verb}`);
    announce(`Job ${job.id} ${words}.`);
    await again();
  };
  const waits = ["pending", "scheduled", "waiting"].includes(job.status);
  const ahead = job.run_at !== null && new Date(job.run_at) > now();
  const later = job.status === "scheduled" || (job.status === "pending" && ahead);
  return element(
    "div",
    { class: "actions", role: "group", "aria-label": "What can be done with it" },
    !ends && action("Cancel", steer("cancel", job.status === "running" ? "was asked to stop" : "is cancelled")),
    waits && action("Pause", steer("pause", "is paused")),
    job.status === "paused" && action("Resume", steer("resume", "goes on")),
    later && action("Run now", steer("run-now", "may run now")),
    !ends && action("Priority …", () => prioritise(job, again)),
    element("a", { class: "button", href: `#/create?replay=${job.id}`, data: { key: "replay" } }, "Replay as new"),
    ends && action("Retry", steer("retry", "is put back as new")),
    job.status !== "running" && action("Delete …", () => drop(job)),
  );
}

const action = (words, work) => button(words, "write", work, { data: { key: words } });

function prioritise(job, again) {
  const field = element(
    "input",
    { type: "number", id: "priority", min: -32767, max: 32767, step: 1, required: true, value: job.priority },
  );
  const submit = async (event) => {
    event.preventDefault();
    dialog.close();
    try {
      await patch(`jobs/${job.id}`, { priority: Number(field.value) });
      announce(`Job ${job.id} has priority ${field.value}.`);
      await again();
    } catch (error) {
      complain(error);
    }
  };
  const form = element(
    "form",
    { onsubmit: submit },
    element("label", { for: "priority" }, "Higher runs first; 5 is usual"),
    field,
    element(
      "div",
      { class: "actions" },
      element("button", { type: "button", onclick: () => dialog.close() }, "Leave it"),
      element("button", { class: "strong" }, "Set"),
    ),
  );
  const dialog = open(`Priority of job ${job.id}`, form);
}

async function drop(job) {
  if (!(await confirm(
    `Delete job ${job.id}?`,
    "With its events, errors and notifications. Nothing brings it back.",
    "Delete it",
  ))) return;
  await remove(`jobs/${job.id}`);
  announce(`Job ${job.id} was deleted.`);
  location.hash = "#/jobs";
}
