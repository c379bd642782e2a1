/** Numbers, times and changes as people read them. Times are the server's; the zone is the browser's, which the header names. */

import { live, serverNow } from "./store.js";

const whole = new Intl.NumberFormat("en");
const day = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric" });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** @param {number | null | undefined} value */
export const number = (value) => (value == null ? "–" : whole.format(value));

/** 1 process, 2 processes @param {number | null | undefined} value @param {string} one @param {string} many */
export const counted = (value, one, many) => `${number(value)} ${value === 1 ? one : many}`;

/** Three digits at most: 12 ms, 1.2 ms, 0.05 s. @param {number | null | undefined} value */
export const short = (value) => (value == null ? "–" : value >= 100 ? number(Math.round(value)) : String(+value.toPrecision(2)));

/** @param {number | string} at */
export const time = (at) => clock.format(new Date(at));

/** @param {number | string} at */
export const moment = (at) => `${day.format(new Date(at))}, ${time(at)}`;

/** The time alone, if it was today. @param {string} at */
export const recent = (at) => (day.format(new Date(at)) === day.format(serverNow()) ? time(at) : moment(at));

/** The day is left out where both are on the same one. @param {Admin.Sale} sale */
export function period({ startTime, endTime }) {
  const isOneDay = day.format(new Date(startTime)) === day.format(new Date(endTime));
  return `${moment(startTime)} – ${isOneDay ? time(endTime) : moment(endTime)}`;
}

/** 3 d 04:05:06 @param {number} millis */
export function span(millis) {
  const secs = Math.max(0, Math.ceil(millis / 1000));
  const parts = [Math.floor(secs / 3600) % 24, Math.floor(secs / 60) % 60, secs % 60].map((part) => String(part).padStart(2, "0"));
  return (secs >= 86_400 ? `${Math.floor(secs / 86_400)} d ` : "") + parts.join(":");
}

/** @param {string} currency */
const digits = (currency) => new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2;

/** @param {number} cents @param {string} currency */
export const plainPrice = (cents, currency) => (cents / 10 ** digits(currency)).toFixed(digits(currency));

/** @param {number} cents @param {string} currency */
export const price = (cents, currency) => `${plainPrice(cents, currency)} ${currency}`;

/** @param {string} text @param {string} currency */
export const cents = (text, currency) => Math.round(Number(text) * 10 ** digits(currency));

/** @param {number} id */
export const productName = (id) => live.products.get(id)?.name ?? `Product ${id}`;

/** @param {string} actor */
export const actorName = (actor) => live.names.get(actor) ?? actor.replace(/^cli:(.*)/, "$1 (command line)").replace(":", " ");

/** @type {Record<string, string>} */
const VERBS = {
  create_product: "made",
  change_product: "changed",
  create_sale: "made a draft of",
  edit_sale: "edited",
  publish_sale: "published",
  pause_sale: "paused",
  resume_sale: "resumed",
  end_sale: "ended",
  cancel_sale: "cancelled",
  add_units: "added units to",
  begin_withdrawal: "began to take units from",
  close_withdrawal: "took units from",
  cancel_order: "cancelled an order of",
  replay_dead_letter: "replayed",
  discard_dead_letter: "discarded",
  create_user: "made",
  set_role: "changed the role of",
  disable_user: "disabled",
  enable_user: "enabled",
  set_password: "set the password of",
  set_scopes: "set the scopes of",
  renew_secret: "renewed the secret of",
  erase_user: "erased",
  remove_attempts: "removed the attempts of",
  add_webhook: "added",
  remove_webhook: "removed",
  rotate_webhook: "replaced the secret of",
  replay_webhook: "sent events again to",
  unknown: "changed, in a way that this version does not know,",
};

/** What an entry of the action log is about. @param {Admin.Action} action */
function subject({ saleId, target, before, after }) {
  const [kind, id] = [target.slice(0, target.indexOf(":")), target.slice(target.indexOf(":") + 1)];
  if (saleId && kind !== "letter") {
    const sale = live.sales?.find((one) => one.id === saleId);
    const product = sale?.productId ?? after?.productId ?? before?.productId;
    return product ? `${productName(product)} (sale ${saleId})` : `sale ${saleId}`;
  }
  if (kind === "product") return `the product ${after?.name ?? id}`;
  if (kind === "user") return `the account ${after?.username ?? live.names.get(target) ?? id}`;
  if (kind === "webhook") return `the webhook ${after?.url ?? before?.url ?? id}`;
  return `${kind === "letter" ? "dead letter" : kind} ${id}`;
}

/** "Ada paused Trail shoe (sale 2)" @param {Admin.Action} action */
export const sentence = (action) => `${actorName(action.actor)} ${VERBS[action.action] ?? action.action} ${subject(action)}`;

/** @type {Record<string, string>} */
const FIELDS = {
  state: "State",
  pausedAt: "Paused since",
  startTime: "Start",
  endTime: "End",
  initialStock: "Units",
  units: "Units",
  note: "Note",
  productId: "Product",
  name: "Name",
  sku: "SKU",
  description: "Description",
  imageUrl: "Picture",
  priceCents: "Price",
  currency: "Currency",
  priorPriceCents: "Price before",
  requested: "Units asked for",
  applied: "Units taken",
  status: "Order",
  restock: "Back on sale",
  role: "Role",
  scopes: "Scopes",
  attemptsRemovedUntil: "Attempts removed until",
  url: "Address",
  types: "Events",
  maxBatch: "Events a request",
  perSecond: "Requests a second",
  disabled: "Disabled",
  replaySale: "Sent again of",
  replayAfter: "Sent again after event",
};

/** @param {string} field @param {any} value @param {Record<string, any>} all */
function shown(field, value, all) {
  if (value == null || value === "") return "none";
  if (field === "productId") return productName(value);
  if (field === "replaySale") return `sale ${value}`;
  if (/(Time|At|Until)$/.test(field)) return moment(value);
  if (/Cents$/.test(field) && all.currency) return price(value, all.currency);
  if (typeof value === "number") return number(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.join(", ");
  return field === "state" || field === "status" ? value.toLowerCase() : String(value);
}

/** The fields that differ and mean something to people. @param {any} before @param {any} after @returns {Admin.Difference[]} */
export function differences(before, after) {
  const [old, now] = [before ?? {}, after ?? {}];
  return Object.keys(FIELDS)
    .filter((field) => (field in old || field in now) && JSON.stringify(old[field] ?? null) !== JSON.stringify(now[field] ?? null))
    .map((field) => [FIELDS[field] ?? field, before ? shown(field, old[field], old) : "", shown(field, now[field], now)]);
}
