/** Asking the server for what is not read every second. */

import { useState } from "../vendor/preact-htm.js";
import { read } from "./session.js";

/**
 * What was asked, and a function that asks, or asks again. The answer to another path is never shown.
 * @param {string | null} path below `api/admin/`; `null`: there is nothing to ask
 * @param {number} [timeoutMs]
 */
export function useAnswer(path, timeoutMs) {
  const [state, set] = useState(/** @type {Admin.Question} */ ({}));
  const ask = async () => {
    if (!path) return;
    set((/** @type {Admin.Question} */ old) => ({ ...(old.path === path ? old : {}), path, isBusy: true }));
    /** @type {Admin.Question} */
    let answer;
    try {
      answer = { path, data: await read(path, timeoutMs) };
    } catch (error) {
      answer = { path, error };
    }
    set((/** @type {Admin.Question} */ old) => (old.path === path ? answer : old));
  };
  return /** @type {const} */ ([state.path === path ? state : /** @type {Admin.Question} */ ({}), ask]);
}
