// Who asks, and what they may: what the server said of it, for the words and buttons of the page. The server decides.

let current = null;

export function remember(session) {
  current = session;
}

export const session = () => current;

/** Tell whether who asks is the person of another session, with the same rights. */
export function isOf(other) {
  const rights = (one) => one && JSON.stringify([one.owner, one.all_owners, one.scopes, one.read_only, one.is_open]);
  return rights(current) === rights(other);
}

/** Say why something cannot be done here, or null where it can. */
export function whyNot(scope) {
  if (!current?.scopes.includes(scope) && !current?.scopes.includes("admin")) {
    return `Your token may not do this: it lacks the scope ${scope}.`;
  }
  return scope !== "read" && current.read_only ? "This server only reads." : null;
}

/** Say who is asking, in a few words. */
export function whoIs() {
  if (current === null) return "nobody is logged in";
  if (current.is_open) return "open to this machine";
  return current.all_owners ? "all owners" : current.owner;
}
