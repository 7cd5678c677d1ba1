// Cleans up what has ended: completed, failed or all of it, as old as is wanted, after counting it.

import { post } from "./api.js";
import { announce, confirm } from "./dialogs.js";
import { element } from "./element.js";
import { button, card } from "./parts.js";
import { counted } from "./times.js";

const WHICH = [["completed", "completed"], ["failed", "failed"], ["all", "all that ended, also cancelled"]];
const AGES = [["", "any age"], [3600, "an hour"], [86400, "a day"], [604800, "a week"], [2592000, "30 days"]];

/** What cleans up; `again` shows what is left. */
export function cleanup(again) {
  const chosen = (id) => document.getElementById(id).value;
  return card(
    "Clean up what has ended",
    {},
    element(
      "div",
      { class: "fields" },
      choice("cleanup-which", "Jobs that are", WHICH),
      choice("cleanup-age", "Created longer ago than", AGES),
    ),
    element(
      "div",
      { class: "actions" },
      button("Clean up …", "write", () => ask(chosen("cleanup-which"), chosen("cleanup-age"), again)),
      element("span", { class: "quiet" }, "They are counted before you are asked."),
    ),
  );
}

function choice(id, words, choices) {
  const options = choices.map(([value, name]) => element("option", { value }, name));
  return element("div", { class: "field" }, element("label", { for: id }, words), element("select", { id }, options));
}

async function ask(which, age, again) {
  const wanted = { which, older_than_seconds: age === "" ? null : Number(age) };
  const { jobs } = await post("jobs/cleanup", { ...wanted, dry_run: true });
  if (jobs === 0) return announce("No job is like that, so there is nothing to clean up.");
  const many = counted(jobs, "job");
  const words = "With their events, errors and notifications. Nothing brings them back.";
  if (!(await confirm(`Delete ${many}?`, words, `Yes: delete ${many}`))) return undefined;
  const told = await post("jobs/cleanup", wanted);
  announce(`${counted(told.jobs, "job")} ${told.jobs === 1 ? "was" : "were"} deleted.`);
  return again();
}
