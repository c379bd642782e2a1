/** What a request ended with when it did not succeed, by code. */
import type { components } from "./generated/schema.js";

/** Codes of the API. Later versions may add some: handle an unknown one by `status`. */
export type ServerCode = components["schemas"]["ErrorBody"]["code"];

/**
 * Codes of the client. `network`: no answer, or one that is not the API's (a proxy's page). `timeout`: no answer in time. In both cases the
 * server may have done what was asked.
 */
export type ClientCode = "network" | "timeout";

export type Code = ServerCode | ClientCode;

export class FlashSaleError extends Error {
  override readonly name = "FlashSaleError";
  readonly code: Code;
  /** HTTP status; 0 if no answer came. */
  readonly status: number;
  /** How long the server wants to be left alone, in milliseconds; 0 if it did not say. */
  readonly retryAfterMs: number;
  /** With `not_started`: how long until the sale starts by the server's clock, in milliseconds, when the answer was made. */
  readonly startsInMs: number | null;
  /** What the server calls the request in its log; null if it did not say. */
  readonly requestId: string | null;

  constructor(
    code: Code,
    message: string,
    details: { status?: number; retryAfterMs?: number; startsInMs?: number | null; requestId?: string | null; cause?: unknown } = {},
  ) {
    super(message, { cause: details.cause });
    this.code = code;
    this.status = details.status ?? 0;
    this.retryAfterMs = details.retryAfterMs ?? 0;
    this.startsInMs = details.startsInMs ?? null;
    this.requestId = details.requestId ?? null;
  }

  /** No answer came. */
  get isUnanswered(): boolean {
    return this.status === 0;
  }

  /** The same request may succeed later. */
  get isPassing(): boolean {
    return this.isUnanswered || this.status >= 500 || this.status === 429 || this.status === 408;
  }

  /** Whether the request was carried out is not known: after a press, the shopper may hold a unit. */
  get isOutcomeUnknown(): boolean {
    return this.isUnanswered || this.code === "outcome_unknown" || this.code === "internal";
  }

  /** The token is missing, expired, or its session has ended. */
  get isUnauthorized(): boolean {
    return this.status === 401 && this.code.startsWith("token_");
  }
}
