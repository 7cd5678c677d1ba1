// Notifications: what was told when jobs ended, and what of it is unread.

import { get, post } from "../api.js";
import { Changes } from "../changes.js";
import { announce } from "../dialogs.js";
import { element, link, renew } from "../element.js";
import { every } from "../live.js";
import { badge, button, card, empty, foreign, heading, jobLink, table } from "../parts.js";
import { ago, counted } from "../times.js";
import { showUnread } from "../unread.js";

const PACE = 3;

export async function show(place, { query, signal }) {
  const unread = query.get("all") === null;
  const cursor = query.get("cursor");
  const look = async () => draw(
    place,
    unread,
    cursor,
    await get("notifications", { unread, cursor, limit: 50 }, signal),
    look,
  );
  await every(PACE, look, signal, new Changes({ kind: "state" }, signal));
}

function draw(place, unread, cursor, page, again) {
  const readAll = button("Mark all as read", "write", async () => {
    const { marked } = await post("notifications/read");
    announce(`${counted(marked, "notification")} marked as read.`);
    await again();
    await showUnread();
  });
  const tabs = element(
    "nav",
    { class: "tabs", "aria-label": "Which notifications" },
    element("a", { href: "#/notifications", "aria-current": unread ? "page" : null }, "Unread"),
    element("a", { href: "#/notifications?all", "aria-current": unread ? null : "page" }, "All"),
  );
  renew(place, heading("Notifications", readAll), tabs, list(unread, cursor, page, again));
}

function list(unread, cursor, page, again) {
  if (page.items.length === 0) return card(
    "Told",
    { quiet: true },
    empty(unread ? "Nothing is unread." : "Nothing was told yet: a notification is written when a job ends."),
  );
  const read = (one) => button("Mark as read", "write", async () => {
    await post(`notifications/${one.id}/read`);
    await again();
    await showUnread();
  }, { class: "small", "aria-label": `Mark notification ${one.id} as read` });
  const columns = [
    ["job", (one) => jobLink({ id: one.job_id, type: one.type })],
    ["state", (one) => badge(one.status, one.reason)],
    ["subject", (one) => foreign(one.subject), "name"],
    ["owner", (one) => foreign(one.owner), "name"],
    ["message", (one) => element("span", { class: "clip" }, foreign(one.message))],
    ["told", (one) => ago(one.created_at)],
    ["", (one) => (one.read_at ? element("span", { class: "quiet" }, "read") : read(one))],
  ];
  const base = unread ? "#/notifications?" : "#/notifications?all&";
  const turn = page.next && link(`${base}cursor=${encodeURIComponent(page.next)}`, "Older");
  return card(
    "Told",
    { quiet: true },
    table("Notifications, newest first", columns, page.items, (one) => one.id),
    element("nav", { class: "turn", "aria-label": "Pages" }, cursor && link(base.slice(0, -1), "Newest"), turn),
  );
}
