/** The server's clock, whatever the device's clock says: `GET /api/time` against `performance.now()`, which nobody can set. */

import { request } from "./api.js";

const SAMPLES = 5;
const REPEAT_MS = 60_000;

/** Tells the server's time. Synchronize it before the first use. */
export class ServerClock extends EventTarget {
  /** Server's milliseconds since 1970 at `performance.now()` 0; NaN before the first sample. */
  #origin = NaN;
  /** Half the shortest round trip: how wrong it may be, in milliseconds. */
  precisionMs = Infinity;
  /** @type {Promise<void> | null} */
  #running = null;
  #hiddenAt = 0;

  get isKnown() {
    return !Number.isNaN(this.#origin);
  }

  /** Milliseconds since 1970; NaN before the first sample. */
  now() {
    return this.#origin + performance.now();
  }

  /** Five samples; the one with the shortest round trip counts. Fires `change`. */
  synchronize() {
    this.#running ??= this.#sample(true).finally(() => (this.#running = null));
    return this.#running;
  }

  /**
   * Synchronizes now, and when the tab becomes visible after a minute: after a sleep `performance.now()` may be behind. Each minute one
   * sample is compared.
   */
  start() {
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState !== "visible") this.#hiddenAt = Date.now();
      else if (Math.abs(Date.now() - this.#hiddenAt) > REPEAT_MS) void this.synchronize();
    });
    window.addEventListener("online", () => void this.synchronize());
    setInterval(() => (this.#running ??= this.#sample(false).finally(() => (this.#running = null))), REPEAT_MS);
    return this.synchronize();
  }

  /** @param {boolean} isWhole false: one sample, and the others if it contradicts what is known */
  async #sample(isWhole) {
    let best = { roundTrip: Infinity, origin: NaN };
    for (let sample = 0; sample < SAMPLES; sample++) {
      try {
        const sent = performance.now();
        const { data } = await request("api/time", { timeoutMs: 3000, headers: { "cache-control": "no-cache" } });
        const roundTrip = performance.now() - sent;
        if (roundTrip < best.roundTrip) best = { roundTrip, origin: data.epochMillis - sent - roundTrip / 2 };
        if (!isWhole && Math.abs(best.origin - this.#origin) <= roundTrip) return;
        isWhole = true;
        // The first one is enough to show something; the others make it precise.
        if (!this.isKnown) this.#set(best);
      } catch {
        break;
      }
    }
    if (best.roundTrip < Infinity) this.#set(best);
  }

  /** @param {{roundTrip: number, origin: number}} best */
  #set({ roundTrip, origin }) {
    this.#origin = origin;
    this.precisionMs = roundTrip / 2;
    this.dispatchEvent(new Event("change"));
  }
}
