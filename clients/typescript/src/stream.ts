/** Server-sent events read with `fetch`, so that the token goes in a header and never in an address. Connects again by itself, with jitter. */
import { FlashSaleError } from "./errors.js";
import { parsed, refusal, type Target } from "./http.js";
import { TimeLimit } from "./limit.js";
import { backoff, pause } from "./retry.js";

/** `live`: connected. `lost`: it tries again by itself; poll meanwhile. */
export type StreamState = "live" | "lost";

/** One event, with its `data` read as JSON. */
export interface StreamEvent {
  readonly name: string;
  readonly data: unknown;
}

export interface StreamOptions {
  readonly token?: string | null;
  readonly signal: AbortSignal;
  readonly onEvent: (event: StreamEvent) => void;
  readonly onState: (state: StreamState) => void;
}

/** The server sends a comment every 12 to 18 s: after this long without a byte the connection is dead. */
const SILENCE_MS = 40_000;
/** A stream that ends sooner counts as a failure: a proxy still sends to a node that drains. */
const SHORTEST_MS = 2000;
const FIRST_RETRY_MS = 3000;
const LONGEST_RETRY_MS = 30_000;
/** Longest waits before they are spread over twice their length. */
const LONGEST_WAIT_MS = 15_000;
const LONGEST_REFUSED_WAIT_MS = 150_000;
/** A server without the stream is asked again after this long. */
const ABSENT_WAIT_MS = 300_000;

/**
 * Reads a stream until `signal` is aborted, through as many connections as it takes.
 * @throws {FlashSaleError} when the token is not accepted; the signal's reason
 */
export async function listen(target: Target, path: string, { token = null, signal, onEvent, onState }: StreamOptions): Promise<never> {
  let retryMs = FIRST_RETRY_MS;
  let failures = 0;
  for (;;) {
    signal.throwIfAborted();
    const connection = new TimeLimit(signal, SILENCE_MS);
    let wait = 0;
    let begun = Infinity;
    try {
      const response = await target.fetch(`${target.base}${path}`, {
        headers: { accept: "text/event-stream", ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
        signal: connection.signal,
        cache: "no-store",
      });
      connection.restart();
      const isStream = (response.headers.get("content-type") ?? "").startsWith("text/event-stream");
      if (response.ok && isStream && response.body !== null) {
        begun = performance.now();
        onState("live");
        const parser = new EventParser(onEvent, (milliseconds) => (retryMs = Math.min(milliseconds, LONGEST_RETRY_MS)));
        await read(response.body, (text) => {
          connection.restart();
          parser.push(text);
        });
      } else {
        const error = refusal(response, parsed(await response.text()));
        if (error.status === 401 || error.status === 403) throw error;
        wait =
          error.status === 404 || error.status === 405
            ? ABSENT_WAIT_MS
            : backoff(failures++, Math.max(error.retryAfterMs, retryMs), LONGEST_REFUSED_WAIT_MS);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof FlashSaleError) throw error;
      // Cut, silent, or never there.
    } finally {
      connection.end();
    }
    // A node that drains or dies loses all its listeners in one moment: they come back spread over a few seconds.
    if (performance.now() - begun >= SHORTEST_MS) failures = 0;
    if (wait === 0) wait = backoff(failures++, retryMs, LONGEST_WAIT_MS);
    onState("lost");
    await pause(wait, signal, true);
  }
}

async function read(body: ReadableStream<Uint8Array>, onText: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onText(decoder.decode(value, { stream: true }));
  }
}

/** Reads the format of https://html.spec.whatwg.org/multipage/server-sent-events.html piece by piece. */
export class EventParser {
  readonly #onEvent: (event: StreamEvent) => void;
  readonly #onRetry: (milliseconds: number) => void;
  #rest = "";
  #name = "";
  #data: string[] = [];

  constructor(onEvent: (event: StreamEvent) => void, onRetry: (milliseconds: number) => void) {
    this.#onEvent = onEvent;
    this.#onRetry = onRetry;
  }

  push(piece: string): void {
    // A piece may end between \r and \n: the \r stays until the next one.
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    if (line === "") {
      if (this.#data.length > 0) this.#onEvent({ name: this.#name || "message", data: parsed(this.#data.join("\n")) });
      this.#name = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#name = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.#onRetry(Number(value));
  }
}
