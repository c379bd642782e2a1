/** What the views show: asked for once a second, kept for five minutes, and told to everybody who listens. */

import { ApiError } from "../shared/api.js";
import { identity, isOperator, read, signOut } from "./session.js";

/** Seconds that the charts go back. */
export const WINDOW_SECS = 300;
/** Numbers that are older are marked as old. */
export const STALE_SECS = 3;
/** For numbers that are marked as old after that time. */
const FIGURES_MS = STALE_SECS * 1000;
const LOG_PAGE = 50;
const PRODUCT_PAGES = 10;

/** @returns {Admin.Live} */
const nothing = () => ({
  overview: null,
  sales: null,
  sale: null,
  saleId: null,
  products: new Map(),
  actions: null,
  samples: [],
  names: new Map(),
  askedAt: performance.now(),
  failure: null,
  missing: {},
});

/** @type {Admin.Live} */
export let live = nothing();
/** Why nobody is signed in. @type {ApiError | null} */
export let refusal = null;
/** Milliseconds between `performance.now()` and the server's clock; and the round trip that told it. */
let offset = Date.now() - performance.now();
let bestTrip = Infinity;
/** @type {Set<() => void>} */
const listeners = new Set();
let ticks = 0;
let isAsking = false;
/** @type {Set<Admin.Part>} */
const asking = new Set();
let generation = 0;

/** @param {() => void} listener */
export function listen(listener) {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

/** What the operator should notice: changes by others, and what became of their own. Kept for a while; the log has them for ever. */
export const toasts = /** @type {Admin.Toast[]} */ ([]);
const OWN_SECS = 6;
const OTHERS_SECS = 20;
let toastId = 0;

/** @param {{text?: string, action?: Admin.Action}} toast */
export function tell(toast) {
  const id = ++toastId;
  toasts.push({ id, ...toast });
  if (toasts.length > 3) toasts.shift();
  setTimeout(() => dismiss(id), (toast.action ? OTHERS_SECS : OWN_SECS) * 1000);
  publish();
}

/** @param {number} id */
export function dismiss(id) {
  const index = toasts.findIndex((toast) => toast.id === id);
  if (index >= 0) toasts.splice(index, 1);
  publish();
}

export function publish() {
  for (const listener of listeners) listener();
}

/** The server's time, in milliseconds since 1970. */
export const serverNow = () => performance.now() + offset;

/** The cluster's figures of the last second; `null` while no process has written any. */
export const figures = () => (live.overview?.nodes.length ? live.overview.totals : null);

/** The age of the numbers in seconds. */
export const ageSecs = () => (performance.now() - live.askedAt) / 1000;

/** Forgets everything, and why. @param {ApiError | null} [why] */
export function leave(why = null) {
  signOut();
  forget();
  refusal = why;
  publish();
}

/** Forgets what another session was shown. */
export function forget() {
  generation += 1;
  isAsking = false;
  asking.clear();
  live = nothing();
  refusal = null;
}

/**
 * The sale that the control room shows: the one that was asked for, the one before, or the one that matters most now. It never changes
 * by itself, under an operator's hand.
 * @param {number | null} id
 */
export function choose(id) {
  const chosen = id ?? live.saleId ?? mostUrgent()?.id ?? null;
  if (chosen === live.saleId) return;
  live.saleId = chosen;
  live.sale = live.sales?.find((sale) => sale.id === chosen) ?? null;
  void refresh();
}

function mostUrgent() {
  const order = ["open", "paused", "scheduled", "draft", "ended", "cancelled"];
  const sales = [...(live.sales ?? [])];
  return sales.sort(
    (a, b) =>
      order.indexOf(a.phase) - order.indexOf(b.phase) ||
      (a.phase === "scheduled" ? Date.parse(a.startTime) - Date.parse(b.startTime) : b.id - a.id),
  )[0];
}

/** Begins to ask once a second. */
export function start() {
  // A tab that was hidden asks less often.
  document.addEventListener("visibilitychange", () => void tick());
  setInterval(() => void tick(), 1000);
  void tick();
}

async function tick() {
  if (!isOperator()) return publish();
  // Lists first once; then they follow every fifth second, or when the log says that something changed.
  if (live.saleId) void readPart("sale", readSale);
  if (!live.actions || ticks % 2 === 0) void readPart("actions", readLog);
  if (!live.sales || ticks % 5 === 0) void readPart("sales", (mine) => readLists(mine, !live.sales));
  ticks += 1;
  if (isAsking) return publish();
  isAsking = true;
  const mine = generation;
  const asked = performance.now();
  try {
    const overview = await read("overview", FIGURES_MS);
    if (mine !== generation) return;
    takeClock(overview.at, asked);
    live.overview = overview;
    live.askedAt = asked;
    live.failure = null;
    record(figures());
  } catch (error) {
    if (mine !== generation) return;
    live.failure = fail(error);
    record(null);
  } finally {
    if (mine === generation) isAsking = false;
  }
  publish();
}

/**
 * Reads a part by itself, so that the server of one part may be down while the others are shown. Where it cannot be read, what was
 * read before stays and is marked.
 * @param {Admin.Part} part @param {(mine: number) => Promise<void>} ask @param {boolean} [isAgain] whether also while it is being read
 */
async function readPart(part, ask, isAgain = false) {
  if (asking.has(part) && !isAgain) return;
  const mine = generation;
  asking.add(part);
  try {
    await ask(mine);
    if (mine === generation) delete live.missing[part];
  } catch (error) {
    if (mine === generation) live.missing[part] = fail(error);
  } finally {
    if (mine === generation) asking.delete(part);
  }
  publish();
}

/** Asks again for what an operator's own change may have changed. */
export async function refresh() {
  await Promise.all([
    readPart("sales", readLists, true),
    readPart("actions", readLog, true),
    live.saleId && readPart("sale", readSale, true),
  ]);
}

/** @param {unknown} error */
function fail(error) {
  const failure = error instanceof ApiError ? error : new ApiError("internal", String(error));
  if (failure.status === 401) leave(new ApiError(failure.code, "Your session has ended. Please sign in again.", 401));
  else if (failure.status === 403) leave(new ApiError(failure.code, "This account may not look at the console. Nothing is shown.", 403));
  return failure;
}

/** @param {number} mine */
async function readSale(mine) {
  const id = live.saleId;
  const sale = await read(`sales/${id}`, FIGURES_MS).catch((error) => {
    if (error.code !== "not_found") throw error;
    tell({ text: `There is no sale ${id}.` });
  });
  if (mine !== generation || live.saleId !== id) return;
  live.sale = sale ?? null;
  if (!sale) live.saleId = null;
}

/** Sales, and the products if there are new ones. @param {number} mine @param {boolean} [isProducts] */
async function readLists(mine, isProducts = true) {
  const sales = (await read("sales?limit=200")).items;
  const products = new Map(isProducts ? [] : live.products);
  /** @type {string | null} */
  let after = isProducts ? "0" : null;
  for (let page = 0; after !== null && page < PRODUCT_PAGES; page++) {
    const { items, next } = await read(`products?limit=500${after === "0" ? "" : `&after=${after}`}`);
    for (const product of items) products.set(product.id, product);
    after = next;
  }
  if (mine === generation) Object.assign(live, { sales, products });
}

/** @param {number} mine */
async function readLog(mine) {
  /** @type {Admin.Page<Admin.Action>} */
  const page = await read(`actions?limit=${LOG_PAGE}`);
  if (mine !== generation) return;
  const known = live.actions?.[0]?.id;
  const news = live.actions === null ? [] : page.items.filter((action) => action.id > (known ?? 0));
  live.actions = page.items;
  void readNames(page.items);
  if (!news.length) return;
  const me = `user:${identity()?.userId}`;
  for (const action of news.reverse()) if (action.actor !== me && action.action !== "begin_withdrawal") tell({ action });
  await readLists(mine);
}

/** Names of accounts, if the server tells them; else their numbers are shown. @param {Admin.Action[]} actions */
async function readNames(actions) {
  const { names } = live;
  const me = identity();
  if (me) names.set(`user:${me.userId}`, me.username);
  for (const { actor } of actions) {
    if (names.has(actor) || !actor.startsWith("user:")) continue;
    names.set(actor, actor.replace(":", " "));
    const user = await read(`users/${actor.slice(5)}`).catch(() => null);
    if (user) names.set(actor, user.username);
  }
}

/** @param {string} at @param {number} asked */
function takeClock(at, asked) {
  const now = performance.now();
  // The shortest round trip tells the time best. It is forgotten slowly, since clocks drift.
  bestTrip += 0.5;
  if (now - asked > bestTrip) return;
  bestTrip = now - asked;
  offset = Date.parse(at) - (asked + now) / 2;
}

/** @param {Admin.Totals | null} totals */
function record(totals) {
  live.samples.push({ at: Math.round(serverNow() / 1000), totals });
  if (live.samples.length > WINDOW_SECS + 1) live.samples.shift();
}
