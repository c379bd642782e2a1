/** The server's clock, whatever the device's clock says: `GET /api/time` against `performance.now()`, which nobody can set. */

import { request } from "./api.js";

const SAMPLES = 5;
const REPEAT_MS = 60_000;
/** By how much two clocks may drift apart from one comparison to the next, in milliseconds: 100 millionths. */
const DRIFT_MS = 6;

/** Tells the server's time. Synchronize it before the first use. */
export class ServerClock extends EventTarget {
  /** Server's milliseconds since 1970 at `performance.now()` 0; NaN before the first sample. */
  #origin = NaN;
  /** Half the shortest round trip: how wrong it may be, in milliseconds. */
  precisionMs = Infinity;
  /** @type {Promise<void> | null} */
  #running = null;

  get isKnown() {
    return !Number.isNaN(this.#origin);
  }

  /** Milliseconds since 1970; NaN before the first sample. */
  now() {
    return this.#origin + performance.now();
  }

  /** Five samples; the one with the shortest round trip counts. Fires `change`. */
  synchronize() {
    this.#running ??= this.#sample().finally(() => (this.#running = null));
    return this.#running;
  }

  /** Synchronizes now, each minute, and when the tab becomes visible: after a sleep `performance.now()` may be behind. */
  start() {
    const again = () => void this.synchronize();
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && again());
    window.addEventListener("online", again);
    setInterval(again, REPEAT_MS);
    return this.synchronize();
  }

  async #sample() {
    let best = { roundTrip: Infinity, origin: NaN };
    for (let sample = 0; sample < SAMPLES; sample++) {
      try {
        const sent = performance.now();
        const { data } = await request("api/time", { timeoutMs: 3000, headers: { "cache-control": "no-cache" } });
        const roundTrip = performance.now() - sent;
        if (roundTrip < best.roundTrip) best = { roundTrip, origin: data.epochMillis - sent - roundTrip / 2 };
        // The first one is enough to show something; the others make it precise.
        if (!this.isKnown) this.#set(best);
      } catch {
        break;
      }
    }
    this.precisionMs += DRIFT_MS;
    // While the server is busy, what is known already may be more exact. It is kept unless the new sample contradicts it.
    const isWorse = best.roundTrip / 2 > this.precisionMs;
    if (best.roundTrip < Infinity && !(isWorse && Math.abs(best.origin - this.#origin) <= best.roundTrip)) this.#set(best);
  }

  /** @param {{roundTrip: number, origin: number}} best */
  #set({ roundTrip, origin }) {
    this.#origin = origin;
    this.precisionMs = roundTrip / 2;
    this.dispatchEvent(new Event("change"));
  }
}
