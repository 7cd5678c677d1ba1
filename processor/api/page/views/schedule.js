// One schedule: a form that makes it or changes it.

import { get, put } from "../api.js";
import { announce } from "../dialogs.js";
import { element, link } from "../element.js";
import {
  checkbox, field, holdsMasked, jsonField, numberOf, pair, readJson, select, sends, typeField,
} from "../forms.js";
import { heading } from "../parts.js";

export async function show(place, { params, signal }) {
  const name = params[0] === "new" ? null : decodeURIComponent(params[0].replace("edit/", ""));
  const [types, there] = await Promise.all([
    get("types", {}, signal),
    name === null ? {} : get(`schedules/${encodeURIComponent(name)}`, {}, signal),
  ]);
  place.replaceChildren(heading(name === null ? "New schedule" : `Schedule ${name}`), form(name, there, types.items));
}

function form(name, there, types) {
  const submit = sends(async (read) => {
    const wanted = name ?? read.get("name").trim();
    await put(`schedules/${encodeURIComponent(wanted)}`, given(read));
    announce(`${wanted} is written; processors follow within five seconds.`);
    location.hash = "#/schedules";
  });
  return element(
    "form",
    { class: "card form", onsubmit: submit },
    name === null && field(
      "name",
      "Name",
      { required: true, pattern: "[A-Za-z0-9][A-Za-z0-9_.:\\-]{0,99}", help: "Letters, digits and _ . : -" },
    ),
    typeField(types, there.type),
    pair(
      field("cron", "Cron", { value: there.cron, help: "Five fields, six with seconds in front, or @daily." }),
      field("time_zone", "Time zone", { value: there.time_zone ?? "UTC", help: "In which the cron is read." }),
    ),
    field(
      "every_seconds",
      "Or an interval in seconds",
      { type: "number", min: 1, step: "any", value: there.every_seconds },
    ),
    jsonField(
      "payload",
      "Payload (JSON)",
      there.payload ?? {},
      holdsMasked(there.payload) && 'Fields that are masked here hold "***": write them anew with any change.',
    ),
    element(
      "details",
      { open: Boolean(there.owner || there.subject || there.jitter_seconds || there.skip_if_running) },
      element("summary", {}, "More"),
      pair(field("owner", "Owner", { value: there.owner }), field("subject", "Subject", { value: there.subject })),
      pair(
        field("priority", "Priority", { type: "number", value: there.priority ?? 5 }),
        field(
          "jitter_seconds",
          "Jitter in seconds",
          { type: "number", min: 0, step: "any", value: there.jitter_seconds ?? 0 },
        ),
      ),
      select("catch_up", "Firings that were missed", ["none", "once", "all"], there.catch_up ?? "once"),
      checkbox("skip_if_running", "Leave out a firing while its last job is not over", there.skip_if_running),
    ),
    element("div", { class: "said" }),
    element(
      "div",
      { class: "actions" },
      element("button", { class: "strong" }, name === null ? "Make the schedule" : "Change it"),
      link("#/schedules", "Leave it"),
    ),
  );
}

function given(read) {
  const text = (name) => read.get(name).trim() || null;
  return {
    type: read.get("type").trim(),
    payload: readJson(read.get("payload")),
    cron: text("cron"),
    every_seconds: numberOf(read.get("every_seconds")),
    time_zone: text("time_zone") ?? "UTC",
    priority: numberOf(read.get("priority")) ?? 5,
    owner: text("owner"),
    subject: text("subject"),
    jitter_seconds: numberOf(read.get("jitter_seconds")) ?? 0,
    catch_up: read.get("catch_up"),
    skip_if_running: read.get("skip_if_running") !== null,
  };
}
