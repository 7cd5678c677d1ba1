// JSON with all digits of its numbers: a payload may hold integers that a number of JavaScript cannot, and is shown and
// sent back as it was. Browsers that do not know how (before 2025, some) round them.

const keeps = typeof JSON.rawJSON === "function";

export const read = (text) => JSON.parse(text, keeps ? exact : undefined);

function exact(key, value, { source }) {
  const isLarge = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source);
  return isLarge ? JSON.rawJSON(source) : value;
}
