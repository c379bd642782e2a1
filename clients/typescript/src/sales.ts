/** A sale as everybody sees it, as it changes: pushed, and polled while there is no stream. */
import { FlashSaleError } from "./errors.js";
import type { components } from "./generated/schema.js";
import { send, type Target } from "./http.js";
import { Mailbox } from "./mailbox.js";
import { backoff } from "./retry.js";
import { listen } from "./stream.js";

export type Sale = components["schemas"]["PublicSaleBody"];

/** Between two readings while there is no stream, in milliseconds, times 1 to 2. */
const POLL_MS = 1500;

/** A sale now and whenever it changes. A slow reader gets the newest. */
export async function* watch(target: Target, saleId: number, signal: AbortSignal): AsyncGenerator<Sale, never> {
  signal.throwIfAborted();
  const mailbox = new Mailbox<number, Sale>();
  const run = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isLive = false;
  let last = "";
  const tell = (sale: Sale) => {
    const { id, phase, stock, startTime, endTime, product } = sale;
    const text = JSON.stringify([phase, stock, startTime, endTime, product]);
    if (text !== last) mailbox.put(id, sale);
    last = text;
  };
  const end = () => {
    run.abort();
    clearTimeout(timer);
  };
  // At once: a reader that is busy takes the error later.
  const fail = (error: unknown) => {
    if (run.signal.aborted) return;
    end();
    mailbox.fail(error);
  };
  const poll = async () => {
    try {
      const { data } = await send<components["schemas"]["Success_PublicSaleBody"]>(target, `/api/flash-sales/${saleId}`, {
        signal: run.signal,
      });
      // What was pushed meanwhile is newer.
      if (!isLive) tell(data);
    } catch (error) {
      if (error instanceof FlashSaleError && !error.isPassing) fail(error);
    }
  };
  const schedule = () => {
    clearTimeout(timer);
    if (isLive || run.signal.aborted) return;
    timer = setTimeout(() => void poll().then(schedule), backoff(0, POLL_MS, POLL_MS));
  };
  const abort = () => {
    fail(signal.reason);
  };
  signal.addEventListener("abort", abort);
  schedule();
  listen(target, `/api/flash-sales/${saleId}/events`, {
    signal: run.signal,
    onEvent: ({ name, data }) => {
      if (name === "sale") tell(data as Sale);
    },
    onState: (state) => {
      isLive = state === "live";
      schedule();
    },
  }).catch(fail);
  try {
    for (;;) yield await mailbox.take();
  } finally {
    signal.removeEventListener("abort", abort);
    end();
  }
}
