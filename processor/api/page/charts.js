// Charts by hand: bars of what ended, what failed on top. Colours come from the stylesheet.

import { svg } from "./element.js";
import { counted, minute, number } from "./times.js";

const WIDTH = 600;
const HEIGHT = 96;

/** Draw buckets of the statistics; a screen reader hears the sum. */
export function bars(buckets, words) {
  const most = Math.max(1, ...buckets.map((one) => one.finished));
  const step = WIDTH / Math.max(1, buckets.length);
  const total = buckets.reduce((sum, one) => sum + one.finished, 0);
  const failed = buckets.reduce((sum, one) => sum + (one.failed ?? 0), 0);
  const sums = `${counted(total, "job")} ended, ${number(failed)} of them failed`;
  const label = `${words}: ${sums}; at most ${number(most)} in one bar`;
  return svg(
    "svg",
    { class: "bars", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("line", { class: "ground", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    buckets.map((one, place) => bar(one, place * step, step, most)),
  );
}

function bar(one, x, step, most) {
  const tall = (count) => (count ? Math.max(2, (count / most) * (HEIGHT - 4)) : 0);
  const bad = tall(one.failed ?? 0);
  const all = Math.max(tall(one.finished), bad);
  const shape = (kind, height, y) => height > 0 && svg(
    "rect",
    { class: kind, x: x + step * 0.12, width: step * 0.76, y, height },
  );
  return svg(
    "g",
    {},
    svg(
      "title",
      {},
      `${minute(one.begins_at)}: ${number(one.finished)} ended${one.failed ? `, ${number(one.failed)} failed` : ""}`,
    ),
    svg("rect", { class: "reach", x, width: step, y: 0, height: HEIGHT }),
    shape("good", all - bad, HEIGHT - all),
    shape("bad", bad, HEIGHT - bad),
  );
}
