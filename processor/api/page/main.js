// The beginning: finds out who asks, draws the head of the page, and shows the view that the address names.
//
//   #/jobs/42?…  ->  route  ->  views/job.js  ->  its `show(place, { params, query, signal })`
//
// A view is left by aborting its signal; everything that it started hangs on that.

import { Problem, logOut, whoAsks } from "./api.js";
import { complain } from "./dialogs.js";
import { element, link, renew } from "./element.js";
import { help, listen } from "./keys.js";
import { showUnread, watchUnread } from "./unread.js";
import { empty, heading, loading, problem } from "./parts.js";
import { isOf, remember, session, whoIs, whyNot } from "./session.js";
import { goBy } from "./times.js";
import * as create from "./views/create.js";
import * as job from "./views/job.js";
import * as jobs from "./views/jobs.js";
import * as login from "./views/login.js";
import * as notifications from "./views/notifications.js";
import * as overview from "./views/overview.js";
import * as processors from "./views/processors.js";
import * as schedule from "./views/schedule.js";
import * as schedules from "./views/schedules.js";
import * as types from "./views/types.js";

const VIEWS = [
  [/^\/$/, overview, "Overview", "read"],
  [/^\/jobs$/, jobs, "Jobs", "read"],
  [/^\/jobs\/(\d{1,16})$/, job, "Job", "read"],
  [/^\/types$/, types, "Types", "read"],
  [/^\/schedules$/, schedules, "Schedules", "admin"],
  [/^\/schedules\/(new|edit\/[^/]+)$/, schedule, "Schedule", "admin"],
  [/^\/processors$/, processors, "Processors", "admin"],
  [/^\/notifications$/, notifications, "Notifications", "read"],
  [/^\/create$/, create, "Create a job", "write"],
  [/^\/login$/, login, "Log in", null],
];
const MENU = [
  ["#/", "Overview"], ["#/jobs", "Jobs"], ["#/types", "Types"], ["#/schedules", "Schedules"],
  ["#/processors", "Processors"], ["#/notifications", "Notifications"],
];
const tabs = new BroadcastChannel(`jobtable ${new URL(".", document.baseURI).pathname}`);
let leaving = new AbortController();
let first = true;

async function route() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const place = document.getElementById("main");
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  const [path, query] = (location.hash.slice(1) || "/").split("?", 2);
  const [view, title, scope, params] = found(path);
  document.title = `${title} · jobtable`;
  head(path);
  place.replaceChildren(loading());
  if (!first) place.focus({ preventScroll: true });
  if (!first) scrollTo(0, 0);
  first = false;
  try {
    if (session() === null) await enter();
    if (signal.aborted) return;
    if (session() === null && view !== login) {
      await login.show(place, { signal, entered });
      return;
    }
    if (view === null) place.replaceChildren(
      heading(title),
      empty("There is no such page. ", link("#/", "Go to the overview.")),
    );
    else if (scope && !may(scope)) place.replaceChildren(refused(scope));
    else if (scope === "write" && session().read_only) place.replaceChildren(heading(title), empty(whyNot("write")));
    else await view.show(place, { params, query: new URLSearchParams(query), signal, entered });
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    await failed(place, error, title);
  }
}

const may = (scope) => [scope, "admin"].some((one) => session().scopes.includes(one));

function found(path) {
  for (const [pattern, view, title, scope] of VIEWS) {
    const match = pattern.exec(path);
    if (match) return [view, title, scope, match.slice(1)];
  }
  return [null, "No such page", null, []];
}

async function enter() {
  remember(await whoAsks());
  head();
  if (session() !== null) showUnread();
}

/** Somebody has logged in. */
function entered(who) {
  remember(who);
  tabs.postMessage("another session");
  head();
  showUnread();
  if (location.hash === "#/login") location.hash = "#/";
  else route();
}

async function failed(place, error, title) {
  if (error.status === 401) {
    remember(null);
    head();
    await login.show(
      place,
      { signal: leaving.signal, entered, why: "Your session has ended, or its token was revoked." },
    );
    return;
  }
  if (!(error instanceof Problem)) console.error(error);
  place.replaceChildren(heading(title), problem(error, route));
}

function refused(scope) {
  return element(
    "div",
    { class: "state" },
    element("h1", {}, "No permission"),
    element(
      "p",
      {},
      `This view is for tokens with the scope ${scope}. Yours has: ${session().scopes.join(", ") || "none"}.`,
    ),
    element(
      "p",
      {},
      "Whoever runs this server can make one: ",
      element("code", {}, `jobtable token create --scope ${scope}`),
    ),
  );
}

function head(path = (location.hash.slice(1) || "/").split("?")[0]) {
  const here = (href) => (href === "#/" ? path === "/" : path.startsWith(href.slice(1)));
  const shown = MENU.filter(
    ([href]) => session()?.scopes.includes("admin") || !["#/schedules", "#/processors"].includes(href),
  );
  const items = shown.map(([href, words]) =>
    element(
      "li",
      {},
      element(
        "a",
        { href, "aria-current": here(href) ? "page" : null },
        words,
        href === "#/notifications" && element("span", { id: "unread", data: { keep: "" } }),
      ),
    ),
  );
  renew(
    document.getElementById("top"),
    element(
      "a",
      { class: "brand", href: "#/" },
      element("img", { src: new URL("icon.svg", import.meta.url), alt: "", width: 24, height: 24 }),
      "jobtable",
    ),
    session() && element("nav", { "aria-label": "Views" }, element("ul", {}, items)),
    element(
      "div",
      { class: "who" },
      element("span", { id: "live", title: "What changes is shown at once", data: { keep: "" } }),
      session()?.read_only && element("span", { class: "pill" }, "read-only"),
      session() && person(),
      ...tools(),
    ),
  );
}

function person() {
  const name = element(
    "span",
    { class: "person", title: `scopes: ${session().scopes.join(", ")}` },
    element("bdi", {}, whoIs()),
  );
  return session().csrf ? [
    name,
    element("button", { type: "button", class: "quiet", onclick: leave }, "Log out"),
  ] : [name];
}

async function leave() {
  try {
    await logOut();
  } catch (error) {
    complain(error);
    return;
  }
  remember(null);
  tabs.postMessage("another session");
  route();
}

/** Somebody logged in or out in another tab: this one follows, and keeps what was typed where it is the same person. */
async function follow() {
  const before = session();
  await enter().catch(() => remember(null)); // the server is away: what was true of the former person is not shown on
  if (!isOf(before)) route();
}

function tools() {
  return [
    session() && whyNot("write") === null && element("a", { class: "button strong", href: "#/create" }, "Create a job"),
    element(
      "button",
      { type: "button", class: "quiet", "aria-label": "Light or dark", title: "Light or dark", onclick: switchTheme },
      "◐",
    ),
    element("button", { type: "button", class: "quiet", "aria-label": "Keys", title: "Keys", onclick: help }, "?"),
  ];
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("jobtable.theme", root.dataset.theme);
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the view's
  document.getElementById("main").focus();
});
addEventListener("hashchange", route);
addEventListener("another-session", route);
tabs.addEventListener("message", follow);
listen();
setInterval(goBy, 1000);
route();
watchUnread();
