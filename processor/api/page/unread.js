// How many notifications are unread, in the menu: counted when something has changed, every five seconds at most, and
// once a minute all the same, while the page is seen.

import { get } from "./api.js";
import { Bell, pause } from "./live.js";
import { session } from "./session.js";

const MOST = 100;
const SECONDS = 60;
const AT_LEAST = 5;
const bell = new Bell();

/** Say that something has changed: there may be more to read. */
export const changed = () => bell.ring();

export async function watchUnread() {
  const forever = new AbortController().signal;
  for (;;) {
    bell.settle();
    if (session() && document.visibilityState === "visible") await showUnread();
    await pause(AT_LEAST, forever);
    await pause(SECONDS - AT_LEAST, forever, bell);
  }
}

/** Count again and show it; what goes wrong here is said by the view. */
export async function showUnread() {
  const place = document.getElementById("unread");
  if (place === null) return;
  try {
    const found = (await get("notifications", { unread: true, limit: MOST })).items.length;
    place.textContent = found === 0 ? "" : found === MOST ? `${MOST}+` : String(found);
    place.title = found === 0 ? "" : "unread";
  } catch {
    place.textContent = "";
  }
}
