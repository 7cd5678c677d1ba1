// Pieces that every view is made of: badges, buttons, tables, and the words of each state.

import { element, link } from "./element.js";
import { whyNot } from "./session.js";
import { announce, complain } from "./dialogs.js";
import { number, span } from "./times.js";

const LONG = 20_000;
const MARKS = {
  pending: "○", scheduled: "◷", waiting: "…", paused: "‖", running: "▶", completed: "✓", failed: "✕", cancelled: "⊘",
};
export const STATUSES = Object.keys(MARKS);
export const FINAL = ["completed", "failed", "cancelled"];

export function badge(status, reason) {
  const mark = element("span", { "aria-hidden": "true" }, MARKS[status] ?? "•");
  const shown = reason && reason !== "done" ? element("span", { class: "reason" }, reason) : null;
  return element("span", { class: `badge ${status}` }, mark, " ", status, shown && " · ", shown);
}

/** Text of others: in its own direction, apart from what stands around it; where there is none, a dash. */
export const foreign = (text) => (text ? element("bdi", {}, text) : element("span", { class: "none" }, "–"));

export function heading(title, ...beside) {
  return element("div", { class: "heading" }, element("h1", {}, title), element("div", { class: "beside" }, ...beside));
}

export function card(title, properties, ...children) {
  return element(
    "section",
    { class: `card ${properties?.class ?? ""}`, data: { key: `card:${title}` } },
    element("h2", { class: properties?.quiet ? "unseen" : null }, title),
    ...children,
  );
}

export const loading = (words = "Loading …") => element("p", { class: "state" }, words);
export const empty = (...words) => element("p", { class: "state" }, ...words);

/** Say what went wrong and what to do. */
export function problem(error, again) {
  const text = error.detail ?? `The page met an error of its own: ${error.message}`;
  const remedy = error.detail === undefined ? "Reload it; tell us if it comes again." : error.remedy;
  return element(
    "div",
    { class: "problem", role: "alert" },
    element("p", {}, element("strong", {}, title(error.status)), " ", foreign(text)),
    remedy ? element("p", {}, advice(remedy)) : null,
    again ? element("button", { type: "button", onclick: again }, "Try again") : null,
  );
}

/** What the server advises; the lists of the API that it names are views here. */
export function advice(remedy) {
  const parts = remedy.split(/GET \/api\/v1\/(jobs|types|schedules|processors)\b/);
  return element("bdi", {}, parts.map((part, place) => (place % 2 ? link(`#/${part}`, `all ${part}`) : part)));
}

function title(status) {
  const words = {
    0: "Disconnected.",
    401: "Not logged in.",
    403: "Not allowed.",
    404: "Not found.",
    409: "Not now.",
    422: "Not valid.",
    429: "Too much.",
  };
  return words[status] ?? "Error.";
}

/** A button that says why it does nothing where it may not; `work` may be slow, and may fail. */
export function button(words, scope, work, properties = {}) {
  const why = scope ? whyNot(scope) : null;
  const click = async (event) => {
    const pressed = event.currentTarget;
    if (why) return announce(why, "bad");
    if (pressed.getAttribute("aria-busy") === "true") return undefined;
    pressed.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      complain(error);
    } finally {
      pressed.removeAttribute("aria-busy");
    }
    return undefined;
  };
  return element(
    "button",
    { type: "button", onclick: click, "aria-disabled": why ? "true" : null, title: why, ...properties },
    words,
  );
}

/** A table whose rows become cards on a narrow screen: each cell knows the name of its column. */
export function table(label, columns, rows, keyOf) {
  const head = columns.map(
    ([name, , kind]) => element(
      "th",
      { scope: "col", role: "columnheader", class: kind },
      name || element("span", { class: "unseen" }, "actions"),
    ),
  );
  const body = rows.map((row) =>
    element(
      "tr",
      { role: "row", data: { key: `row:${keyOf(row)}` } },
      columns.map(
        ([name, show, kind]) => element("td", { role: "cell", class: kind, data: { label: name } }, show(row)),
      ),
    ),
  );
  return element(
    "table", // narrow screens show its parts as blocks, which takes their roles from them: they say them again
    { "aria-label": label, role: "table" },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, head)),
    element("tbody", { role: "rowgroup" }, body),
  );
}

export function progress(job) {
  if (job.progress === null) return null;
  const words = `${Math.round(job.progress)} %`;
  return element(
    "span",
    { class: "progress" },
    element("progress", { max: 100, value: job.progress, "aria-label": `progress of job ${job.id}` }, words),
    element("span", { class: "figure" }, words),
  );
}

export function jobLink(job) {
  return element(
    "span",
    { class: "job" },
    link(`#/jobs/${job.id}`, element("span", { class: "id" }, `#${job.id}`), " ", foreign(job.type)),
  );
}

/** Pairs of a name and what it is; what is null is left out. */
export function facts(pairs) {
  const there = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element(
    "dl",
    { class: "facts" },
    there.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}

/** JSON or any text of others, as text; what is very long is cut, and shown whole when asked. */
export function text(value, label) {
  const whole = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const pre = (shown) => element(
    "pre",
    { tabindex: 0, role: "region", "aria-label": label, data: { key: `pre:${label}` } },
    shown,
  );
  if (whole.length <= LONG) return pre(whole);
  const place = element("div", { data: { keep: "" } }, pre(whole.slice(0, LONG)));
  const rest = `Show all of it (${number(whole.length)} letters)`;
  place.append(element("button", { type: "button", onclick: () => place.replaceChildren(pre(whole)) }, rest));
  return place;
}

export function spread(spread_) {
  if (!spread_) return "–";
  return element(
    "span",
    { class: "figure", title: `p50 ${span(spread_.p50)}, p95 ${span(spread_.p95)}, p99 ${span(spread_.p99)}` },
    [spread_.p50, spread_.p95, spread_.p99].map(
      (seconds, place) => [place > 0 && " ", element("span", { class: "one" }, place > 0 && "· ", span(seconds))],
    ),
  );
}
