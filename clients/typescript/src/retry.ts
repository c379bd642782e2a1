/** When something is tried again: later after each failure, and not in the same moment as all other clients. */
import { FlashSaleError } from "./errors.js";

/** Milliseconds until the next try: `first`, doubled after each failure up to `longest`, times 1 to 2 at random. */
export function backoff(failures: number, first: number, longest: number): number {
  return Math.min(first * 2 ** Math.min(failures, 20), longest) * (1 + Math.random());
}

/** A timer cannot wait longer: 2^31 - 1 ms, some 24 days. Callers look again then. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Waits. Rejects with the signal's reason when that is aborted. With `untilOnline` it ends early when a browser's network comes back. */
export function pause(milliseconds: number, signal: AbortSignal, untilOnline = false): Promise<void> {
  return new Promise((resolve, reject) => {
    // Node.js has no such event, and before version 19 no such function.
    const page = typeof globalThis.addEventListener === "function" && untilOnline ? globalThis : null;
    const end = () => {
      clearTimeout(timer);
      page?.removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve();
    };
    const timer = setTimeout(end, Math.min(milliseconds, LONGEST_TIMER_MS));
    page?.addEventListener("online", end);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}

const FIRST_MS = 400;
const LONGEST_MS = 2500;

/** How long to wait after an error of a passing kind: as the server says, or longer after each failure. */
export function waitAfter(error: FlashSaleError, failures: number): number {
  return Math.max(error.retryAfterMs * (1 + Math.random() / 4), backoff(failures, FIRST_MS, LONGEST_MS));
}

/**
 * Does something again while it fails with errors for which `again` answers true, until `patienceMs` would pass; then throws the last error.
 * For what may be done twice.
 */
export async function repeat<T>(
  act: () => Promise<T>,
  { patienceMs, signal, again }: { patienceMs: number; signal: AbortSignal; again: (error: FlashSaleError) => boolean },
): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (let failures = 0; ; failures++) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof FlashSaleError) || !again(error)) throw error;
      const wait = waitAfter(error, failures);
      if (performance.now() + wait > deadline) throw error;
      await pause(wait, signal, error.isUnanswered);
    }
  }
}
