/** What became of the shopper's attempts: pushed over one stream for all sales, polled where there is none. */

import { request } from "../shared/api.js";
import { backoff } from "../shared/retry.js";
import { openStream } from "../shared/stream.js";

/** NONE: there is no result any more, since the order was ended. @typedef {"PENDING" | "SUCCESS" | "FAILED" | "NONE"} Status */

const FIRST_POLL_MS = 300;
/** Times 1 to 2. */
const LONGEST_POLL_MS = 2000;
const LIVE_POLL_MS = 4000;
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
