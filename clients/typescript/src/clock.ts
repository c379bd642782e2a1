/** The server's clock, whatever the device's clock says: `GET /api/time` against `performance.now()`, which nobody can set. */
import type { components } from "./generated/schema.js";
import { NEVER, send, type Target } from "./http.js";

const SAMPLES = 5;
const TIMEOUT_MS = 3000;

export class ServerClock {
  readonly #target: Target;
  /** The server's milliseconds since 1970 at `performance.now()` 0; NaN before the first sample. */
  #origin = NaN;
  #precisionMs = Infinity;

  constructor(target: Target) {
    this.#target = target;
  }

  get isKnown(): boolean {
    return !Number.isNaN(this.#origin);
  }

  /** Half of the shortest round trip: how wrong `now()` may be, in milliseconds. */
  get precisionMs(): number {
    return this.#precisionMs;
  }

  /** The server's milliseconds since 1970; NaN before `synchronize`. */
  now(): number {
    return this.#origin + performance.now();
  }

  /**
   * Takes five samples, of which the one with the shortest round trip counts. Repeat it after a device has slept, and once a minute while a
   * page counts down.
   * @throws {FlashSaleError} if there was no sample at all
   */
  async synchronize({ signal = NEVER }: { signal?: AbortSignal } = {}): Promise<void> {
    let best = { roundTripMs: Infinity, origin: NaN };
    for (let sample = 0; sample < SAMPLES; sample++) {
      try {
        const sent = performance.now();
        const { data } = await send<components["schemas"]["Success_TimeBody"]>(this.#target, "/api/time", {
          timeoutMs: TIMEOUT_MS,
          signal,
        });
        const roundTripMs = performance.now() - sent;
        if (roundTripMs < best.roundTripMs) best = { roundTripMs, origin: data.epochMillis - sent - roundTripMs / 2 };
      } catch (error) {
        if (signal.aborted || Number.isNaN(best.origin)) throw error;
        break;
      }
    }
    this.#origin = best.origin;
    this.#precisionMs = best.roundTripMs / 2;
  }
}
