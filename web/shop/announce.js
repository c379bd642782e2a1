/** What a screen reader is told without being asked: moments before the opening, and every change of the state. The countdown is silent. */

import { element } from "./view.js";

/** Milliseconds before the start, and the text for each. @type {[number, string][]} */
const MARKS = [
  [600_000, "soon10"],
  [300_000, "soon5"],
  [60_000, "soon1"],
  [10_000, "soonSeconds"],
];

/** The mark that was passed between two looks at the clock. @param {number} before @param {number} after milliseconds before the start */
export function passedMark(before, after) {
  return MARKS.findLast(([mark]) => before > mark && after <= mark && after > 0)?.[1] ?? null;
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let clearing;

/** @param {string} text */
export function announce(text) {
  const live = element("live", HTMLElement);
  // The same words twice are two pieces of news.
  live.textContent = live.textContent === text ? `${text}\u00a0` : text;
  clearTimeout(clearing);
  clearing = setTimeout(() => (live.textContent = ""), 10_000);
}
