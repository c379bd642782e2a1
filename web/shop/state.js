/** In which state the one button is: pure decisions over what is known of a sale, of the shopper's press and of the connection. */

/**
 * A sale as `GET /api/flash-sales` lists it.
 * @typedef {{id: number, name: string, description: string, imageUrl: string | null, priceCents: number, currency: string, priorPriceCents?: number}} Product
 * @typedef {{id: number, phase: "scheduled" | "open" | "paused" | "ended" | "cancelled", startTime: string, endTime: string,
 *   stock: "plenty" | "few" | "none", product: Product}} Sale
 *
 * How far the shopper's press is. armed: to be sent at the opening. asking: sent, not answered with yes or no. checking: the
 * connection was lost, or the server does not know. accepted: a unit is held, the order is being written.
 * @typedef {"idle" | "armed" | "asking" | "checking" | "accepted" | "bought" | "failed"} Stage
 *
 * @typedef {"loading" | "closed" | "counting" | "armed" | "open" | "again" | "asking" | "checking" | "accepted" | "bought" | "failed" |
 *   "paused" | "pausedArmed" | "soldOut" | "ended" | "cancelled" | "offline"} State
 */

/** A sale that starts later than this is closed; before it a press can be made beforehand. */
export const BEFOREHAND_MS = 24 * 3_600_000;

/**
 * How each state looks: the icon, the tone of button and tab, whether a press does something, and the status word above the name.
 * @type {Record<State, {icon: string, tone: "accent" | "wait" | "ready" | "busy" | "good" | "none", pressable: boolean}>}
 */
export const LOOKS = {
  loading: { icon: "turn", tone: "busy", pressable: false },
  closed: { icon: "wait", tone: "none", pressable: false },
  counting: { icon: "wait", tone: "accent", pressable: true },
  armed: { icon: "check", tone: "ready", pressable: true },
  open: { icon: "bag", tone: "accent", pressable: true },
  again: { icon: "bag", tone: "accent", pressable: true },
  asking: { icon: "turn", tone: "busy", pressable: false },
  checking: { icon: "turn", tone: "busy", pressable: false },
  accepted: { icon: "turn", tone: "busy", pressable: false },
  bought: { icon: "check", tone: "good", pressable: false },
  failed: { icon: "cross", tone: "none", pressable: false },
  paused: { icon: "pause", tone: "wait", pressable: true },
  pausedArmed: { icon: "pause", tone: "ready", pressable: true },
  soldOut: { icon: "cross", tone: "none", pressable: false },
  ended: { icon: "minus", tone: "none", pressable: false },
  cancelled: { icon: "minus", tone: "none", pressable: false },
  offline: { icon: "cut", tone: "none", pressable: false },
};

/**
 * @param {{sale: Sale, now: number, stage: Stage, soldOutUntil: number, online: boolean}} facts `now` by the server's clock; until
 *   `soldOutUntil` what the list says of the stock is older than the answer to the press
 * @returns {State}
 */
export function stateOf({ sale, now, stage, soldOutUntil, online }) {
  if (stage === "bought" || stage === "checking" || stage === "asking" || stage === "accepted") return stage;
  const phase = phaseOf(sale, now);
  if (phase === "cancelled") return "cancelled";
  const none = sale.stock === "none" || now < soldOutUntil;
  if (stage === "failed" && (phase === "ended" || none)) return "failed";
  if (phase === "ended") return "ended";
  if (stage === "armed") return phase === "paused" ? "pausedArmed" : "armed";
  if (!online) return "offline";
  if (phase === "paused") return "paused";
  if (phase === "scheduled") return Date.parse(sale.startTime) - now > BEFOREHAND_MS ? "closed" : "counting";
  if (none) return "soldOut";
  return stage === "failed" ? "again" : "open";
}

/**
 * The phase at this moment: what the server said last, and what the clock has made of it since.
 * @param {Sale} sale
 * @param {number} now
 * @returns {Sale["phase"]}
 */
export function phaseOf(sale, now) {
  if (sale.phase === "cancelled" || sale.phase === "ended") return sale.phase;
  if (now >= Date.parse(sale.endTime)) return "ended";
  return sale.phase === "scheduled" && now >= Date.parse(sale.startTime) ? "open" : sale.phase;
}

/**
 * The word above the name of a sale, whatever this shopper did.
 * @param {Sale} sale
 * @param {number} now
 * @returns {{word: string, status: "good" | "warn" | "bad" | "idle" | "busy"}}
 */
export function wordOf(sale, now) {
  const phase = phaseOf(sale, now);
  if (phase === "open" && sale.stock === "none") return { word: "wordSoldOut", status: "idle" };
  const status = /** @type {const} */ ({ scheduled: "busy", open: "good", paused: "warn", ended: "idle", cancelled: "bad" })[phase];
  return { word: `word_${phase}`, status };
}

/**
 * The sale to show first: the one that can be bought, then the one that can be bought soonest, then the one that ended last.
 * @param {Sale[]} sales
 * @param {number} now
 * @returns {Sale | undefined}
 */
export function mostWanted(sales, now) {
  const rank = { open: 0, paused: 1, scheduled: 2, ended: 3, cancelled: 4 };
  /** @param {Sale} sale */
  const order = (sale) => rank[phaseOf(sale, now)] + (phaseOf(sale, now) === "open" && sale.stock === "none" ? 2.5 : 0);
  /** @param {Sale} sale */
  const time = (sale) => (phaseOf(sale, now) === "ended" ? -Date.parse(sale.endTime) : Date.parse(sale.startTime));
  return [...sales].sort((a, b) => order(a) - order(b) || time(a) - time(b) || a.id - b.id)[0];
}
