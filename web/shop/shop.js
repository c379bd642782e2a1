/** The shopper page: puts clock, list, press, results and account together, and shows what they know. */

import { store } from "../shared/api.js";
import { ServerClock } from "../shared/clock.js";
import { preferredLanguage, putTexts, say, sayError } from "../shared/text.js";
import { Account, ELSEWHERE } from "./account.js";
import { announce, passedMark } from "./announce.js";
import { LANGUAGES } from "./languages.js";
import { Press } from "./press.js";
import { LOOKS, mostWanted, phaseOf, stateOf } from "./state.js";
import { Results, Sales } from "./updates.js";
import { element, hintOf, showClock, showOthers, showProduct, showSale, showView } from "./view.js";

const preferences = store("localStorage", "flashsale:");
const memory = store("sessionStorage", "flashsale:");

/** @param {string} tag */
const loadLanguage = async (tag) => (await (LANGUAGES[tag] ?? LANGUAGES.en)?.load())?.default;
const first = await loadLanguage(preferredLanguage(Object.keys(LANGUAGES), preferences.get("language")));
if (!first) throw new Error("there is no language");
let language = first;

const clock = new ServerClock();
const sales = new Sales(clock);
const account = new Account(language);
/** @type {Map<number, Press>} */
const presses = new Map();
/** @param {number} id */
sales.isBought = (id) => presses.get(id)?.stage === "bought";
const results = new Results({
  isWaiting: () => [...presses.values()].some(({ stage }) => stage === "accepted"),
  onResult: (id, status) => presses.get(id)?.result(status),
  onNoResult: (id) => presses.get(id)?.noResult(),
  onRefused: () => account.forget(),
});

let shown = saleOfAddress();
/** What was shown last, to tell what has changed. @type {{saleId: number, state: string, remaining: number}} */
let last = { saleId: 0, state: "loading", remaining: Infinity };
/** @type {ReturnType<typeof setTimeout> | undefined} */
let ticking;

/** The sale that the address names; 0: none. */
function saleOfAddress() {
  return Number(location.hash.match(/^#sale=(\d{1,15})$/)?.[1] ?? 0);
}

/** @param {import("./state.js").Sale} sale */
function pressOf(sale) {
  let press = presses.get(sale.id);
  if (!press) {
    press = new Press(sale, clock, memory);
    presses.set(sale.id, press);
    press.addEventListener("change", () => {
      if (press?.stage === "accepted") results.expect();
      show();
    });
    press.addEventListener("unauthorized", () => {
      account.forget();
      askToLogIn(sale.id, "token_expired");
    });
    press.enter(account.session);
  }
  return press;
}

/** Logs in, then goes on with the press. @param {number} id @param {string} [why] */
function askToLogIn(id, why) {
  account.ask(null, () => pressed(id), why);
}

/** @param {number} id */
function pressed(id) {
  const sale = sales.list.find((candidate) => candidate.id === id);
  if (!sale) return;
  const press = pressOf(sale);
  // Asked for an account, a shopper may turn out to have bought already.
  if (!LOOKS[stateNow(sale, press)].pressable) return;
  if (!account.session) return askToLogIn(id);
  press.press(phaseOf(sale, clock.now()) === "open");
}

/** @param {import("./state.js").Sale} sale @param {Press} press */
function stateNow(sale, press) {
  const { stage, soldOutUntil } = press;
  return stateOf({ sale, now: clock.now(), stage, soldOutUntil, online: sales.isOnline && navigator.onLine });
}

/** The sentence under the button. @param {import("./state.js").State} state @param {Press} press */
function hintNow(state, { problem }) {
  const { session, wasEnded, isElsewhere } = account;
  if (!session && isElsewhere && LOOKS[state].pressable) return sayError(language, ELSEWHERE);
  return hintOf({ state, language, isLoggedIn: session !== null, wasEnded, isOnline: sales.isOnline && navigator.onLine, problem });
}

/** Shows everything that is known at this moment. */
function show() {
  clearTimeout(ticking);
  showAccount();
  if (!clock.isKnown || !sales.isKnown) {
    const failed = !sales.isOnline;
    showView(failed ? "trouble" : "loading");
    document.title = say(language, failed ? "troublePage" : "brand");
    if (!failed) loading();
    return;
  }
  const now = clock.now();
  const sale = sales.list.find(({ id }) => id === shown) ?? mostWanted(sales.list, now);
  if (!sale) {
    showView("empty");
    document.title = say(language, "emptyPage");
    sales.show(0);
    return;
  }
  shown = sale.id;
  sales.show(shown);
  showView("sale");
  showProduct(sale, language);
  showOthers(
    sales.list.filter(({ id }) => id !== shown),
    now,
    language,
  );
  const press = pressOf(sale);
  const state = stateNow(sale, press);
  const ageMs = performance.now() - (sales.readAt.get(sale.id) ?? 0);
  showSale({ sale, state, now, language, ageMs, hint: hintNow(state, press) });
  showClock(language, clock.precisionMs);
  tell(sale.id, state, Date.parse(sale.startTime) - now, press);
  // Seconds end when the countdown's do, so that the last one ends at the start.
  const untilNext = (((Date.parse(sale.startTime) - now) % 1000) + 1000) % 1000;
  ticking = setTimeout(show, untilNext < 1 ? 1000 : untilNext);
}

function loading() {
  element("buy-label", HTMLElement).textContent = say(language, "label_loading");
}

/** Tells a screen reader what has changed. @param {number} saleId @param {import("./state.js").State} state @param {number} remaining @param {Press} press */
function tell(saleId, state, remaining, press) {
  const before = last;
  last = { saleId, state, remaining };
  if (before.saleId !== saleId) return;
  if (before.state !== state) {
    return announce(`${say(language, `label_${state}`)}. ${hintNow(state, press)}`);
  }
  const mark = phaseIsAhead(state) ? passedMark(before.remaining, remaining) : null;
  if (mark) announce(say(language, mark));
}

/** @param {string} state */
function phaseIsAhead(state) {
  return state === "counting" || state === "armed" || state === "offline";
}

function showAccount() {
  const { session } = account;
  element("log-in", HTMLElement).hidden = session !== null || account.isElsewhere;
  element("log-out", HTMLElement).hidden = session === null;
  const who = element("who", HTMLElement);
  who.hidden = session === null;
  who.textContent = session?.username ?? "";
}

/** @param {import("../shared/text.js").Language} chosen */
function speak(chosen) {
  language = chosen;
  account.language = chosen;
  putTexts(document, chosen);
  account.retranslate();
  show();
}

const select = element("language", HTMLSelectElement);
for (const [tag, { name }] of Object.entries(LANGUAGES)) {
  const option = new Option(name, tag, false, tag === language.lang);
  option.lang = tag;
  select.add(option);
}
select.addEventListener("change", async () => {
  const chosen = await loadLanguage(select.value).catch(() => undefined);
  if (chosen) {
    preferences.set("language", select.value);
    speak(chosen);
  } else select.value = language.lang;
});
element("buy", HTMLButtonElement).addEventListener("click", () => shown && pressed(shown));
element("skip", HTMLAnchorElement).addEventListener("click", (event) => {
  // The address stays that of the sale.
  event.preventDefault();
  element("main", HTMLElement).focus();
});
element("try-now", HTMLButtonElement).addEventListener("click", () => void Promise.all([sales.read(), clock.synchronize()]));
window.addEventListener("hashchange", () => {
  shown = saleOfAddress();
  show();
  window.scrollTo(0, 0);
  element("name", HTMLElement).focus({ preventScroll: true });
});
for (const name of ["online", "offline"]) window.addEventListener(name, show);
account.addEventListener("change", () => {
  for (const press of presses.values()) press.enter(account.session);
  results.enter(account.session);
  show();
  if (account.wasEnded) announce(say(language, "loggedOut"));
});
sales.addEventListener("change", () => {
  for (const sale of sales.list) presses.get(sale.id)?.update(sale);
  // Without the time there is no state: asked again as often as the list.
  if (!clock.isKnown) void clock.synchronize();
  show();
});
clock.addEventListener("change", () => {
  for (const press of presses.values()) press.clockChanged();
  show();
});

speak(language);
await Promise.all([clock.start(), sales.start()]);
for (const sale of sales.list) pressOf(sale);
results.enter(account.session);
