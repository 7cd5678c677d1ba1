// The one way to the server: the REST API and its streams, at addresses relative to the page.

import * as json from "./json.js";
import { isOf, remember, session, whoIs } from "./session.js";
import { setClock } from "./times.js";

const ROOT = new URL("api/v1/", document.baseURI);

/** What the server said no to, as it said it: `status` (0: it did not answer), `detail`, `remedy`. */
export class Problem extends Error {
  constructor(status, detail, remedy = "") {
    super(detail);
    Object.assign(this, { status, detail, remedy });
  }
}

export function address(path, query = {}) {
  const url = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) {
      if (one !== "" && one !== null && one !== undefined) url.searchParams.append(name, one);
    }
  }
  return url;
}

export const get = (path, query, signal) => ask("GET", address(path, query), undefined, { signal });
export const post = (path, body, headers) => ask("POST", address(path), body, { headers });
export const put = (path, body) => ask("PUT", address(path), body);
export const patch = (path, body) => ask("PATCH", address(path), body);
export const remove = (path) => ask("DELETE", address(path));

async function ask(method, url, body, { signal, headers = {} } = {}) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const send = () => answered(url, { method, body: text, headers: sent(method, text, headers), signal });
  let answer = await send();
  if (answer.status === 403 && method !== "GET" && (await isRenewed())) answer = await send();
  setClock(answer.headers.get("Date"));
  const said = await read(answer);
  if (answer.ok) return said;
  const retry = answer.headers.get("Retry-After");
  const remedy = [said?.remedy, retry && `Try again in ${retry} s.`].filter(Boolean).join(" ");
  throw new Problem(answer.status, said?.detail ?? `The server answered ${answer.status}.`, remedy);
}

function sent(method, text, headers) {
  const all = { Accept: "application/json", ...headers };
  if (text !== undefined) all["Content-Type"] = "application/json";
  if (session()?.csrf && method !== "GET") all["X-CSRF-Token"] = session().csrf;
  return all;
}

/** Tell whether another tab opened a new session for the same person. Nothing is done in the name of another one. */
async function isRenewed() {
  const [before, now] = [session(), await whoAsks()];
  if (now?.csrf === before?.csrf) return false;
  remember(now);
  if (isOf(before)) return true;
  dispatchEvent(new Event("another-session"));
  const detail = `${whoIs()} is logged in since, in another tab. Nothing was changed.`;
  throw new Problem(403, detail, "Look at it again first.");
}

async function answered(url, request) {
  try {
    return await fetch(url, { ...request, credentials: "same-origin", redirect: "error", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer.", "Is `jobtable serve` running, and is the network there?");
  }
}

async function read(answer) {
  const text = await answer.text();
  try {
    return text === "" ? null : json.read(text);
  } catch {
    return null; // a proxy's own page, perhaps
  }
}

/** Say who asks; null: nobody yet. */
export async function whoAsks() {
  try {
    return await get("session");
  } catch (error) {
    if (error.status === 401) return null;
    throw error;
  }
}

/** Open a session with a token, which is sent in a header, once, and kept nowhere. */
export const logIn = (token) => post("session", undefined, { Authorization: `Bearer ${token}` });

export const logOut = () => remove("session");
