// What comes in front of the page: a question, and a word about what was done.

import { element } from "./element.js";

const STAYS = 8000;

/** Say what was done or went wrong, for some seconds. `kind`: "good" or "bad". */
export function announce(words, kind = "good") {
  const close = () => toast.remove();
  const toast = element(
    "p",
    { class: `toast ${kind}` },
    element("bdi", {}, words),
    " ",
    element("button", { type: "button", "aria-label": "Close this message", onclick: close }, "×"),
  );
  document.getElementById("toasts").append(toast);
  setTimeout(close, kind === "bad" ? 2 * STAYS : STAYS);
}

/** Say what went wrong, unless somebody just left before it was shown what became of it. */
export function complain(error) {
  if (error.name !== "AbortError") announce([error.message, error.remedy].filter(Boolean).join(" "), "bad");
}

/** Open a dialog; gives it. It is gone from the page when it is closed. */
export function open(title, ...children) {
  const dialog = element(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    element("h2", { id: "dialog-title" }, title),
    ...children,
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask before something is done; gives true or false. */
export function confirm(title, words, yes) {
  return new Promise((resolve) => {
    const answer = (value) => () => dialog.close(value);
    const buttons = element(
      "div",
      { class: "actions" },
      element("button", { type: "button", onclick: answer("") }, "Leave it"),
      element("button", { type: "button", class: "strong", onclick: answer("yes") }, yes),
    );
    const dialog = open(title, element("p", {}, words), buttons);
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
  });
}
