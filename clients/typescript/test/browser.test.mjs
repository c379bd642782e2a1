// The client in Chromium, on a page of another origin than the API's, as a shop has one: CORS, time, a press that is cut off, push.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { CuttingProxy, System } from "./bed.mjs";

// The packages are installed elsewhere: NODE_PATH says where, which only `require` reads.
const { chromium } = createRequire(import.meta.url)("playwright-core");
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The shop's own page: an empty one, and the client's files. */
function storefront() {
  const server = http.createServer(async (request, response) => {
    if (request.url === "/") return response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>Shop</title>");
    const file = join(dirname(process.env.CLIENT), request.url.startsWith("/generated/") ? "generated" : "", basename(request.url));
    const script = await readFile(file).catch(() => null);
    return response.writeHead(script ? 200 : 404, { "content-type": "text/javascript" }).end(script ?? "");
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

describe("the client in Chromium", () => {
  let shop, system, proxy, browser, page;
  const problems = [];

  before(async () => {
    shop = await storefront();
    const origin = `http://127.0.0.1:${shop.address().port}`;
    system = await System.start("chromium", { FRONTEND_URL: origin });
    proxy = await CuttingProxy.start(new URL(system.base));
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGUMENTS });
    page = await browser.newPage();
    page.on("pageerror", (error) => problems.push(String(error)));
    await page.goto(origin);
  });
  after(async () => {
    await browser?.close();
    proxy?.close();
    shop?.close();
    await system?.stop();
  });

  test("a shopper buys on the page of another origin, through a press that is cut off", async () => {
    const sale = await system.sale({ units: 2 });
    let cut = 0;
    proxy.cutAfter = (text) => {
      if (!text.startsWith("POST /api/flash-sale/attempt/") || cut > 0) return false;
      cut++;
      setTimeout(() => proxy.cut(), 100);
      setTimeout(() => proxy.restore(), 600);
      return true;
    };
    const told = await page.evaluate(
      async ([base, saleId]) => {
        const { FlashSale } = await import("/index.js");
        const client = new FlashSale(base);
        const [username, password] = [`c${Date.now()}`, "correct horse"];
        await client.register({ username, email: `${username}@example.com`, password });
        await client.login({ username, password });
        await client.clock.synchronize();
        const off = client.clock.now() - Date.now();
        const states = [];
        const purchase = await client.buy(saleId, { onState: (state) => states.push(state) });
        const pushed = await client.watchResults({ signal: AbortSignal.timeout(20_000) }).next();
        return { off, precision: client.clock.precisionMs, states, purchase, pushed: pushed.value };
      },
      [proxy.base, sale.id],
    );
    assert.equal(cut, 1);
    assert.equal(told.purchase.outcome, "bought");
    assert.ok(told.states.includes("checking"), String(told.states));
    assert.deepEqual(told.pushed, { saleId: sale.id, productId: sale.productId, status: "SUCCESS" });
    assert.ok(Math.abs(told.off) <= told.precision + 3, `${told.off} ms`);
    assert.equal(await system.sold(sale.id), 1);
    assert.deepEqual(problems, []);
  });

  test("errors, their waits and streams reach a page of another origin", async () => {
    const sale = await system.sale({ opensInMs: 600_000 });
    const told = await page.evaluate(
      async ([base, saleId]) => {
        const { FlashSale, FlashSaleError } = await import("/index.js");
        const client = new FlashSale(base);
        const [username, password] = [`d${Date.now()}`, "correct horse"];
        await client.register({ username, email: `${username}@example.com`, password });
        await client.login({ username, password });
        const early = await client.buy(saleId, { patienceMs: 1000 }).catch((error) => error);
        const aborted = await client.buy(saleId, { signal: AbortSignal.timeout(100) }).catch((error) => error.name);
        const watched = await client.watchSale(saleId, { signal: AbortSignal.timeout(20_000) }).next();
        const { code, status, startsInMs, retryAfterMs } = early;
        return { isOurs: early instanceof FlashSaleError, code, status, startsInMs, retryAfterMs, aborted, phase: watched.value.phase };
      },
      [system.base, sale.id],
    );
    assert.deepEqual(
      [told.isOurs, told.code, told.status, told.aborted, told.phase],
      [true, "not_started", 409, "TimeoutError", "scheduled"],
    );
    assert.ok(told.startsInMs > 500_000 && told.retryAfterMs > 500_000, JSON.stringify(told));
  });
});
