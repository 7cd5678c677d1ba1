// The one way to the server: the REST API and its streams, at addresses relative to the page.

const ROOT = new URL("api/v1/", document.baseURI);
let csrf = null;

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
  const sent = { Accept: "application/json", ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  if (csrf !== null && method !== "GET") sent["X-CSRF-Token"] = csrf;
  const answer = await answered(
    url,
    { method, body: body === undefined ? undefined : JSON.stringify(body), headers: sent, signal },
  );
  const said = await read(answer);
  if (answer.ok) return said;
  const retry = answer.headers.get("Retry-After");
  const remedy = [said?.remedy, retry && `Try again in ${retry} s.`].filter(Boolean).join(" ");
  throw new Problem(answer.status, said?.detail ?? `The server answered ${answer.status}.`, remedy);
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
    return text === "" ? null : JSON.parse(text);
  } catch {
    return null; // a proxy's own page, perhaps
  }
}

/** Say who asks; null: nobody yet. */
export async function whoAsks() {
  try {
    const session = await get("session");
    csrf = session.csrf;
    return session;
  } catch (error) {
    if (error.status === 401) return null;
    throw error;
  }
}

/** Open a session with a token, which is sent in a header, once, and kept nowhere. */
export async function logIn(token) {
  const session = await post("session", undefined, { Authorization: `Bearer ${token}` });
  csrf = session.csrf;
  return session;
}

export async function logOut() {
  await remove("session");
  csrf = null;
}
