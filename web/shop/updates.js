/**
 * What the server has, pushed and polled where there is no push: the sales, and what became of the shopper's attempts. One file, since the
 * two compress together far better than apart.
 */

import { backoff, request } from "../shared/api.js";
import { openStream } from "../shared/stream.js";
import { phaseOf } from "./state.js";

/** @typedef {import("./state.js").Sale} Sale */
/** NONE: there is no result any more, since the order was ended. @typedef {"PENDING" | "SUCCESS" | "FAILED" | "NONE"} Status */

/** After this many failed readings in a row the page says that it is offline. */
const FAILURES = 2;
/** A stream is closed this long after the tab was hidden: browsers open six connections to a server, in all tabs together. */
const HIDDEN_MS = 10_000;
const FIRST_POLL_MS = 300;
/** Times 1 to 2. */
const LONGEST_POLL_MS = 2000;
const LIVE_POLL_MS = 4000;
/** A stream that is not connected within this time is taken for none. */
const PATIENCE_MS = 2000;

/** The list of sales. Fires `change` when it has read, and when it could not. */
export class Sales extends EventTarget {
  /** @type {Sale[]} */
  list = [];
  /** Whether the list was read at all. */
  isKnown = false;
  isOnline = true;
  /** Whether the shopper has bought in the sale, and no longer waits for its stock. @type {(id: number) => boolean} */
  isBought = () => false;
  /** When each sale was confirmed last, by `performance.now()`. @type {Map<number, number>} */
  readAt = new Map();
  #clock;
  #failures = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {{id: number, close: () => void} | null} */
  #stream = null;
  #isLive = false;
  /** What the stream told last. @type {Sale | null} */
  #told = null;
  #shown = 0;

  /** @param {import("../shared/clock.js").ServerClock} clock */
  constructor(clock) {
    super();
    this.#clock = clock;
  }

  start() {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let hidden;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(hidden);
      if (document.visibilityState === "visible") {
        this.#listen();
        void this.read();
      } else hidden = setTimeout(() => this.#listen(), HIDDEN_MS);
    });
    for (const name of ["online", "offline"]) window.addEventListener(name, () => void this.read());
    return this.read();
  }

  /** Reads the list now; again by itself after a while. */
  async read() {
    clearTimeout(this.#timer);
    try {
      const { data } = await request("api/flash-sales", { timeoutMs: 6000 });
      this.#failures = 0;
      this.isOnline = true;
      this.isKnown = true;
      this.list = this.#merge([...data, ...(await this.#vanished(data))]);
      for (const sale of data) this.readAt.set(sale.id, performance.now());
    } catch {
      this.#failures++;
      if (this.#failures >= FAILURES || !navigator.onLine) this.isOnline = false;
    }
    this.#schedule();
    this.dispatchEvent(new Event("change"));
  }

  /** A list may have been written before the stream told of a change, and arrive after it. @param {Sale[]} listed */
  #merge(listed) {
    const told = this.#isLive ? this.#told : null;
    return told ? [...listed.filter(({ id }) => id !== told.id), told] : listed;
  }

  /** The sale that is shown stays, should it be listed no more: a sale that was cancelled says so. @param {Sale[]} listed */
  async #vanished(listed) {
    const shown = this.list.find(({ id }) => id === this.#shown);
    if (!shown || listed.some(({ id }) => id === shown.id)) return [];
    const answer = await request(`api/flash-sales/${shown.id}`, { timeoutMs: 6000 }).catch(() => null);
    return answer ? [answer.data] : [];
  }

  #schedule(wait = this.#interval()) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.read(), wait);
  }

  /** Which sale is shown: that one is listened to. @param {number} id */
  show(id) {
    if (this.#shown === id) return;
    this.#shown = id;
    this.#listen();
    this.#schedule();
  }

  #listen() {
    const wanted = document.visibilityState === "visible" ? this.#shown : 0;
    if ((this.#stream?.id ?? 0) === wanted) return;
    this.#stream?.close();
    this.#stream = null;
    this.#isLive = false;
    this.#told = null;
    if (wanted === 0) return;
    const { close } = openStream(`api/flash-sales/${wanted}/events`, {
      onEvent: (name, sale) => name === "sale" && this.#take(sale),
      onHeard: () => this.readAt.set(wanted, performance.now()),
      onState: (state, waitMs) => {
        const isLive = state === "live";
        // A stream that is refused again and again puts no reading off.
        if (isLive === this.#isLive) return;
        this.#isLive = isLive;
        // All pages of a node lose their streams in one moment.
        this.#schedule(isLive ? undefined : waitMs * Math.random());
      },
    });
    this.#stream = { id: wanted, close };
  }

  /** @param {Sale} sale */
  #take(sale) {
    this.#told = sale;
    this.list = this.#merge(this.list);
    this.readAt.set(sale.id, performance.now());
    this.isOnline = true;
    this.dispatchEvent(new Event("change"));
  }

  /** How long until the next reading, in milliseconds. */
  #interval() {
    if (!this.isOnline || this.#failures > 0) return backoff(this.#failures, 700, 6000);
    return this.#calmInterval() * (0.8 + Math.random() * 0.4);
  }

  #calmInterval() {
    if (document.visibilityState !== "visible") return 20_000;
    const now = this.#clock.now();
    const shown = this.list.find(({ id }) => id === this.#shown);
    if (!shown || phaseOf(shown, now) === "ended") return 15_000;
    // A stream says what changes; the reading says what else there is.
    if (this.#isLive) return 30_000;
    const isFar = Date.parse(shown.startTime) - now > 60_000;
    return isFar || shown.stock === "none" || this.isBought(shown.id) ? 12_500 : 2000;
  }
}

/** What became of the shopper's attempts: pushed over one stream for all sales. */
export class Results {
  /** @type {{token: string} | null} */
  #session = null;
  /** @type {{close: () => void} | null} */
  #stream = null;
  #isLive = false;
  /** Sales of which the stream has told since it was connected. @type {Set<number>} */
  #told = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** How often was asked since an attempt was accepted. */
  #polls = 0;
  /** Whether results were looked up, or told by the stream, since the shopper came. */
  #isInformed = false;
  #options;

  /**
   * @param {{isWaiting: () => boolean, onResult: (saleId: number, status: Status) => void, onNoResult: (saleId: number) => void,
   *   onRefused: () => void}} options `isWaiting`: whether the order of an attempt is being written
   */
  constructor(options) {
    this.#options = options;
    document.addEventListener("visibilitychange", () => this.#listen());
  }

  /** @param {{token: string} | null} session */
  enter(session) {
    if (session?.token === this.#session?.token) return;
    this.#session = session;
    this.#stream?.close();
    this.#stream = null;
    this.#isLive = false;
    clearTimeout(this.#timer);
    this.#isInformed = false;
    if (!session) return;
    this.#listen();
    setTimeout(() => this.#lookUp(), PATIENCE_MS);
  }

  /** Asks once for what a stream would have told. */
  #lookUp() {
    if (this.#isInformed || this.#isLive || !this.#session) return;
    this.#isInformed = true;
    void this.#poll();
  }

  /** An attempt was accepted: its result is looked for until it is there. */
  expect() {
    this.#polls = 0;
    this.#schedule();
  }

  /** While the tab is hidden it is polled; see `Sales`. */
  #listen() {
    const session = this.#session;
    if (!session || document.visibilityState !== "visible") {
      this.#stream?.close();
      this.#stream = null;
      this.#isLive = false;
      this.#lookUp();
      this.#schedule();
      return;
    }
    this.#stream ??= openStream("api/orders/events", {
      token: session.token,
      onEvent: (name, data) => {
        if (name === "result") {
          this.#told.add(data.saleId);
          this.#options.onResult(data.saleId, data.status);
        } else if (name === "ready") {
          this.#isInformed = true;
          this.#miss(data.sales, this.#told);
        }
      },
      onState: (state) => {
        const isLive = state === "live";
        this.#told.clear();
        if (state === "refused") return this.#options.onRefused();
        if (!isLive) this.#lookUp();
        if (isLive !== this.#isLive) {
          this.#isLive = isLive;
          this.#schedule();
        }
      },
    });
  }

  /**
   * Of these sales the server has read what there is of this shopper; of others it says nothing.
   * @param {number[] | undefined} sales @param {Set<number>} told those with a result
   */
  #miss(sales, told) {
    for (const id of sales ?? []) told.has(id) || this.#options.onNoResult(id);
  }

  #schedule() {
    clearTimeout(this.#timer);
    if (!this.#session || !this.#options.isWaiting()) return;
    // With a live stream only now and then, should an event ever be missing.
    const wait = this.#isLive ? backoff(0, LIVE_POLL_MS, LIVE_POLL_MS) : backoff(this.#polls, FIRST_POLL_MS, LONGEST_POLL_MS);
    this.#timer = setTimeout(() => {
      this.#polls++;
      void this.#poll().then(() => this.#schedule());
    }, wait);
  }

  async #poll() {
    const token = this.#session?.token;
    if (!token) return;
    try {
      const { data, answer } = await request("api/orders/results", { token, timeoutMs: 6000 });
      if (token !== this.#session?.token) return;
      const told = new Set();
      for (const { saleId, status } of data) {
        told.add(saleId);
        this.#options.onResult(saleId, status);
      }
      this.#miss(answer.sales, told);
    } catch (error) {
      if (/** @type {any} */ (error).status === 401) return this.#options.onRefused();
      // No answer: asked again while it is waited for.
    }
  }
}
