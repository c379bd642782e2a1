/** The client: one shopper at one shop. */
import { ServerClock } from "./clock.js";
import { FlashSaleError } from "./errors.js";
import type { components } from "./generated/schema.js";
import { NEVER, send, type RequestOptions, type Target } from "./http.js";
import { Purchasing, SPREAD_MS, type BuyOptions, type Purchase } from "./purchase.js";
import { ResultFeed, type Result } from "./results.js";
import { pause, repeat } from "./retry.js";
import { watch, type Sale } from "./sales.js";

type Schemas = components["schemas"];
/** A token and whose it is. */
export type Session = Schemas["SessionBody"];
export type Account = Schemas["AccountBody"];

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface Options {
  /** A token that there is, from an earlier login. */
  readonly token?: string;
  /** Instead of the global `fetch`. */
  readonly fetch?: typeof fetch;
}

/** How long requests other than presses are repeated, in milliseconds. */
const PATIENCE_MS = 15_000;
/** Waits are cut into pieces of this length, since clocks of devices that sleep are behind afterwards. */
const LONGEST_WAIT_MS = 60_000;

export class FlashSale {
  readonly clock: ServerClock;
  readonly #target: Target;
  #token: string | null;
  #results: ResultFeed;

  /** `baseUrl`: where the API is, with a path if a proxy adds one: `https://sale.shop.example`. */
  constructor(baseUrl: string, { token, fetch = globalThis.fetch }: Options = {}) {
    // Bound: browsers refuse a `fetch` that is called as a method of something else.
    this.#target = { base: baseUrl.replace(/\/+$/, ""), fetch: fetch.bind(globalThis) };
    this.clock = new ServerClock(this.#target);
    this.#token = token ?? null;
    this.#results = new ResultFeed(this.#target, this.#token);
  }

  /** The token that requests carry. Another one ends what waits for results of the one before. */
  get token(): string | null {
    return this.#token;
  }

  set token(token: string | null) {
    if (token === this.#token) return;
    this.#results.close(new FlashSaleError("token_missing", "the session was ended by this client", { status: 401 }));
    this.#token = token;
    this.#results = new ResultFeed(this.#target, token);
  }

  /** Makes an account. Repeated only while the server surely did not make it. */
  async register(form: Schemas["RegistrationForm"], { signal = NEVER }: CallOptions = {}): Promise<Account> {
    const request = { method: "POST", body: form, signal } as const;
    const answer = await this.#repeat<Schemas["Success_AccountBody"]>("/api/auth/register", request, isNotTaken);
    return answer.data;
  }

  /** Logs in; from then on requests carry the session's token. */
  async login(form: Schemas["LoginForm"], { signal = NEVER }: CallOptions = {}): Promise<Session> {
    return await this.#enter("/api/auth/login", form, signal);
  }

  /**
   * Exchanges a token of the shop's own issuer for a session, for shops that keep the accounts themselves. From then on requests carry the
   * session's token. Code `not_found`: the API has no issuer.
   */
  async exchange(issuersToken: string, { signal = NEVER }: CallOptions = {}): Promise<Session> {
    const form: Schemas["ExchangeForm"] = { token: issuersToken };
    return await this.#enter("/api/auth/exchange", form, signal);
  }

  /** Ends all sessions of the account, and forgets the token. */
  async logout({ signal = NEVER }: CallOptions = {}): Promise<void> {
    await this.#repeat("/api/auth/logout", { method: "POST", token: this.#signedIn(), signal });
    this.token = null;
  }

  /** The sales that are announced or open. */
  async sales({ signal = NEVER }: CallOptions = {}): Promise<Sale[]> {
    return (await this.#repeat<Schemas["Success_Vec_PublicSaleBody"]>("/api/flash-sales", { signal })).data;
  }

  async sale(saleId: number, { signal = NEVER }: CallOptions = {}): Promise<Sale> {
    return (await this.#repeat<Schemas["Success_PublicSaleBody"]>(`/api/flash-sales/${saleId}`, { signal })).data;
  }

  /** A sale now and whenever it changes, until the loop is left. */
  watchSale(saleId: number, { signal = NEVER }: CallOptions = {}): AsyncGenerator<Sale, never> {
    return watch(this.#target, saleId, signal);
  }

  /** Waits for a sale's start by the server's clock, and up to 250 ms more. */
  async untilStart(sale: Pick<Sale, "startTime">, { signal = NEVER }: CallOptions = {}): Promise<void> {
    if (!this.clock.isKnown) await this.clock.synchronize({ signal });
    const spread = Math.random() * SPREAD_MS;
    for (;;) {
      const wait = Date.parse(sale.startTime) + spread - this.clock.now();
      if (wait <= 0) return;
      await pause(Math.min(wait, LONGEST_WAIT_MS), signal);
      if (wait > LONGEST_WAIT_MS) await this.clock.synchronize({ signal });
    }
  }

  /**
   * Presses "buy" and waits for what becomes of it. Repeats what may be repeated, waits for the start and through a pause. Safe to call again
   * after any error: a shopper gets one unit of a sale.
   * @throws {FlashSaleError} `outcome_unknown`: the attempt may count; the signal's reason
   */
  async buy(saleId: number, options: BuyOptions = {}): Promise<Purchase> {
    const { signal = NEVER } = options;
    return await new Purchasing(this.#target, this.#signedIn(), this.#results, saleId, signal, options).run();
  }

  /** The shopper's results of all sales, once. */
  async results({ signal = NEVER }: CallOptions = {}): Promise<Result[]> {
    return (await this.#repeat<Schemas["ResultsBody"]>("/api/orders/results", { token: this.#signedIn(), signal })).data;
  }

  /** The shopper's results, now and whenever one changes, until the loop is left. */
  watchResults({ signal = NEVER }: CallOptions = {}): AsyncGenerator<Result, never> {
    this.#signedIn();
    return this.#results.all(signal);
  }

  async #enter(path: string, body: unknown, signal: AbortSignal): Promise<Session> {
    const { data } = await this.#repeat<Schemas["Success_SessionBody"]>(path, { method: "POST", body, signal });
    this.token = data.token;
    return data;
  }

  #signedIn(): string {
    if (this.#token === null) throw new FlashSaleError("token_missing", "log in first, or set the token", { status: 401 });
    return this.#token;
  }

  /** For requests that may be carried out twice. */
  #repeat<T>(path: string, request: RequestOptions, again = (error: FlashSaleError) => error.isPassing): Promise<T> {
    return repeat(() => send<T>(this.#target, path, request), { patienceMs: PATIENCE_MS, signal: request.signal, again });
  }
}

/** Refused before anything was done: too many requests, or too many waiting. */
function isNotTaken(error: FlashSaleError): boolean {
  return error.status === 429 || error.code === "busy";
}
