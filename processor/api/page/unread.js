// How many notifications are unread, in the menu: looked at twice a minute, while the page is seen.

import { get } from "./api.js";
import { pause } from "./live.js";
import { session } from "./session.js";

const MOST = 100;
const SECONDS = 20;

export async function watchUnread() {
  const forever = new AbortController().signal;
  for (;;) {
    if (session() && document.visibilityState === "visible") await showUnread();
    await pause(SECONDS, forever);
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
