// Fields of forms, and what the server says of them: shown beside the field it names, read out, and with its remedy.

import { element, renew } from "./element.js";
import { read } from "./json.js";
import { advice, foreign, problem } from "./parts.js";

export function field(name, words, { help, ...properties } = {}) {
  const input = element("input", { id: name, name, autocomplete: "off", ...properties });
  return around(name, words, input, help);
}

/** Two fields side by side, where there is room. */
export const pair = (...two) => element("div", { class: "pair" }, two);

export const instant = (name, words) => field(name, words, { type: "datetime-local", step: 1 });

export function select(name, words, choices, chosen) {
  const options = choices.map((one) => element("option", { selected: one === chosen }, one));
  return around(name, words, element("select", { id: name, name }, options));
}

export function checkbox(name, words, checked) {
  return element("label", { class: "choice" }, element("input", { type: "checkbox", name, checked }), " ", words);
}

export function typeField(types, value) {
  const list = element("datalist", { id: "types" }, types.map((type) => element("option", { value: type.name })));
  return element(
    "div",
    {},
    field(
      "type",
      "Type",
      { required: true, maxlength: 255, list: "types", value, help: "What sort of job; names the handler." },
    ),
    list,
  );
}

// A field for JSON is checked before anything is sent, and from then on while it is mended. Not when it is left: the
// words would move the button away that is just being pressed.

export function jsonField(name, words, value, help) {
  const check = ({ currentTarget: area }) => {
    if (area.getAttribute("aria-invalid") === "true") say(area.form, name, wrong(area.value));
  };
  const area = element(
    "textarea",
    { id: name, name, rows: 8, spellcheck: "false", class: "code", oninput: check, data: { json: "" } },
    JSON.stringify(value, null, 2),
  );
  return around(name, words, area, help);
}

function around(name, words, input, help) {
  const described = [help && `${name}-help`, `${name}-wrong`].filter(Boolean).join(" ");
  input.setAttribute("aria-describedby", described);
  return element(
    "div",
    { class: "field", data: { field: name } },
    element("label", { for: name }, words),
    input,
    help && element("p", { id: `${name}-help`, class: "quiet" }, help),
    element("div", { id: `${name}-wrong`, class: "wrong", "aria-live": "polite" }),
  );
}

export const numberOf = (text) => (text === null || text.trim() === "" ? null : Number(text));
export const readJson = (text) => (text.trim() === "" ? {} : read(text));

/** Tell whether values of a payload may be masked; the server says which, and takes no stars for them. */
export const holdsMasked = (payload) => JSON.stringify(payload ?? "").includes('"***"');

function wrong(text) {
  try {
    readJson(text);
    return null;
  } catch (error) {
    const remedy = "Nothing was sent. Texts and names stand in double quotes, and nothing follows the last one.";
    return { detail: `This is no JSON: ${error.message}.`, remedy };
  }
}

/** Make the handler of a form: checks its JSON, does `work` with what it holds, shows what is wrong in its place. */
export function sends(work) {
  return async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    form.querySelectorAll("[data-field]").forEach((one) => say(form, one.dataset.field, null));
    renew(form.querySelector(".said"));
    const bad = [...form.querySelectorAll("[data-json]")].find((area) => wrong(area.value));
    if (bad) return say(form, bad.name, wrong(bad.value), true);
    const pressed = form.querySelector("button.strong");
    pressed.setAttribute("aria-busy", "true");
    try {
      await work(new FormData(form));
    } catch (error) {
      show(form, error);
    } finally {
      pressed.removeAttribute("aria-busy");
    }
    return undefined;
  };
}

function show(form, error) {
  const fields = [...form.querySelectorAll("[data-field]")].map((one) => one.dataset.field);
  const names = (name) => new RegExp(`(^|\\W)${name}(\\W|$)`).test(error.detail ?? "");
  const named = [409, 422].includes(error.status) ? fields.find(names) : null;
  if (named) say(form, named, error, true);
  else renew(form.querySelector(".said"), problem(error));
}

function say(form, name, error, focus = false) {
  const place = form.querySelector(`#${name}-wrong`);
  const input = form.elements[name];
  if (!place || !input) return;
  input.setAttribute("aria-invalid", error ? "true" : "false");
  renew(place, error && element("p", {}, foreign(error.detail), " ", error.remedy && advice(error.remedy)));
  if (focus) {
    input.closest("details")?.setAttribute("open", "");
    input.focus();
  }
}
