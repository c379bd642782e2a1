/**
 * What became of a shopper's attempts: pushed over one stream for all sales, polled while there is none. One stream serves all that wait, since
 * an account may have ten.
 */
import { FlashSaleError } from "./errors.js";
import type { components } from "./generated/schema.js";
import { send, type Target } from "./http.js";
import { Mailbox } from "./mailbox.js";
import { backoff } from "./retry.js";
import { listen } from "./stream.js";

/** `status`: `PENDING` (the order is being made), `SUCCESS`, `FAILED` (no unit was left), `NONE` (the order was ended). */
export type Result = components["schemas"]["ResultEvent"];

interface Listener {
  /** Waits for an order: then the feed polls now and then although it is connected, should an event be missing. */
  readonly isWaiting: boolean;
  /** `askedAt`: when it was asked for, by `performance.now()`; null if it was pushed. */
  readonly onResult: (result: Result, askedAt: number | null) => void;
  readonly onFailure: (error: Error) => void;
}

/** First wait and longest wait between two readings, each times 1 to 2, in milliseconds. */
const POLLS = { waiting: [300, 2000], watching: [3000, 6000] } as const;
const LIVE_POLL_MS = 4000;

export class ResultFeed {
  readonly #target: Target;
  readonly #token: string | null;
  readonly #listeners = new Set<Listener>();
  /** Runs while somebody listens. */
  #run: AbortController | null = null;
  #isLive = false;
  #polls = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What the last connection, or a reading since, has told of each sale. */
  readonly #told = new Map<number, Result>();

  constructor(target: Target, token: string | null) {
    this.#target = target;
    this.#token = token;
  }

  /** The result of an attempt that was accepted just now. */
  wait(saleId: number, signal: AbortSignal): Promise<Result> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const since = performance.now();
      const leave = this.#enter({
        isWaiting: true,
        onResult: (result, askedAt) => {
          if (result.saleId !== saleId || result.status === "PENDING") return;
          if (askedAt === null && result.status === "FAILED") {
            // A stream begins with what its node knows, which may be older than the attempt. What is asked for now is not.
            this.#schedule(0);
          } else if (askedAt === null || askedAt >= since) {
            end();
            resolve(result);
          }
        },
        onFailure: (error) => {
          end();
          reject(error);
        },
      });
      const abort = () => {
        end();
        reject(signal.reason as Error);
      };
      const end = () => {
        signal.removeEventListener("abort", abort);
        leave();
      };
      signal.addEventListener("abort", abort);
      // It may have been pushed before the attempt was answered.
      if (this.#told.has(saleId)) this.#schedule(0);
    });
  }

  /** All results, now and whenever one changes; ends with an error only. Of each sale a slow reader gets the newest. */
  async *all(signal: AbortSignal): AsyncGenerator<Result, never> {
    signal.throwIfAborted();
    const mailbox = new Mailbox<number, Result>();
    const seen = new Map<number, Result["status"]>();
    const tell = (result: Result) => {
      // Readings repeat what was told.
      if (seen.get(result.saleId) === result.status) return;
      seen.set(result.saleId, result.status);
      mailbox.put(result.saleId, result);
    };
    // At once: a reader that is busy takes the error later.
    const fail = (error: unknown) => {
      leave();
      mailbox.fail(error);
    };
    const abort = () => {
      fail(signal.reason);
    };
    for (const result of this.#told.values()) tell(result);
    const leave = this.#enter({ isWaiting: false, onResult: tell, onFailure: fail });
    signal.addEventListener("abort", abort);
    try {
      for (;;) yield await mailbox.take();
    } finally {
      signal.removeEventListener("abort", abort);
      leave();
    }
  }

  /** Ends all that wait, with this error: the shopper has left. */
  close(error: Error): void {
    for (const listener of [...this.#listeners]) listener.onFailure(error);
  }

  #enter(listener: Listener): () => void {
    this.#listeners.add(listener);
    if (this.#run === null) this.#start();
    else if (listener.isWaiting) {
      this.#polls = 0;
      this.#schedule();
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#stop();
    };
  }

  #start(): void {
    const run = new AbortController();
    this.#run = run;
    this.#polls = 0;
    const { signal } = run;
    listen(this.#target, "/api/orders/events", {
      token: this.#token,
      signal,
      onEvent: ({ name, data }) => {
        if (name === "result" && isResult(data) && !signal.aborted) this.#tell(data, null);
      },
      onState: (state) => {
        const isLive = state === "live";
        if (signal.aborted || isLive === this.#isLive) return;
        this.#isLive = isLive;
        this.#told.clear();
        this.#polls = 0;
        this.#schedule();
      },
    }).catch((error: unknown) => {
      if (!signal.aborted) this.close(error as Error);
    });
    this.#schedule();
  }

  #stop(): void {
    this.#run?.abort();
    this.#run = null;
    this.#isLive = false;
    this.#told.clear();
    clearTimeout(this.#timer);
  }

  /** When results are read next. `wait`: in so many milliseconds; else as the state of the stream wants it. */
  #schedule(wait = this.#interval()): void {
    clearTimeout(this.#timer);
    const run = this.#run;
    if (run === null || wait === Infinity) return;
    this.#timer = setTimeout(() => {
      this.#polls++;
      void this.#poll(run.signal).then(() => {
        if (!run.signal.aborted) this.#schedule();
      });
    }, wait);
  }

  #interval(): number {
    const isWaiting = [...this.#listeners].some((listener) => listener.isWaiting);
    if (this.#isLive) return isWaiting ? backoff(0, LIVE_POLL_MS, LIVE_POLL_MS) : Infinity;
    const [first, longest] = isWaiting ? POLLS.waiting : POLLS.watching;
    return backoff(this.#polls, first, longest);
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const askedAt = performance.now();
    try {
      const { data } = await send<components["schemas"]["ResultsBody"]>(this.#target, "/api/orders/results", {
        token: this.#token,
        signal,
      });
      for (const result of data) if (!signal.aborted) this.#tell(result, askedAt);
    } catch (error) {
      // No answer: asked again while it is waited for.
      if (!signal.aborted && error instanceof FlashSaleError && error.isUnauthorized) this.close(error);
    }
  }

  #tell(result: Result, askedAt: number | null): void {
    this.#told.set(result.saleId, result);
    for (const listener of [...this.#listeners]) listener.onResult(result, askedAt);
  }
}

function isResult(data: unknown): data is Result {
  const { saleId, status } = (data ?? {}) as Partial<Result>;
  return typeof saleId === "number" && typeof status === "string";
}
