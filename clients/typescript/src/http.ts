/** One request to the API: its time limit, its answer, and its errors by code. Nothing is repeated here. */
import { FlashSaleError, type Code } from "./errors.js";
import { TimeLimit } from "./limit.js";

/** Where requests go. */
export interface Target {
  /** Without a slash at its end. */
  readonly base: string;
  readonly fetch: typeof fetch;
}

export interface RequestOptions {
  readonly method?: "GET" | "POST";
  readonly body?: unknown;
  readonly token?: string | null;
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

const TIMEOUT_MS = 8000;
/** A server's `Retry-After` is believed up to this. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;

/** Never aborted, where the caller gives no signal. */
export const NEVER: AbortSignal = new AbortController().signal;

/**
 * Sends a request and answers with the JSON that came.
 * @throws {FlashSaleError}; the signal's reason if that was aborted
 */
export async function send<T>(
  target: Target,
  path: string,
  { method = "GET", body, token = null, timeoutMs = TIMEOUT_MS, signal }: RequestOptions,
): Promise<T> {
  signal.throwIfAborted();
  const limit = new TimeLimit(signal, timeoutMs);
  const headers: Record<string, string> = { accept: "application/json" };
  if (token !== null) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  try {
    const response = await target.fetch(`${target.base}${path}`, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: limit.signal,
      cache: "no-store",
    });
    const answer = parsed(await response.text());
    if (response.ok && (answer !== null || response.status === 204)) return answer as T;
    throw refusal(response, answer);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof FlashSaleError) throw error;
    const code = limit.signal.aborted ? "timeout" : "network";
    throw new FlashSaleError(code, `${method} ${path}: no answer (${code})`, { cause: error });
  } finally {
    limit.end();
  }
}

/** The error that an answer is. */
export function refusal(response: Response, answer: unknown): FlashSaleError {
  const { code, message, startsAt, serverTime } = (answer ?? {}) as Record<string, unknown>;
  if (typeof code !== "string" && (response.ok || response.status >= 500)) {
    // A proxy that reaches no server answers 502 or 504, and other networks answer with a page of their own: as if no answer came.
    return new FlashSaleError("network", `an answer with status ${response.status} that is not the API's`, {
      retryAfterMs: retryAfter(response.headers),
    });
  }
  const startsInMs = Date.parse(String(startsAt)) - Date.parse(String(serverTime));
  return new FlashSaleError(
    typeof code === "string" ? (code as Code) : "bad_request",
    typeof message === "string" ? message : response.statusText,
    {
      status: response.status,
      retryAfterMs: retryAfter(response.headers),
      startsInMs: Number.isNaN(startsInMs) ? null : startsInMs,
      requestId: response.headers.get("x-request-id"),
    },
  );
}

/** `Retry-After` in milliseconds; 0 if there is none. */
export function retryAfter(headers: Headers): number {
  const seconds = Number(headers.get("retry-after"));
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds * 1000, LONGEST_RETRY_AFTER_MS) : 0;
}

export function parsed(text: string): unknown {
  try {
    return text === "" ? null : (JSON.parse(text) as unknown);
  } catch {
    return null;
  }
}
