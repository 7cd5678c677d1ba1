// Log in: a token is pasted, sent once in a header, and kept by nobody here; the browser has a cookie no script reads.

import { logIn } from "../api.js";
import { element, renew } from "../element.js";
import { problem } from "../parts.js";

const REMEDY = "Paste the whole token, as `jobtable token create` showed it: jt_…";

export function show(place, { entered, why }) {
  const said = element("div", { id: "login-problem" });
  const field = element(
    "input",
    {
      id: "token",
      type: "password",
      name: "token",
      required: true,
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": "token-help login-problem",
    },
  );
  const submit = async (event) => {
    event.preventDefault();
    const token = field.value.trim();
    field.value = "";
    try {
      entered(await logIn(token));
    } catch (error) {
      renew(
        said,
        problem(
          error.status === 401 ? { ...error, remedy: REMEDY } : error,
        ),
      );
      field.focus();
    }
  };
  place.replaceChildren(
    element(
      "form",
      { class: "card login", onsubmit: submit },
      element("h1", {}, "Log in"),
      why && element("p", { role: "status" }, why),
      element("label", { for: "token" }, "Token"),
      field,
      element(
        "p",
        { id: "token-help", class: "quiet" },
        "Whoever runs this server gives you one: ",
        element("code", {}, "jobtable token create --owner you --scope read,write"),
        ". It is sent once, and not kept by this page.",
      ),
      said,
      element("div", { class: "actions" }, element("button", { class: "strong" }, "Log in")),
    ),
  );
  field.focus();
}
