/** What scenarios stand on: a running system, a browser, and what is watched in every page. See README.md. */
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";
import { CuttingProxy } from "./proxy.mjs";

// The packages are installed elsewhere: NODE_PATH says where, which only `require` reads.
const require = createRequire(import.meta.url);
const { chromium } = require("playwright-core");
const { AxeBuilder } = require("@axe-core/playwright");

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Of WCAG 2.2 AA, and switched off in axe unless it is asked for. */
const RULES = { "target-size": { enabled: true } };

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGUMENTS });

/** Waits until `condition` answers something true, and answers that. */
export async function until(what, condition, timeoutMs = 15_000) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export function assert(truth, message) {
  if (!truth) throw new Error(message);
}

export class Bed {
  /** Breaches that pages of this scenario have shown. */
  problems = [];
  #contexts = [];
  #pages = [];
  #closing = [];

  constructor(browser, base, operator) {
    this.browser = browser;
    this.base = base;
    this.operatorToken = operator;
  }

  // --- the system ---------------------------------------------------------------------------------------------------

  /** A request to the API, with whose token it is. The answer's `data`; an error names the answer. */
  async api(method, path, body, token, headers = {}) {
    const response = await fetch(`${this.base}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text).data : null;
  }

  /** A request of an operator. */
  operate(method, path, body, headers) {
    return this.api(method, `/api/admin${path}`, body, this.operatorToken, headers);
  }

  /**
   * A published sale of a product of its own, or of `productId`, once the public list has it. `opensInMs` may be negative: open since then. `{id,
   * productId, startTime, product}`.
   */
  async sale({ opensInMs = -60_000, lastsMs = 3_600_000, units = 5, name = "Trail shoe", product = {}, productId } = {}) {
    const made = productId
      ? { id: productId }
      : await this.operate("POST", "/products", {
          sku: randomUUID(),
          name,
          description: "Waterproof, 280 g",
          priceCents: 9900,
          currency: "EUR",
          ...product,
        });
    const start = Date.now() + opensInMs;
    const sale = await this.operate("POST", "/sales", {
      productId: made.id,
      startTime: new Date(start).toISOString(),
      endTime: new Date(Math.max(start, Date.now()) + lastsMs).toISOString(),
      units,
    });
    await this.operate("POST", `/sales/${sale.id}/publish`);
    // A sale that is open is in the gate as well.
    const phase = await until("the sale is listed", async () => {
      const listed = await fetch(`${this.base}/api/flash-sales/${sale.id}`).then((answer) => answer.json());
      return listed.data?.phase;
    });
    if (phase === "open") {
      await until("the sale is in the gate", async () => (await this.operate("GET", `/sales/${sale.id}/balance`)).source === "gate");
    }
    return { id: sale.id, productId: made.id, startTime: Date.parse(sale.startTime), product: made };
  }

  /** An account: `{username, password, email, token, userId}`. */
  async shopper() {
    const username = `s${randomUUID().replaceAll("-", "").slice(0, 16)}`;
    const [password, email] = ["correct horse", `${username}@example.com`];
    await this.api("POST", "/api/auth/register", { username, email, password });
    const { token, userId } = await this.api("POST", "/api/auth/login", { username, password });
    return { username, password, email, token, userId };
  }

  /** How many orders a sale has, by the ledger. */
  async sold(saleId) {
    return (await this.operate("GET", `/sales/${saleId}/balance`)).sold;
  }

  // --- pages --------------------------------------------------------------------------------------------------------

  /**
   * A page in a context of its own, opened. `as`: a shopper who is logged in. `clockOffMs`: how wrong the device's clock is. `base`: of a
   * proxy. `expect`: patterns of errors in the console that belong to the scenario. `before`: gets the page before it is opened.
   */
  async page(path, { as, clockOffMs = 0, base = this.base, expect = [], context: options = {}, before } = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", ...options });
    this.#contexts.push(context);
    if (as) {
      const session = JSON.stringify({ token: as.token, userId: as.userId, username: as.username });
      await context.addInitScript(
        (text) => localStorage.getItem("flashsale:session") ?? localStorage.setItem("flashsale:session", text),
        session,
      );
    }
    await context.addInitScript(watchDevice, clockOffMs);
    const page = await context.newPage();
    this.#pages.push(page);
    const problem = (text) => expect.some((pattern) => pattern.test(text)) || this.problems.push(text);
    page.on("pageerror", (error) => problem(`an exception: ${error.stack ?? error}`));
    page.on("console", (message) => {
      const { url } = message.location();
      // Chromium notes every answer that is no success. Those of the API are part of its contract: sold out, no result yet.
      const isAnswer = message.text().startsWith("Failed to load resource") && url.startsWith(`${base}/api/`);
      if (message.type() === "error" && !isAnswer) problem(`console: ${message.text()} ${url}`);
    });
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${base}/`) && !url.startsWith("data:") && !url.startsWith("blob:")) problem(`asks for ${url}`);
      // A token in an address would be in logs and histories.
      if (/[?&](token|access_token)=|eyJ/.test(url)) problem(`a token in an address: ${url}`);
    });
    await before?.(page);
    await page.goto(`${base}${path}`);
    return page;
  }

  /** A proxy before the API that can cut connections. Closed with the scenario. */
  async proxy() {
    const proxy = await CuttingProxy.start(new URL(this.base));
    this.#closing.push(() => proxy.close());
    return proxy;
  }

  /** axe finds nothing, and the page is not wider than the screen. */
  async axe(page, state) {
    // A colour that is on its way to another one is neither.
    await page.evaluate(() =>
      Promise.all(
        document
          .getAnimations()
          .filter((a) => a instanceof CSSTransition)
          .map((a) => a.finished.catch(() => 0)),
      ),
    );
    const { violations } = await new AxeBuilder({ page }).options({ rules: RULES }).analyze();
    for (const { id, nodes, help } of violations) {
      const where = nodes.map(({ target, failureSummary }) => `${target} ${failureSummary.split("\n")[1] ?? ""}`).join("; ");
      this.problems.push(`${state}: axe ${id}: ${help}: ${where}`);
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) this.problems.push(`${state}: the page is ${wide} pixels wider than the screen`);
  }

  /** Ends the scenario. `see`: a folder for screenshots of its pages, or null. */
  async close(see, name) {
    if (see) {
      for (const [index, page] of this.#pages.entries()) {
        await page.screenshot({ path: join(see, `${name.replace(/\W+/g, "-")}-${index}.png`) }).catch(() => undefined);
      }
    }
    for (const context of this.#contexts) await context.close();
    for (const close of this.#closing) close();
  }
}

/** Runs in pages before their scripts: sets the device's clock wrong, and notes by the right clock when the button changes and requests are made. */
function watchDevice(clockOffMs) {
  const rightNow = Date.now.bind(Date);
  window.seen = { rightNow, states: [], requests: [] };
  const send = window.fetch.bind(window);
  window.fetch = (path, options) => {
    window.seen.requests.push({ path: String(path), at: rightNow() });
    return send(path, options);
  };
  if (clockOffMs !== 0) {
    const RightDate = Date;
    window.Date = class WrongDate extends RightDate {
      constructor(...values) {
        if (values.length === 0) super(rightNow() + clockOffMs);
        else super(...values);
      }
      static now() {
        return rightNow() + clockOffMs;
      }
    };
    const origin = performance.timeOrigin;
    Object.defineProperty(performance, "timeOrigin", { get: () => origin + clockOffMs });
  }
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("buy");
    if (!button) return;
    new MutationObserver(() => {
      const { state } = button.dataset;
      if (window.seen.states.at(-1)?.state !== state) window.seen.states.push({ state, at: rightNow() });
    }).observe(button, { attributes: true });
  });
}
