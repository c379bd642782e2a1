/** What became of the shopper's attempts: pushed over one stream for all sales, polled where there is none. */

import { request } from "../shared/api.js";
import { openStream } from "../shared/stream.js";

/** @typedef {"PENDING" | "SUCCESS" | "FAILED"} Status */

const FIRST_POLL_MS = 400;
const LONGEST_POLL_MS = 3000;
/** Where there is no stream, results of at most so many sales are asked for when a shopper comes. */
const LOOKED_UP = 20;
/** A stream that is not connected within this time is taken for none. */
const PATIENCE_MS = 2000;

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
  #wait = FIRST_POLL_MS;
  /** Whether results were looked up, or told by the stream, since the shopper came. */
  #isInformed = false;
  #options;

  /**
   * @param {{sales: () => import("./state.js").Sale[], waiting: () => number[], onResult: (saleId: number, status: Status) => void,
   *   onNoResult: (saleId: number) => void, onRefused: () => void}} options `waiting`: ids of the sales with an attempt whose order
   *   is being written
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
    void this.#poll(this.#latest(this.#options.sales()).slice(0, LOOKED_UP));
  }

  /** An attempt was accepted: its result is looked for until it is there. */
  expect() {
    this.#wait = FIRST_POLL_MS;
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
          for (const { id } of this.#options.sales()) this.#told.has(id) || this.#options.onNoResult(id);
        }
      },
      onState: (state) => {
        this.#isLive = state === "live";
        this.#told.clear();
        if (state === "refused") return this.#options.onRefused();
        if (!this.#isLive) this.#lookUp();
        this.#schedule();
      },
    });
  }

  #schedule() {
    clearTimeout(this.#timer);
    if (!this.#session || this.#options.waiting().length === 0) return;
    // With a live stream only now and then, should an event ever be missing.
    const wait = this.#isLive ? 5000 : this.#wait;
    this.#timer = setTimeout(
      () => {
        this.#wait = Math.min(this.#wait * 1.5, LONGEST_POLL_MS);
        const waiting = new Set(this.#options.waiting());
        void this.#poll(this.#options.sales().filter(({ id }) => waiting.has(id))).then(() => this.#schedule());
      },
      wait * (0.8 + Math.random() * 0.4),
    );
  }

  /** @param {import("./state.js").Sale[]} sales */
  async #poll(sales) {
    const token = this.#session?.token;
    if (!token) return;
    for (const { id, product } of sales) {
      try {
        const { data } = await request(`api/orders/status/${product.id}`, { token, timeoutMs: 6000 });
        if (token === this.#session?.token) this.#options.onResult(id, data.status);
      } catch (error) {
        if (/** @type {any} */ (error).status === 401) return this.#options.onRefused();
        // No result yet, or no answer: asked again while it is waited for.
      }
    }
  }

  /** A result is that of a product's latest sale. The sales that begin latest come first. @param {import("./state.js").Sale[]} sales */
  #latest(sales) {
    /** @type {Map<number, import("./state.js").Sale>} */
    const latest = new Map();
    for (const sale of sales) {
      const other = latest.get(sale.product.id);
      if (!other || Date.parse(sale.startTime) > Date.parse(other.startTime)) latest.set(sale.product.id, sale);
    }
    return [...latest.values()].sort((a, b) => Date.parse(b.startTime) - Date.parse(a.startTime));
  }
}
