// Types: what limits them, how long their jobs ran and waited, and pausing one on every processor.

import { get, patch, post } from "../api.js";
import { Changes } from "../changes.js";
import { announce, open } from "../dialogs.js";
import { element, link, renew } from "../element.js";
import { every } from "../live.js";
import { button, card, empty, foreign, heading, problem, spread, table } from "../parts.js";
import { ago, number } from "../times.js";

const PACE = 3;
const WINDOW = 86400;

export async function show(place, { signal }) {
  const look = async () => {
    const [types, sums] = await Promise.all([get("types", {}, signal), get("statistics", { seconds: WINDOW }, signal)]);
    draw(place, types.items, sums, look);
  };
  await every(PACE, look, signal, new Changes({ kind: "state" }, signal));
}

function draw(place, types, sums, again) {
  renew(place, heading("Types"), list(types, sums, again));
}

function list(types, sums, again) {
  if (types.length === 0) return card(
    "Types",
    { quiet: true },
    empty(
      "No type is known: none is configured for this server, and no processor is alive. A ",
      element("code", {}, "[types.NAME]"),
      " table in jobtable.toml makes one.",
    ),
  );
  const of = (type) => sums.counts[type.name] ?? {};
  const count = (status) => (type) => (of(type)[status] ? link(
    `#/jobs?status=${status}&type=${encodeURIComponent(type.name)}`,
    number(of(type)[status]),
  ) : "0");
  const waits = (type) => number(
    ["pending", "scheduled", "waiting", "paused"].reduce((sum, status) => sum + (of(type)[status] ?? 0), 0),
  );
  const columns = [
    ["type", (type) => link(`#/jobs?type=${encodeURIComponent(type.name)}`, foreign(type.name))],
    ["state", state],
    ["running", count("running"), "figure"],
    ["waiting", waits, "figure"],
    ["failed", count("failed"), "figure"],
    ["ran", (type) => spread(sums.times_of[type.name]?.ran)],
    ["waited", (type) => spread(sums.times_of[type.name]?.waited)],
    ["limits", (type) => limits(type)],
    ["", (type) => actions(type, again)],
  ];
  const words = "Of the last day; ran and waited are p50 · p95 · p99. Limits hold on all processors together.";
  return card(
    "Types",
    { quiet: true },
    element("p", { class: "quiet" }, words),
    table("Types", columns, types, (type) => type.name),
  );
}

function state(type) {
  if (type.paused) return element(
    "span",
    { class: "badge paused" },
    "‖ paused",
    type.paused_until && [" until ", ago(type.paused_until)],
  );
  if (!type.handled) return element("span", { class: "badge waiting" }, "nobody runs it");
  return element("span", { class: "badge completed" }, "runs");
}

function limits(type) {
  const said = [
    type.max_concurrent !== null && `${type.max_concurrent} at once`,
    type.rate && type.rate,
    type.queue_limit !== null && `${number(type.queue_limit)} may wait`,
  ].filter(Boolean);
  if (said.length === 0) return "none";
  return element("span", {}, said.map((one, place) => [
    place > 0 && " ",
    element("span", { class: "one" }, one, place < said.length - 1 && ","),
  ]));
}

function actions(type, again) {
  const steer = (verb, words) => async () => {
    await post(`types/${encodeURIComponent(type.name)}/${verb}`);
    announce(`${type.name} is ${words}.`);
    await again();
  };
  const turn = type.paused
    ? button("Resume", "admin", steer("resume", "resumed"), { class: "small", "aria-label": `Resume ${type.name}` })
    : button(
      "Pause",
      "admin",
      steer("pause", "paused on every processor; what runs goes on"),
      { class: "small", "aria-label": `Pause ${type.name}` },
    );
  const limit = button(
    "Limits …",
    "admin",
    () => ask(type, again),
    { class: "small", "aria-label": `Limits of ${type.name}` },
  );
  return element("div", { class: "actions" }, turn, limit);
}

/** Read the limits that were changed: the others stay with each configuration, or as they were set. */
function changed(type, read) {
  const most = read.get("max_concurrent");
  const given = { max_concurrent: most === "" ? null : Number(most), rate: read.get("rate").trim() || null };
  return Object.fromEntries(Object.entries(given).filter(([name, value]) => value !== type[name]));
}

function ask(type, again) {
  const said = element("div");
  const field = (name, words, value, properties) => element(
    "label",
    {},
    element("span", {}, words),
    element("input", { name, value: value ?? "", ...properties }),
  );
  const submit = async (event) => {
    event.preventDefault();
    const limits = changed(type, new FormData(event.currentTarget));
    try {
      await patch(`types/${encodeURIComponent(type.name)}`, limits);
    } catch (error) {
      renew(said, problem(error));
      return;
    }
    dialog.close();
    announce(`The limits of ${type.name} hold from now on.`);
    await again();
  };
  const form = element(
    "form",
    { onsubmit: submit },
    field(
      "max_concurrent",
      "At once, on all processors",
      type.max_concurrent,
      { type: "number", min: 0, max: 1000000 },
    ),
    field(
      "rate",
      'Starts in a time, such as 10/min, or "unlimited"',
      type.rate,
      { maxlength: 50, autocomplete: "off" },
    ),
    element("p", { class: "quiet" }, "Empty: as each processor's configuration says."),
    said,
    element(
      "div",
      { class: "actions" },
      element("button", { type: "button", onclick: () => dialog.close() }, "Leave it"),
      element("button", { class: "strong" }, "Set"),
    ),
  );
  const dialog = open(`Limits of ${type.name}`, form);
}
