/** One shopper's press in one sale: sent once, repeated until the server has answered it. The server counts one attempt a shopper, so
 *  that repeating is safe. */

import { ApiError, backoff, pause, request } from "../shared/api.js";

/** @typedef {import("./state.js").Stage} Stage */
/** @typedef {ReturnType<typeof import("../shared/api.js").store>} Store */

/** A press before the start is sent within this time after it: not every shopper's in the same millisecond. */
const SPREAD_MS = 250;
/** If the page was away, a press is forgotten after this long: beforehand, so long after the start. */
const KEPT_FOR_MS = 600_000;
/** Nobody waits longer for an answer; then the shopper is asked to press again. */
const PATIENCE_MS = 600_000;
/** An order is mostly written within a second. After this long the press is repeated: it answers what became of it. */
const ORDER_MS = 20_000;
/** Times 1 to 2.5. */
const LONGEST_WAIT_MS = 2500;
const LONGEST_TIMER_MS = 3_600_000;

/** Fires `change` when its stage or its problem has changed, and `unauthorized` when the token is not accepted. */
export class Press extends EventTarget {
  /** @type {Stage} */
  stage = "idle";
  /** Why it is idle again or takes so long. @type {ApiError | null} */
  problem = null;
  /** Until then what the list says of the stock is older than the answer to this press; by the server's clock. */
  soldOutUntil = 0;
  /** @type {import("./state.js").Sale} */
  #sale;
  #clock;
  /** @type {Store} */
  #memory;
  /** @type {{token: string, userId: string} | null} */
  #session = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #armedAt = 0;
  /** How long after the start, or the end of a pause, it is sent. Drawn once a press: every look at the list would put it off otherwise. */
  #spread = Math.random() * SPREAD_MS;
  /** The end of a pause, by the server's clock. null: there was none; NaN: it is not over. @type {number | null} */
  #resumedAt = null;
  /** The start by the server that was pressed too early, by `performance.now()`. */
  #notBefore = 0;
  /** When it was bought or failed, by `performance.now()`. */
  #finishedAt = 0;
  /** Ends the run that is under way when the shopper changes. */
  #run = new AbortController();

  /**
   * @param {import("./state.js").Sale} sale
   * @param {import("../shared/clock.js").ServerClock} clock
   * @param {Store} memory of this tab
   */
  constructor(sale, clock, memory) {
    super();
    this.#sale = sale;
    this.#clock = clock;
    this.#memory = memory;
  }

  /**
   * Takes over what this tab remembers of the shopper's press, so that a reload restores it.
   * @param {{token: string, userId: string} | null} session
   */
  enter(session) {
    const same = session !== null && session.userId === this.#session?.userId;
    this.#session = session;
    if (same) return;
    this.#stop();
    const remembered = session === null ? null : this.#memory.get(this.#key());
    /** @type {Stage} */
    const stage = remembered?.stage ?? "idle";
    if (stage === "armed") {
      const start = Date.parse(this.#sale.startTime);
      if (this.#clock.now() > Math.max(start, remembered.at) + KEPT_FOR_MS) return this.#set("idle");
      this.#arm(remembered.at);
    } else if (this.#clock.now() > remembered?.at + KEPT_FOR_MS) {
      // Whatever became of it, nobody waits for it any more. A result that there is comes by itself.
      this.#set("idle");
    } else if (stage === "asking" || stage === "checking") {
      void this.#ask("checking");
    } else if (stage === "accepted") {
      this.#accepted();
    } else {
      this.#set("idle");
    }
  }

  /** What the server says of the sale. @param {import("./state.js").Sale} sale */
  update(sale) {
    this.#sale = sale;
    if (this.stage !== "armed") return;
    if (sale.phase === "ended" || sale.phase === "cancelled") this.#set("idle");
    else this.#schedule();
  }

  /** The server's clock was read again. */
  clockChanged() {
    if (this.stage === "armed") this.#schedule();
  }

  /** The shopper presses. @param {boolean} isOpen */
  press(isOpen) {
    this.problem = null;
    if (this.stage === "armed" && !isOpen) return this.#set("idle");
    if (isOpen) return void this.#ask("asking");
    this.#arm(this.#clock.now());
  }

  /** What became of the attempt, as pushed or polled. @param {import("./updates.js").Status} status */
  result(status) {
    if (status === "NONE") this.#end();
    else if (status === "SUCCESS") this.#finish("bought");
    else if (status === "PENDING") this.stage === "accepted" || this.stage === "bought" || this.#accepted();
    else if (this.stage === "idle" || this.stage === "accepted") this.#fail();
  }

  /** The server lists everything of this shopper, and nothing of this sale: an order that was ended. A list may be older than an answer. */
  noResult() {
    if (performance.now() - this.#finishedAt > 5000) this.#end();
  }

  #end() {
    if (this.stage === "bought" || this.stage === "failed") this.#finish("idle");
  }

  /** @param {number} at when it was pressed */
  #arm(at) {
    this.#armedAt = at;
    this.#notBefore = 0;
    this.#spread = Math.random() * SPREAD_MS;
    this.#resumedAt = null;
    this.#set("armed");
    this.#schedule();
  }

  /** Sends the press when the sale is open: at its start, or when it goes on after a pause. */
  #schedule() {
    clearTimeout(this.#timer);
    if (this.#sale.phase === "paused") this.#resumedAt = NaN;
    if (this.#sale.phase === "paused" || !this.#clock.isKnown) return;
    const now = this.#clock.now();
    const start = Date.parse(this.#sale.startTime);
    if (Number.isNaN(this.#resumedAt)) this.#resumedAt = Math.max(now, start);
    const wait = Math.max(0, (this.#resumedAt ?? start) + this.#spread - now, this.#notBefore + this.#spread - performance.now());
    if (wait > LONGEST_TIMER_MS) {
      this.#timer = setTimeout(() => this.#schedule(), LONGEST_TIMER_MS);
      return;
    }
    this.#timer = setTimeout(() => void this.#ask("asking"), wait);
  }

  /** Asks until there is an answer. @param {"asking" | "checking"} stage */
  async #ask(stage) {
    this.#stop();
    const { signal } = this.#run;
    this.#set(stage);
    const begun = performance.now();
    for (let round = 0; performance.now() - begun < PATIENCE_MS; round++) {
      const token = this.#session?.token ?? "";
      try {
        const { data } = await request(`api/flash-sale/attempt/${this.#sale.id}`, { method: "POST", token, timeoutMs: 8000, signal });
        return data.status === "SUCCESS" ? this.#finish("bought") : this.#accepted();
      } catch (error) {
        if (signal.aborted || !(error instanceof ApiError)) return;
        if (this.#decide(error)) return;
        const isEarly = error.code === "not_started";
        const wait = isEarly ? untilStart(error) : Math.max(error.retryAfterMs, backoff(round, 400, LONGEST_WAIT_MS));
        await pause(wait * (1 + Math.random() / 4), signal, error.isUnanswered);
        if (signal.aborted) return;
      }
    }
    this.problem = new ApiError("timeout", "No answer came.");
    this.#finish("idle");
  }

  /** What an answer that is not yes means. @param {ApiError} error @returns {boolean} whether the asking is over */
  #decide(error) {
    switch (error.code) {
      case "sold_out":
        this.#fail();
        return true;
      case "paused":
        // It is sent again when the sale goes on. The list may not know of the pause yet.
        this.#sale = { ...this.#sale, phase: "paused" };
        this.#resumedAt = NaN;
        this.#set("armed");
        return true;
      case "not_started":
        if (untilStart(error) < 1000) return false;
        this.#notBefore = performance.now() + untilStart(error);
        this.#set("armed");
        this.#schedule();
        return true;
      case "token_missing":
      case "token_invalid":
      case "token_expired":
        this.#finish("idle");
        this.dispatchEvent(new Event("unauthorized"));
        return true;
    }
    const isPassing = error.isUnanswered || error.status >= 500 || error.status === 429 || error.status === 408;
    this.problem = error;
    if (!isPassing) {
      this.#finish("idle");
      return true;
    }
    const isUnknown = error.isUnanswered || error.code === "outcome_unknown" || error.code === "internal";
    this.#set(isUnknown ? "checking" : this.stage);
    return false;
  }

  #accepted() {
    this.#set("accepted");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask("checking"), ORDER_MS * (1 + Math.random()));
  }

  #fail() {
    this.soldOutUntil = this.#clock.now() + 5000;
    this.#finish("failed");
  }

  /** @param {Stage} stage */
  #finish(stage) {
    this.#finishedAt = performance.now();
    this.#stop();
    this.#set(stage);
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#run.abort();
    this.#run = new AbortController();
  }

  /** @param {Stage} stage */
  #set(stage) {
    if (stage !== "asking" && stage !== "checking" && stage !== "idle") this.problem = null;
    this.stage = stage;
    if (stage !== "armed" && stage !== "asking" && stage !== "checking" && stage !== "accepted") clearTimeout(this.#timer);
    if (this.#session) {
      const isOpen = stage === "armed" || stage === "asking" || stage === "checking" || stage === "accepted";
      this.#memory.set(this.#key(), isOpen ? { stage, at: stage === "armed" ? this.#armedAt : this.#clock.now() } : null);
    }
    this.dispatchEvent(new Event("change"));
  }

  #key() {
    return `press:${this.#session?.userId}:${this.#sale.id}`;
  }
}

/** How long the server that was pressed too early says to wait. @param {ApiError} error */
function untilStart({ answer, retryAfterMs }) {
  const wait = Date.parse(answer?.startsAt) - Date.parse(answer?.serverTime);
  return wait > 0 ? wait : retryAfterMs || 1000;
}
