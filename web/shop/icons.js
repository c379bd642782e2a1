/** Shapes of the states, for the button and the tab's icon: stroked paths of 24 × 24. */

/** @type {Record<string, string>} */
const PATHS = {
  wait: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 7.5V12l3 2",
  bag: "M6 8.5h12l1 12H5zM9 11V7a3 3 0 0 1 6 0v4",
  turn: "M12 3a9 9 0 1 1-8.5 6",
  check: "M4.5 12.5l5 5 10-11",
  cross: "M6 6l12 12M18 6L6 18",
  pause: "M8.5 5v14M15.5 5v14",
  minus: "M5 12h14",
  cut: "M3 3l18 18M5 12.5a10 10 0 0 1 5-2.8M8.5 16a5 5 0 0 1 7 0M2 9a15 15 0 0 1 4-2.6M11 5a15 15 0 0 1 11 4",
};

/** @param {string} icon */
export const pathOf = (icon) => PATHS[icon] ?? "";

/**
 * The icon of a tab as an address. Its colours do not follow the theme: the disc makes it visible on every tab bar.
 * @param {string} icon
 * @param {string} tone
 */
export function faviconOf(icon, tone) {
  const colour = { accent: "#2541c4", ready: "#2541c4", busy: "#2541c4", good: "#126b41" }[tone] ?? "#5b574e";
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-6 -6 36 36"><circle cx="12" cy="12" r="18" fill="${colour}"/>` +
    `<path d="${pathOf(icon)}" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
