/**
 * A press of "buy" and what becomes of it. A press is repeated until the server has answered it: the server counts one attempt a shopper, so
 * that repeating never buys twice. No answer is never taken for a refusal.
 */
import { FlashSaleError } from "./errors.js";
import type { components } from "./generated/schema.js";
import { send, type Target } from "./http.js";
import { TimeLimit } from "./limit.js";
import type { ResultFeed } from "./results.js";
import { pause, waitAfter } from "./retry.js";

/**
 * `bought`: the order stands. `sold_out`, `ended`: the press was refused. `failed`: it was accepted, and no unit was left for it. `cancelled`: the
 * order was ended by the shop while it was waited for.
 */
export type Purchase =
  | { readonly outcome: "bought"; readonly saleId: number; readonly attemptId: string }
  | { readonly outcome: "sold_out" | "ended" | "failed" | "cancelled"; readonly saleId: number };

/**
 * `waiting`: the sale has not started, or is paused; `asking`: the press is under way; `checking`: it is not known whether it counts, and it is
 * repeated; `accepted`: a unit is held and the order is being made.
 */
export type PurchaseState = "waiting" | "asking" | "checking" | "accepted";

export interface BuyOptions {
  /** Ends the waiting. The attempt may count all the same: call `buy` again to learn it. */
  readonly signal?: AbortSignal;
  /** Longest time until the outcome, in milliseconds, waiting for a start or the end of a pause included. Ten minutes unless it is given. */
  readonly patienceMs?: number;
  readonly onState?: (state: PurchaseState) => void;
}

/** An order mostly stands within a second. After this long, times 1 to 2, the press is repeated: it answers what became of it. */
const ORDER_MS = 20_000;
/** Presses that wait for a start are sent within this time after it: not those of all shoppers in one millisecond. */
export const SPREAD_MS = 250;
/** Less than this before a start is a difference of clocks. */
const EARLY_MS = 1000;

export class Purchasing {
  readonly #target: Target;
  readonly #token: string;
  readonly #results: ResultFeed;
  readonly #saleId: number;
  readonly #signal: AbortSignal;
  readonly #deadline: number;
  readonly #onState: (state: PurchaseState) => void;
  #state: PurchaseState | null = null;

  constructor(target: Target, token: string, results: ResultFeed, saleId: number, signal: AbortSignal, options: BuyOptions) {
    this.#target = target;
    this.#token = token;
    this.#results = results;
    this.#saleId = saleId;
    this.#signal = signal;
    this.#deadline = performance.now() + (options.patienceMs ?? 600_000);
    this.#onState = options.onState ?? (() => undefined);
  }

  /** Sends the attempt until the server has answered it, then waits for its result. */
  async run(): Promise<Purchase> {
    const saleId = this.#saleId;
    for (let wasAccepted = false; ; wasAccepted = true) {
      const pressed = await this.#press(wasAccepted);
      if (typeof pressed === "string") {
        // An attempt that this call sent before was accepted. A refusal now means that no unit was left for it.
        return { outcome: wasAccepted ? "failed" : pressed, saleId };
      }
      const { attemptId } = pressed;
      if (pressed.status === "SUCCESS") return { outcome: "bought", saleId, attemptId };
      this.#tell("accepted");
      switch (await this.#result()) {
        case "SUCCESS":
          return { outcome: "bought", saleId, attemptId };
        case "FAILED":
          return { outcome: "failed", saleId };
        case "NONE":
          return { outcome: "cancelled", saleId };
        case "PENDING":
      }
    }
  }

  /** One press, repeated until it is answered: the attempt, or why it is refused. */
  async #press(wasAccepted: boolean): Promise<components["schemas"]["AttemptBody"] | "sold_out" | "ended"> {
    let isUnknown = wasAccepted;
    this.#tell(isUnknown ? "checking" : "asking");
    for (let failures = 0; ; failures++) {
      try {
        const path = `/api/flash-sale/attempt/${this.#saleId}`;
        const options = { method: "POST", token: this.#token, signal: this.#signal } as const;
        return (await send<components["schemas"]["Success_AttemptBody"]>(this.#target, path, options)).data;
      } catch (error) {
        if (!(error instanceof FlashSaleError)) throw error;
        if (error.code === "sold_out" || error.code === "ended") return error.code;
        const isClosed = error.code === "not_started" || error.code === "paused";
        if (!isClosed && !error.isPassing) throw error;
        isUnknown ||= error.isOutcomeUnknown;
        let wait = waitAfter(error, failures);
        if (error.code === "not_started") {
          const untilStart = error.startsInMs ?? 0;
          wait = untilStart > EARLY_MS ? untilStart + Math.random() * SPREAD_MS : Math.max(untilStart, 100) * (1 + Math.random() / 4);
        }
        if (performance.now() + wait > this.#deadline) throw this.#tooLate(error, isUnknown);
        if (isClosed) this.#tell("waiting");
        else this.#tell(isUnknown ? "checking" : "asking");
        await pause(wait, this.#signal, error.isUnanswered);
      }
    }
  }

  /** The attempt's result; `PENDING` if there is none for so long that the press should be repeated. */
  async #result(): Promise<components["schemas"]["ResultEventStatus"]> {
    const left = this.#deadline - performance.now();
    if (left <= 0) throw this.#tooLate(undefined, true);
    const limit = new TimeLimit(this.#signal, Math.min(left, ORDER_MS * (1 + Math.random())));
    try {
      return (await this.#results.wait(this.#saleId, limit.signal)).status;
    } catch (error) {
      this.#signal.throwIfAborted();
      if (limit.signal.aborted) return "PENDING";
      throw error;
    } finally {
      limit.end();
    }
  }

  #tooLate(cause: FlashSaleError | undefined, isUnknown: boolean): FlashSaleError {
    if (cause !== undefined && !isUnknown) return cause;
    return new FlashSaleError("outcome_unknown", "It is not known yet whether the attempt counts. Buying again is safe.", {
      status: cause?.status ?? 0,
      retryAfterMs: cause?.retryAfterMs ?? 0,
      cause,
    });
  }

  #tell(state: PurchaseState): void {
    if (state !== this.#state) this.#onState(state);
    this.#state = state;
  }
}
