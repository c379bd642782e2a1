/** Writes what is known into the page. It changes texts and attributes of elements that index.html has; nothing is made anew. */

import { localeOf, say, sayError } from "../shared/text.js";
import { faviconOf, pathOf } from "./icons.js";
import { LOOKS, phaseOf, wordOf } from "./state.js";

/** @typedef {import("./state.js").Sale} Sale */
/** @typedef {import("../shared/text.js").Language} Language */

/**
 * An element of the page by its id.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`no ${kind.name} has the id ${id}`);
  return found;
}

const SECONDS = { day: 86_400, hour: 3600, minute: 60 };

/** What differs is written, so that screen readers and layout are left alone. @param {string} id @param {string} text */
function write(id, text) {
  const node = element(id, HTMLElement);
  if (node.textContent !== text) node.textContent = text;
}

/** @param {"loading" | "sale" | "empty" | "trouble"} view */
export function showView(view) {
  document.body.dataset.view = view;
}

/** Name, picture, price: what seldom changes. @param {Sale} sale @param {Language} language */
export function showProduct({ product }, language) {
  write("name", product.name);
  write("description", product.description);
  write("price", money(product.priceCents, product.currency, language));
  const prior = product.priorPriceCents;
  element("prior", HTMLElement).hidden = prior === undefined;
  write("prior-price", prior === undefined ? "" : money(prior, product.currency, language));
  const picture = element("picture", HTMLImageElement);
  const address = product.imageUrl === null ? "" : addressOf(product.imageUrl);
  if (picture.getAttribute("src") === address) return;
  picture.hidden = address === "";
  picture.onerror = () => (picture.hidden = true);
  if (address) picture.src = address;
  else picture.removeAttribute("src");
}

/** A picture of this program has an address for each version: with this page's own it is kept for ever. @param {string} url */
function addressOf(url) {
  const own = import.meta.url.match(/^.*\/assets\/[^/]+\//)?.[0];
  return own ? url.replace(/^\/?assets\/[^/]+\//, own) : url;
}

/**
 * @param {{sale: Sale, state: import("./state.js").State, now: number, language: Language, ageMs: number, hint: string}} facts
 */
export function showSale({ sale, state, now, language, ageMs, hint }) {
  /** @param {string} key @param {any[]} values */
  const text = (key, ...values) => say(language, key, ...values);
  const look = LOOKS[state];
  const { word, status } = wordOf(sale, now);
  write("phase", text(word));
  element("phase", HTMLElement).dataset.status = status;

  const phase = phaseOf(sale, now);
  const start = Date.parse(sale.startTime);
  const at = moment(phase === "scheduled" ? start : Date.parse(sale.endTime), now, language);
  write("when", phase === "cancelled" ? "" : text(`when_${phase}`, at));
  showCountdown(phase === "scheduled" ? start - now : 0, language);

  const button = element("buy", HTMLButtonElement);
  button.dataset.state = state;
  button.dataset.tone = look.tone;
  button.setAttribute("aria-disabled", String(!look.pressable));
  if (state === "armed" || state === "pausedArmed") button.setAttribute("aria-pressed", "true");
  else button.removeAttribute("aria-pressed");
  write("buy-label", text(`label_${state}`));
  element("buy-icon", SVGPathElement).setAttribute("d", pathOf(look.icon));
  write("hint", hint);

  element("stock", HTMLElement).hidden = phase !== "open" && phase !== "paused";
  write("stock-word", text(`stock_${sale.stock}`));
  element("stock-word", HTMLElement).dataset.status = { plenty: "good", few: "busy", none: "idle" }[sale.stock];
  write("stock-age", text("age", Math.floor(ageMs / 1000)));

  const remaining = start - now;
  const words = text(`title_${state}` in language.texts ? `title_${state}` : `label_${state}`);
  const inTitle = state === "counting" || state === "armed" ? `${digits(remaining)} ${words}` : words;
  const title = `${inTitle} · ${sale.product.name}`;
  if (document.title !== title) document.title = title;
  const favicon = element("favicon", HTMLLinkElement);
  const icon = faviconOf(look.icon, look.tone);
  if (favicon.href !== icon) favicon.href = icon;
}

/**
 * The sentence under the button.
 * @param {{state: import("./state.js").State, language: Language, isLoggedIn: boolean, wasEnded: boolean,
 *   isOnline: boolean, problem: {code: string, message: string} | null}} facts
 */
export function hintOf({ state, language, isLoggedIn, wasEnded, isOnline, problem }) {
  const isAsking = state === "asking" || state === "checking";
  if (problem && !isAsking) return sayError(language, problem);
  if (state === "asking" && problem) return say(language, problem.code === "unavailable" ? "hint_unavailable" : "hint_busy");
  if (wasEnded && state !== "offline") return say(language, "loggedOut");
  if (!isLoggedIn && LOOKS[state].pressable) return say(language, `hint_${state}_loggedOut`);
  if (state === "armed" && !isOnline) return say(language, "hint_armed_offline");
  return say(language, `hint_${state}`);
}

/** @param {number} remaining milliseconds @param {Language} language */
function showCountdown(remaining, language) {
  element("countdown", HTMLElement).hidden = remaining <= 0;
  if (remaining <= 0) return;
  const left = Math.ceil(remaining / 1000);
  const two = new Intl.NumberFormat(localeOf(language), { minimumIntegerDigits: 2 });
  const days = Math.floor(left / SECONDS.day);
  element("unit-days", HTMLElement).hidden = days === 0;
  element("unit-hours", HTMLElement).hidden = left < SECONDS.hour;
  write("days", new Intl.NumberFormat(localeOf(language)).format(days));
  write("hours", two.format(Math.floor((left % SECONDS.day) / SECONDS.hour)));
  write("minutes", two.format(Math.floor((left % SECONDS.hour) / SECONDS.minute)));
  write("seconds", two.format(left % SECONDS.minute));
}

/** @param {number} remaining milliseconds */
function digits(remaining) {
  const left = Math.max(0, Math.ceil(remaining / 1000));
  const parts = [Math.floor(left / SECONDS.hour), Math.floor((left % SECONDS.hour) / SECONDS.minute), left % SECONDS.minute];
  const [hours, ...rest] = parts.map((part) => String(part).padStart(2, "0"));
  return hours === "00" ? rest.join(":") : [hours, ...rest].join(":");
}

/**
 * The list of the other sales.
 * @param {Sale[]} sales
 * @param {number} now
 * @param {Language} language
 */
export function showOthers(sales, now, language) {
  element("others", HTMLElement).hidden = sales.length === 0;
  const list = element("other-list", HTMLUListElement);
  const wanted = sales.map((sale) => [
    sale.id,
    wordOf(sale, now).word,
    sale.startTime,
    sale.product.name,
    sale.product.imageUrl,
    sale.product.priceCents,
    language.lang,
  ]);
  // Made anew only when something of it has changed: the focus stays on a link.
  if (list.dataset.shown === JSON.stringify(wanted)) return;
  const focused = document.activeElement?.getAttribute("href");
  list.dataset.shown = JSON.stringify(wanted);
  list.replaceChildren(...sales.map((sale) => otherSale(sale, now, language)));
  if (focused && document.activeElement === document.body)
    list
      .querySelector(`a[href="${CSS.escape(focused)}"]`)
      ?.closest("a")
      ?.focus();
}

/** @param {Sale} sale @param {number} now @param {Language} language */
function otherSale(sale, now, language) {
  const { word, status } = wordOf(sale, now);
  const link = make("a", "");
  link.setAttribute("href", `#sale=${sale.id}`);
  const thumb = make("span", "thumb");
  if (sale.product.imageUrl !== null) {
    const image = document.createElement("img");
    image.alt = "";
    image.loading = "lazy";
    image.onerror = () => image.remove();
    image.src = addressOf(sale.product.imageUrl);
    thumb.append(image);
  }
  const meta = make("span", "meta");
  const state = make("span", "status", say(language, word));
  state.dataset.status = status;
  meta.append(state, make("span", "amount numbers", money(sale.product.priceCents, sale.product.currency, language)));
  if (phaseOf(sale, now) === "scheduled") meta.append(make("span", "", moment(Date.parse(sale.startTime), now, language)));
  const words = make("span", "");
  words.append(make("span", "name", sale.product.name), meta);
  link.append(thumb, words);
  const item = make("li", "");
  item.append(link);
  return item;
}

/** @param {string} tag @param {string} className @param {string} [text] */
function make(tag, className, text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

/** @param {number} cents @param {string} currency @param {Language} language */
export function money(cents, currency, language) {
  try {
    const format = new Intl.NumberFormat(localeOf(language), { style: "currency", currency });
    const decimals = format.resolvedOptions().maximumFractionDigits ?? 2;
    // Marks of direction are for running text.
    return format.format(cents / 10 ** decimals).replace(/[\u200e\u200f\u061c]/g, "");
  } catch {
    return `${cents / 100} ${currency}`;
  }
}

/** A moment in the reader's time zone: with its day unless it is today, with its year unless it is this one. @param {number} at @param {number} now @param {Language} language */
export function moment(at, now, language) {
  const [day, today] = [new Date(at), new Date(now)];
  /** @type {Intl.DateTimeFormatOptions} */
  const options = { hour: "numeric", minute: "2-digit" };
  if (day.toDateString() !== today.toDateString()) Object.assign(options, { weekday: "long", day: "numeric", month: "long" });
  if (day.getFullYear() !== today.getFullYear()) options.year = "numeric";
  return new Intl.DateTimeFormat(localeOf(language), options).format(at);
}

/** @param {Language} language @param {number} precisionMs */
export function showClock(language, precisionMs) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  write("clock", say(language, "clock", Math.max(1, Math.round(precisionMs)), zone));
}
