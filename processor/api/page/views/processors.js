// Processors: who is alive, what each runs, and letting one end when its jobs are done.

import { get, post } from "../api.js";
import { announce, confirm } from "../dialogs.js";
import { element, renew } from "../element.js";
import { every } from "../live.js";
import { button, card, empty, foreign, heading, table } from "../parts.js";
import { ago, span } from "../times.js";

const PACE = 3; // heartbeats are no changes that jobs tell

export async function show(place, { query, signal }) {
  const everyone = query.get("all") !== null;
  await every(PACE, async () => draw(place, everyone, (await get("processors", { everyone }, signal)).items), signal);
}

function draw(place, everyone, items) {
  const tabs = element(
    "nav",
    { class: "tabs", "aria-label": "Which processors" },
    element("a", { href: "#/processors", "aria-current": everyone ? null : "page" }, "Alive"),
    element("a", { href: "#/processors?all", "aria-current": everyone ? "page" : null }, "Also those that ended"),
  );
  renew(place, heading("Processors"), tabs, list(items));
}

function list(items) {
  if (items.length === 0) return card(
    "Processors",
    { quiet: true },
    empty("No processor is alive, so nothing runs. Start one: ", element("code", {}, "jobtable run")),
  );
  const columns = [
    ["name", (one) => element("span", { title: one.id }, foreign(one.name))],
    ["state", (one) => state(one)],
    ["running", (one) => `${one.running} of ${one.max_concurrent}`, "figure"],
    ["types", (one) => element("span", { class: "clip" }, foreign(one.types.join(", ")))],
    ["host", (one) => foreign(`${one.host} · ${one.pid}`)],
    ["heartbeat", (one) => (one.ended_at ? "–" : `${span(Math.max(0, one.beat_age_seconds))} ago`), "figure"],
    ["started", (one) => ago(one.started_at)],
    ["version", (one) => foreign(one.version)],
    [
      "",
      (one) => one.status === "live" && button(
        "Drain …",
        "admin",
        () => drain(one),
        { class: "small", "aria-label": `Drain ${one.name}` },
      ),
    ],
  ];
  return card("Processors", { quiet: true }, table("Processors", columns, items, (one) => one.id));
}

function state(one) {
  if (one.ended_at) return element(
    "span",
    { class: "badge cancelled" },
    "ended",
    one.ended_by ? ` · ${one.ended_by}` : "",
  );
  if (one.lease_over) return element("span", { class: "badge failed" }, "lease is over");
  return element("span", { class: `badge ${one.status === "live" ? "running" : "waiting"}` }, one.status);
}

async function drain(one) {
  const words = `${one.name} takes no more jobs, ends those that run, and stops. Nothing here starts it again.`;
  if (!(await confirm("Drain this processor?", words, "Drain it"))) return;
  await post(`processors/${encodeURIComponent(one.id)}/drain`);
  announce(`${one.name} was asked to stop; its next heartbeat hears it.`);
}
