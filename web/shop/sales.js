/** The list of sales as the server has it now: pushed for the sale that is shown, polled for the others and where there is no push. */

import { request } from "../shared/api.js";
import { backoff } from "../shared/retry.js";
import { openStream } from "../shared/stream.js";
import { phaseOf } from "./state.js";

/** @typedef {import("./state.js").Sale} Sale */

/** After this many failed readings in a row the page says that it is offline. */
const FAILURES = 2;
/** A stream is closed this long after the tab was hidden: browsers open six connections to a server, in all tabs together. */
const HIDDEN_MS = 10_000;

/** Fires `change` when it has read, and when it could not. */
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
