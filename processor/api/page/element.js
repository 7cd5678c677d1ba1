// Makes and renews elements. Data becomes text nodes and attributes, never markup: there is no other way in here, so
// that a payload, a log line or an error cannot become a part of the page.

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "onsubmit", "oninput", "onchange", "onkeydown", "ontoggle"];
const OWN = { DETAILS: ["open"], DIALOG: ["open"], OPTION: ["selected"], INPUT: ["value", "checked"] };
// Attributes that belong to the person once the element is there.

/** Make an element. Properties: `class`, `on…` handlers, `data` (an object), anything else is an attribute. */
export function element(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

export function svg(name, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, name), properties, children);
}

function filled(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (HANDLERS.includes(name)) node[name] = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name.startsWith("on") || name === "style") throw new Error(`${name} is no attribute of ours`);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...flat(children));
  return node;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Make a link to another view; `href` begins with "#/". */
export function link(href, ...children) {
  return element("a", { href }, ...children);
}

/**
 * Show `fresh` in a place: what is equal stays, so that focus, selection and what was opened are kept. Where what had
 * the focus is gone, the view has it, so that the keyboard goes on from there and not from the top of the page.
 */
export function renew(place, ...fresh) {
  const wanted = element("div", {}, ...fresh);
  const had = place.contains(document.activeElement);
  children(place, wanted);
  if (had && !place.contains(document.activeElement)) place.closest("main")?.focus({ preventScroll: true });
}

function children(old, fresh) {
  const keyed = new Map(
    [...old.childNodes].filter((node) => node.dataset?.key).map((node) => [node.dataset.key, node]),
  );
  let place = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = wanted.dataset?.key;
    const same = key ? keyed.get(key) : place;
    if (!same || !alike(same, wanted)) {
      old.insertBefore(wanted, place);
      continue;
    }
    if (same === place) place = place.nextSibling;
    else old.insertBefore(same, place);
    if (key) keyed.delete(key);
    one(same, wanted);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function alike(old, fresh) {
  return old.nodeName === fresh.nodeName && old.dataset?.key === fresh.dataset?.key;
}

function one(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.dataset.keep !== undefined) return; // it looks after itself
  const own = OWN[old.nodeName] ?? [];
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !own.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !own.includes(name)) old.setAttribute(name, value);
  }
  for (const name of HANDLERS) old[name] = fresh[name];
  children(old, fresh);
}
