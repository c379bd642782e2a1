/**
 * Requests to the API, their errors by code, the waits until they are tried again, and where a page keeps its token. Addresses are relative,
 * so that a proxy may add a prefix.
 */

/** @typedef {{token: string, username: string, userId: string, role?: string}} Session */

/** What a request ended with when it did not succeed. `code` is the API's; `network` and `timeout` mean that no answer came. */
export class ApiError extends Error {
  /**
   * @param {string} code
   * @param {string} message in English, for people
   * @param {number} status 0: no answer
   * @param {number} retryAfterMs 0: the answer names no time
   * @param {any} answer what else was answered
   */
  constructor(code, message, status = 0, retryAfterMs = 0, answer = null) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
    this.answer = answer;
  }

  /** Whether the server's decision is not known: the request may have been carried out. */
  get isUnanswered() {
    return this.status === 0;
  }
}

/**
 * Sends a request and answers with what the API said.
 * @template [T=any]
 * @param {string} path relative: "api/time"
 * @param {{method?: string, body?: unknown, token?: string, headers?: Record<string, string>, timeoutMs?: number, signal?: AbortSignal}} [options]
 * @returns {Promise<{data: T, message: string, status: number, headers: Headers, answer: any}>} `answer`: all of it
 * @throws {ApiError}
 */
export async function request(path, { method = "GET", body, token, headers = {}, timeoutMs = 10_000, signal } = {}) {
  const timeout = AbortSignal.timeout(timeoutMs);
  /** @type {Response} */
  let response;
  /** @type {any} */
  let answer = null;
  try {
    response = await fetch(path, {
      method,
      headers: {
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ? either(signal, timeout) : timeout,
      credentials: "same-origin",
    });
    const text = response.status === 204 ? "" : await response.text();
    try {
      answer = text ? JSON.parse(text) : null;
    } catch {
      // A proxy's page. The status says enough.
    }
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(timeout.aborted ? "timeout" : "network", String(error));
  }
  if (response.ok && (answer !== null || response.status === 204)) {
    return { data: answer?.data ?? answer, message: answer?.message ?? "", status: response.status, headers: response.headers, answer };
  }
  // A proxy that cannot reach the server says 502 or 504, without a code: as if no answer came.
  const code = answer?.code ?? (response.status >= 500 || response.ok ? "network" : "bad_request");
  const status = code === "network" ? 0 : response.status;
  throw new ApiError(code, answer?.message ?? response.statusText, status, retryAfter(response.headers), answer);
}

/** @param {Headers} headers */
export function retryAfter(headers) {
  const seconds = Number(headers.get("retry-after"));
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 3600) * 1000 : 0;
}

/**
 * `AbortSignal.any`, which browsers have since 2023 or 2024.
 * @param {AbortSignal} first
 * @param {AbortSignal} second
 */
function either(first, second) {
  const controller = new AbortController();
  for (const signal of [first, second]) {
    if (signal.aborted) controller.abort(signal.reason);
    signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
  }
  return controller.signal;
}

/**
 * Milliseconds until the next attempt, which is not in the same moment as everybody else's: twice as many after each failure, times 1 to 2 at random.
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

/**
 * A place for JSON values that never throws: where the browser refuses storage they last as long as the page.
 * @param {"localStorage" | "sessionStorage"} kind
 * @param {string} prefix
 */
export function store(kind, prefix) {
  /** @type {Map<string, string>} */
  const memory = new Map();
  /** @param {(storage: Storage) => void} act */
  const attempt = (act) => {
    try {
      act(window[kind]);
    } catch {
      // Refused, or full.
    }
  };
  return {
    /** @param {string} key @returns {any} */
    get(key) {
      let text = memory.get(key) ?? null;
      attempt((storage) => (text = storage.getItem(prefix + key)));
      try {
        return text === null ? null : JSON.parse(text);
      } catch {
        return null;
      }
    },
    /** @param {string} key @param {unknown} value null removes it */
    set(key, value) {
      if (value === null) {
        memory.delete(key);
        attempt((storage) => storage.removeItem(prefix + key));
        return;
      }
      const text = JSON.stringify(value);
      memory.set(key, text);
      attempt((storage) => storage.setItem(prefix + key, text));
    },
  };
}
