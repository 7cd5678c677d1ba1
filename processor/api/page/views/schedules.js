// Schedules: when each fires next, its latest job; pause, resume, fire now, change, delete.

import { get, post, remove } from "../api.js";
import { Changes } from "../changes.js";
import { announce, confirm } from "../dialogs.js";
import { element, link, renew } from "../element.js";
import { every } from "../live.js";
import { badge, button, card, empty, foreign, heading, table } from "../parts.js";
import { ago, span, time } from "../times.js";

const PACE = 3;

export async function show(place, { signal }) {
  const look = async () => {
    const { items } = await get("schedules", {}, signal);
    draw(place, items, look);
    return items.some(isUnplanned) ? PACE : null; // a processor plans it soon, and tells nobody
  };
  await every(PACE, look, signal, new Changes({ kind: "state" }, signal));
}

const isUnplanned = (one) => !one.paused && !one.error && one.upcoming.length === 0;

function draw(place, items, again) {
  renew(
    place,
    heading("Schedules", element("a", { class: "button", href: "#/schedules/new" }, "New schedule")),
    list(items, again),
  );
}

function list(items, again) {
  if (items.length === 0) return card(
    "Schedules",
    { quiet: true },
    empty(
      "There is no schedule. ",
      link("#/schedules/new", "Make one"),
      ", or write ",
      element("code", {}, "[schedules.NAME]"),
      " into jobtable.toml.",
    ),
  );
  const columns = [
    ["name", (one) => link(`#/schedules/edit/${encodeURIComponent(one.name)}`, foreign(one.name))],
    ["type", (one) => foreign(one.type)],
    ["when", (one) => when(one)],
    ["next firings", (one) => next(one)],
    [
      "latest job",
      (one) => (one.last_job_id ? element(
        "span",
        {},
        link(`#/jobs/${one.last_job_id}`, `#${one.last_job_id}`),
        " ",
        one.last_job_status && badge(one.last_job_status),
        " ",
        ago(one.last_at),
      ) : "none yet"),
    ],
    ["", (one) => actions(one, again)],
  ];
  return card("Schedules", { quiet: true }, table("Schedules", columns, items, (one) => one.name));
}

function when(one) {
  const text = one.cron ?? `every ${span(one.every_seconds)}`;
  return element("span", {}, element("code", {}, text), one.cron && one.time_zone !== "UTC" ? ` ${one.time_zone}` : "");
}

function next(one) {
  if (one.error) return element("span", { class: "warning" }, foreign(one.error));
  if (one.paused) return element("span", { class: "badge paused" }, "‖ paused");
  if (!one.upcoming.length) return one.next_at ? time(one.next_at) : "not planned yet: a processor does it";
  return element(
    "ul",
    { class: "plain" },
    one.upcoming.map(
      (instant, place) => element(
        "li",
        {},
        time(instant, { clock: one.every_seconds !== null && one.every_seconds < 3600 }),
        place === 0 && [" · ", ago(instant)],
      ),
    ),
  );
}

function actions(one, again) {
  const at = `schedules/${encodeURIComponent(one.name)}`;
  const steer = (verb, words) => async () => {
    await post(`${at}/${verb}`);
    announce(`${one.name} ${words}.`);
    await again();
  };
  const fire = async () => {
    const { id } = await post(`${at}/fire`);
    announce(`${one.name} made job ${id}.`);
    await again();
  };
  const drop = async () => {
    const comesBack = "It is of a configuration, and comes back with the next start of its processor.";
    const words = one.source ? comesBack : "Its jobs stay.";
    if (!(await confirm(`Delete the schedule ${one.name}?`, words, "Delete it"))) return;
    await remove(at);
    announce(`${one.name} was deleted.`);
    await again();
  };
  const named = (verb) => ({ class: "small", "aria-label": `${verb} ${one.name}` });
  return element(
    "div",
    { class: "actions" },
    button("Fire now", "admin", fire, named("Fire")),
    one.paused ? button("Resume", "admin", steer("resume", "fires again"), named("Resume")) : button(
      "Pause",
      "admin",
      steer("pause", "fires no more until it is resumed"),
      named("Pause"),
    ),
    button("Delete …", "admin", drop, named("Delete")),
  );
}
