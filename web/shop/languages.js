/** The languages of the shopper page. A further one is a file in texts/ and a line here; only the one that is shown is loaded. */

/** @type {Record<string, {name: string, load: () => Promise<{default: import("../shared/text.js").Language}>}>} */
export const LANGUAGES = {
  en: { name: "English", load: () => import("./texts/en.js") },
  ar: { name: "العربية", load: () => import("./texts/ar.js") },
};
