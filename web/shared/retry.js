/** When something is tried again: later after each failure, and not in the same moment as everybody else. */

/**
 * Milliseconds until the next attempt: twice as many after each failure, times 1 to 2 at random.
 * @param {number} failures in a row, this one not counted
 * @param {number} first
 * @param {number} longest
 */
export const backoff = (failures, first, longest) => Math.min(first * 2 ** Math.min(failures, 20), longest) * (1 + Math.random());

/**
 * Waits; ends early when aborted, and with `untilOnline` when the network comes back.
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @param {boolean} [untilOnline]
 */
export function pause(milliseconds, signal, untilOnline) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      window.removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      resolve(undefined);
    };
    const timer = setTimeout(end, milliseconds);
    if (untilOnline) window.addEventListener("online", end);
    signal.addEventListener("abort", end);
  });
}
