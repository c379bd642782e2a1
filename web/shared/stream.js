/** Server-sent events over fetch, so that the token goes in a header and never in an address. Reconnects by itself, with jitter. */

import { backoff, pause, retryAfter } from "./api.js";

/**
 * live: connected; lost: it tries again by itself; absent: the server has no such stream (404), looked for again after five minutes;
 * refused: the token is not accepted, it has ended.
 * @typedef {"live" | "lost" | "absent" | "refused"} StreamState
 */

/** Heartbeats come every 15 s ± 20 %: after this long without a byte the connection is dead. */
const SILENCE_MS = 40_000;
/** A stream that ends sooner is taken for a failure: a proxy still sends to a node that drains. */
const SHORTEST_MS = 2000;
const LONGEST_RETRY_MS = 30_000;
/** A wait is at most twice as long: `backoff` spreads each over its own length. */
const LONGEST_WAIT_MS = { lost: 15_000, refused: 150_000 };
const ABSENT_WAIT_MS = 300_000;

/**
 * Opens a stream. Callers poll while its state is not `live`.
 * @param {string} path
 * @param {{token?: string, onEvent: (name: string, data: any) => void, onState: (state: StreamState, waitMs: number) => void,
 *   onHeard?: () => void}} options `waitMs`: until it tries again. `onHeard`: something came, if only a heartbeat: what was told last still holds
 * @returns {{close: () => void}}
 */
export function openStream(path, { token, onEvent, onState, onHeard }) {
  const closed = new AbortController();
  let retryMs = 3000;
  let failures = 0;

  /** @returns {Promise<{state: StreamState, waitMs: number}>} how it ended, and how long to wait */
  async function connect() {
    const connection = new AbortController();
    const end = () => connection.abort();
    closed.signal.addEventListener("abort", end);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(end, SILENCE_MS);
    };
    heard();
    let begun = Infinity;
    try {
      const response = await fetch(path, {
        headers: { accept: "text/event-stream", ...(token ? { authorization: `Bearer ${token}` } : {}) },
        signal: connection.signal,
        cache: "no-store",
      });
      if (response.status === 401 || response.status === 403) return { state: "refused", waitMs: 0 };
      if (response.status === 404 || response.status === 405) return { state: "absent", waitMs: ABSENT_WAIT_MS };
      const type = response.headers.get("content-type") ?? "";
      if (!response.ok || !response.body || !type.startsWith("text/event-stream")) {
        const first = Math.max(retryAfter(response.headers), retryMs);
        return { state: "lost", waitMs: backoff(failures++, first, LONGEST_WAIT_MS.refused) };
      }
      begun = performance.now();
      onState("live", 0);
      const parse = parser(onEvent, (milliseconds) => (retryMs = milliseconds));
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || closed.signal.aborted) break;
        heard();
        parse(value);
        onHeard?.();
      }
    } catch {
      // Cut, silent, or never there.
    } finally {
      clearTimeout(silence);
      closed.signal.removeEventListener("abort", end);
    }
    // Where the node drains or dies, all its listeners come back; not in one moment.
    if (performance.now() - begun >= SHORTEST_MS) failures = 0;
    return { state: "lost", waitMs: backoff(failures++, retryMs, LONGEST_WAIT_MS.lost) };
  }

  async function run() {
    while (!closed.signal.aborted) {
      const { state, waitMs } = await connect();
      if (closed.signal.aborted) return;
      onState(state, waitMs);
      if (state === "refused") return;
      await pause(waitMs, closed.signal, true);
    }
  }
  void run();
  return { close: () => closed.abort() };
}

/**
 * Reads the format of https://html.spec.whatwg.org/multipage/server-sent-events.html piece by piece.
 * @param {(name: string, data: any) => void} onEvent `data` is JSON
 * @param {(milliseconds: number) => void} onRetry
 * @returns {(piece: string) => void}
 */
export function parser(onEvent, onRetry) {
  let rest = "";
  let name = "";
  /** @type {string[]} */
  let data = [];
  return (piece) => {
    // A piece may end between \r and \n: the \r stays until the next one.
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) onEvent(name || "message", JSON.parse(data.join("\n")));
        name = "";
        data = [];
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") data.push(value);
      else if (field === "event") name = value;
      else if (field === "retry" && /^\d+$/.test(value)) onRetry(Math.min(Number(value), LONGEST_RETRY_MS));
    }
  };
}
