/** Texts of a page in the reader's language. A language is one file that exports `{lang, dir, name, texts, errors}`. */

/**
 * A text, or a function that makes one, where numbers and names go in and plurals are to be minded.
 * @typedef {string | ((...values: any[]) => string)} Text
 * @typedef {{lang: string, dir: "ltr" | "rtl", name: string, texts: Record<string, Text>, errors: Record<string, string>}} Language
 */

/**
 * The language that was chosen before, else the first of the browser's that there is, else the first of all.
 * @param {string[]} available
 * @param {string | null} chosen
 */
export function preferredLanguage(available, chosen) {
  const wanted = [chosen ?? "", ...navigator.languages].map((tag) => tag.toLowerCase().split("-")[0] ?? "");
  return wanted.find((tag) => available.includes(tag)) ?? available[0] ?? "en";
}

/**
 * The reader's own variant of a language (en-GB, ar-EG), for numbers and times.
 * @param {Language} language
 */
export function localeOf({ lang }) {
  return navigator.languages.find((tag) => tag.toLowerCase().split("-")[0] === lang) ?? lang;
}

/**
 * Puts the texts into every element that asks for one: `data-text="key"` for the content, `data-label="key"` for `aria-label`.
 * @param {ParentNode} root
 * @param {Language} language
 */
export function putTexts(root, language) {
  document.documentElement.lang = language.lang;
  document.documentElement.dir = language.dir;
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = say(language, element.getAttribute("data-text") ?? "");
  for (const element of root.querySelectorAll("[data-label]"))
    element.setAttribute("aria-label", say(language, element.getAttribute("data-label") ?? ""));
}

/**
 * @param {Language} language
 * @param {string} key
 * @param {any[]} values
 */
export function say(language, key, ...values) {
  const text = language.texts[key];
  return typeof text === "function" ? text(...values) : (text ?? key);
}

/**
 * The text for an error code; for one that the file does not know, what the server said.
 * @param {Language} language
 * @param {{code: string, message: string}} error
 */
export function sayError(language, error) {
  return language.errors[error.code] ?? error.message;
}
