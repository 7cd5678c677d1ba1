// The keyboard: one letter goes to a view, ? says which. Letters are left alone where something is typed.

import { element } from "./element.js";
import { open } from "./dialogs.js";

const GOES = {
  o: ["overview", "#/"],
  j: ["jobs", "#/jobs"],
  t: ["types", "#/types"],
  s: ["schedules", "#/schedules"],
  p: ["processors", "#/processors"],
  n: ["notifications", "#/notifications"],
  c: ["create a job", "#/create"],
};

export function listen() {
  document.addEventListener("keydown", (event) => {
    const types = event.target.closest("input, textarea, select, dialog");
    if (types || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "?") help();
    else if (event.key === "/") search(event);
    else if (GOES[event.key]) location.hash = GOES[event.key][1];
  });
}

function search(event) {
  event.preventDefault();
  const field = document.querySelector("#search");
  field?.closest("details")?.setAttribute("open", "");
  if (field) field.focus();
  else location.hash = "#/jobs";
}

export function help() {
  if (document.querySelector("dialog")) return;
  const rows = [
    ...Object.entries(GOES).map(([key, [words]]) => [key, words]),
    ["/", "search jobs"],
    ["?", "this help"],
    ["Esc", "close"],
  ];
  const pairs = rows.map(
    ([key, words]) => element("div", {}, element("dt", {}, element("kbd", {}, key)), element("dd", {}, words)),
  );
  const dialog = open(
    "Keys",
    element("dl", { class: "keys" }, pairs),
    element("div", { class: "actions" }, element("button", { type: "button", onclick: () => dialog.close() }, "Close")),
  );
}
