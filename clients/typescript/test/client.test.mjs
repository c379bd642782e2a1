// The client against a running system, in Node.js.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { answer, CuttingProxy, FlashSale, FlashSaleError, sleep, System, until, Wire } from "./bed.mjs";

let system;

const EVENTS = "/api/orders/events";
const RESULTS = "/api/orders/results";
const never = (_path, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
const code = (wanted) => (error) => error instanceof FlashSaleError && error.code === wanted;

// Most of their time is waiting.
describe("the client", { concurrency: 4 }, () => {
  // Not outside: Node.js 18 would run that after the tests.
  before(async () => {
    system = await System.start(`node-${process.versions.node}`);
  });
  after(() => system.stop());

  test("a shopper buys and is told by push", async () => {
    const wire = new Wire();
    // Whoever polls waits for ever.
    wire.rule = (path, options) => (path === RESULTS ? never(path, options) : undefined);
    const shop = await system.shopper({ fetch: wire.fetch });
    const sale = await system.sale({ units: 1 });
    const states = [];
    const purchase = await shop.buy(sale.id, { onState: (state) => states.push(state) });
    assert.equal(purchase.outcome, "bought");
    assert.match(purchase.attemptId, /^[0-9a-f-]{36}$/);
    assert.deepEqual(states.slice(0, 1), ["asking"]);
    assert.equal(await system.sold(sale.id), 1);
  });

  test("where there is no push, the result is polled", async () => {
    const wire = new Wire();
    wire.rule = (path) => (path === EVENTS ? answer(404, { success: false, code: "not_found", message: "" }) : undefined);
    const shop = await system.shopper({ fetch: wire.fetch });
    const sale = await system.sale();
    assert.equal((await shop.buy(sale.id)).outcome, "bought");
    if (wire.count(EVENTS) > 0) assert.ok(wire.count(RESULTS) > 0);
  });

  test("buying again answers with the same attempt, and sells nothing", async () => {
    const shop = await system.shopper();
    const sale = await system.sale({ units: 3 });
    const [first, second] = [await shop.buy(sale.id), await shop.buy(sale.id)];
    assert.deepEqual(first, second);
    assert.equal(await system.sold(sale.id), 1);
  });

  test("two calls at once are one order", async () => {
    const shop = await system.shopper();
    const sale = await system.sale({ units: 3 });
    const purchases = await Promise.all([shop.buy(sale.id), shop.buy(sale.id), shop.buy(sale.id)]);
    assert.equal(new Set(purchases.map(({ attemptId }) => attemptId)).size, 1);
    assert.equal(await system.sold(sale.id), 1);
  });

  test("sold out is an outcome, not an error", async () => {
    const sale = await system.sale({ units: 1 });
    assert.equal((await (await system.shopper()).buy(sale.id)).outcome, "bought");
    assert.deepEqual(await (await system.shopper()).buy(sale.id), { outcome: "sold_out", saleId: sale.id });
  });

  test("a press whose answer is cut off is repeated and counts once", async () => {
    const proxy = await CuttingProxy.start(new URL(system.base));
    try {
      const shop = await system.shopper({ base: proxy.base });
      const sale = await system.sale({ units: 5 });
      let cut = 0;
      // The press reaches the server; its answer does not come back, and then the network is gone for a moment.
      proxy.cutAfter = (text) => {
        if (!text.startsWith("POST /api/flash-sale/attempt/") || cut > 0) return false;
        cut++;
        setTimeout(() => proxy.cut(), 100);
        setTimeout(() => proxy.restore(), 600);
        return true;
      };
      const states = [];
      const purchase = await shop.buy(sale.id, { onState: (state) => states.push(state) });
      assert.equal(cut, 1);
      assert.equal(purchase.outcome, "bought");
      assert.ok(states.includes("checking"), states.join());
      assert.equal(await system.sold(sale.id), 1);
    } finally {
      proxy.close();
    }
  });

  test("no answer is never a refusal: the outcome is unknown, and buying again tells it", async () => {
    const proxy = await CuttingProxy.start(new URL(system.base));
    try {
      const shop = await system.shopper({ base: proxy.base });
      const sale = await system.sale();
      proxy.cutAfter = (text) => {
        if (!text.startsWith("POST /api/flash-sale/attempt/")) return false;
        setTimeout(() => proxy.cut(), 100);
        return true;
      };
      await assert.rejects(shop.buy(sale.id, { patienceMs: 1500 }), (error) => code("outcome_unknown")(error) && error.isOutcomeUnknown);
      proxy.cutAfter = () => false;
      proxy.restore();
      assert.equal((await shop.buy(sale.id)).outcome, "bought");
      assert.equal(await system.sold(sale.id), 1);
    } finally {
      proxy.close();
    }
  });

  test("a server that restarts is waited for, and tells by push afterwards", async () => {
    const restarted = await System.start(`restarted-${process.versions.node}`);
    try {
      const shop = await restarted.shopper();
      const sale = await restarted.sale();
      const stopped = new AbortController();
      const told = [];
      const other = new FlashSale(restarted.base, { token: shop.token });
      const watching = (async () => {
        for await (const result of other.watchResults({ signal: stopped.signal })) told.push(result);
      })().catch((error) => error);
      await sleep(300);
      await restarted.stop("SIGKILL");
      const buying = shop.buy(sale.id);
      await sleep(700);
      await restarted.start();
      assert.equal((await buying).outcome, "bought");
      await until("the watcher was told", () => told.some(({ saleId, status }) => saleId === sale.id && status === "SUCCESS"), 30_000);
      stopped.abort(new Error("enough"));
      assert.equal((await watching).message, "enough");
    } finally {
      await restarted.stop();
    }
  });

  test("a stream that is cut is connected again, and tells what happened meanwhile", async () => {
    const proxy = await CuttingProxy.start(new URL(system.base));
    const wire = new Wire();
    wire.rule = (path, options) => (path === RESULTS ? never(path, options) : undefined);
    const stopped = new AbortController();
    try {
      const buyer = await system.shopper();
      const [before, meanwhile] = [await system.sale(), await system.sale()];
      const watcher = new FlashSale(proxy.base, { token: buyer.token, fetch: wire.fetch });
      const told = [];
      const watching = (async () => {
        for await (const { saleId } of watcher.watchResults({ signal: stopped.signal })) told.push(saleId);
      })().catch(() => undefined);
      await buyer.buy(before.id);
      await until("it is told", () => told.includes(before.id));
      proxy.cut();
      await buyer.buy(meanwhile.id);
      proxy.restore();
      await until("it is told of what it missed", () => told.includes(meanwhile.id), 30_000);
      stopped.abort();
      await watching;
    } finally {
      proxy.close();
    }
  });

  test("a press before the start is sent after it", async () => {
    const wire = new Wire();
    const shop = await system.shopper({ fetch: wire.fetch });
    const sale = await system.sale({ opensInMs: 5000 });
    const states = [];
    const purchase = await shop.buy(sale.id, { onState: (state) => states.push(state) });
    assert.equal(purchase.outcome, "bought");
    assert.ok(Date.now() >= Date.parse(sale.startTime));
    assert.ok(states.includes("waiting"));
    // One that is too early, one after the start, and one more where the clocks differ.
    assert.ok(wire.count(`/api/flash-sale/attempt/${sale.id}`) <= 3);
  });

  test("who waits for the start by the server's clock presses once", async () => {
    const wire = new Wire();
    const shop = await system.shopper({ fetch: wire.fetch });
    const sale = await system.sale({ opensInMs: 5000 });
    await shop.untilStart(sale);
    const late = Date.now() - Date.parse(sale.startTime);
    assert.ok(late >= -shop.clock.precisionMs - 5 && late < 2000, `${late} ms late`);
    assert.equal((await shop.buy(sale.id)).outcome, "bought");
    assert.ok(wire.count(`/api/flash-sale/attempt/${sale.id}`) <= 2);
  });

  test("the clock is the server's, within half of the shortest round trip", async () => {
    const wire = new Wire();
    const shop = new FlashSale(system.base, { fetch: wire.fetch });
    assert.ok(Number.isNaN(shop.clock.now()));
    await shop.clock.synchronize();
    assert.equal(wire.count("/api/time"), 5);
    // The server is on this machine; it tells whole milliseconds.
    assert.ok(Math.abs(shop.clock.now() - Date.now()) <= shop.clock.precisionMs + 3);
  });

  test("one slow sample does not spoil the clock", async () => {
    const wire = new Wire();
    wire.rule = async (_path, options) => {
      if (wire.asked.length === 2) return undefined;
      const delayed = await fetch(`${system.base}/api/time`, options);
      await sleep(1500);
      return delayed;
    };
    const shop = new FlashSale(system.base, { fetch: wire.fetch });
    await shop.clock.synchronize();
    assert.ok(shop.clock.precisionMs < 700);
    assert.ok(Math.abs(shop.clock.now() - Date.now()) <= shop.clock.precisionMs + 3);
  });

  test("a pause is waited for", async () => {
    const shop = await system.shopper();
    const sale = await system.sale();
    await system.operate("POST", `/sales/${sale.id}/pause`, { reason: "a test" });
    const states = [];
    const buying = shop.buy(sale.id, { onState: (state) => states.push(state) });
    await until("it waits", () => states.includes("waiting"));
    await system.operate("POST", `/sales/${sale.id}/resume`, {});
    assert.equal((await buying).outcome, "bought");
  });

  test("a refusal that passes is repeated as late as the server says, within bounds", async () => {
    const wire = new Wire();
    const shop = await system.shopper({ fetch: wire.fetch });
    const sale = await system.sale();
    const path = `/api/flash-sale/attempt/${sale.id}`;
    const refusals = [
      answer(503, { code: "busy", message: "" }, { "retry-after": "1" }),
      new Response("<html>502", { status: 502 }),
      answer(429, { code: "too_many_requests", message: "" }, { "retry-after": "1" }),
    ];
    wire.rule = (asked) => (asked === path ? refusals.shift() : undefined);
    assert.equal((await shop.buy(sale.id)).outcome, "bought");
    const times = wire.asked.filter((request) => request.path === path).map(({ at }) => at);
    assert.equal(times.length, 4);
    assert.ok(times[1] - times[0] >= 1000 && times[2] - times[1] >= 400 && times[3] - times[2] >= 1000, String(times));

    const begun = performance.now();
    wire.rule = (asked) => (asked === path ? answer(503, { code: "busy", message: "" }, { "retry-after": "1" }) : undefined);
    await assert.rejects(shop.buy(sale.id, { patienceMs: 2500 }), (error) => code("busy")(error) && error.retryAfterMs === 1000);
    assert.ok(performance.now() - begun < 2600);
  });

  test("the limit of presses of one account is waited out", async () => {
    const wire = new Wire();
    const shop = await system.shopper({ fetch: wire.fetch });
    const sale = await system.sale();
    const press = () =>
      fetch(`${system.base}/api/flash-sale/attempt/${sale.id}`, { method: "POST", headers: { authorization: `Bearer ${shop.token}` } });
    let refused;
    for (let count = 0; count < 400 && !refused; count++) {
      const response = await press();
      await response.text();
      if (response.status === 429) refused = response.headers.get("retry-after");
    }
    assert.ok(Number(refused) >= 1);
    assert.equal((await shop.buy(sale.id)).outcome, "bought");
    assert.ok(wire.count(`/api/flash-sale/attempt/${sale.id}`) >= 1);
  });

  test("errors have the code of the API", async () => {
    const shop = await system.shopper();
    const taken = { username: "twice", email: "twice@example.com", password: "correct horse" };
    await shop.register(taken);
    await assert.rejects(shop.register(taken), (error) => code("username_taken")(error) && error.status === 409 && !error.isPassing);
    await assert.rejects(shop.login({ username: "twice", password: "wrong" }), code("invalid_credentials"));
    await assert.rejects(shop.register({ username: "x", email: "", password: "" }), code("validation_failed"));
    await assert.rejects(shop.buy(999_999), code("sale_not_found"));
    await assert.rejects(new FlashSale(system.base).buy(1), (error) => code("token_missing")(error) && error.isUnauthorized);
    await assert.rejects(
      new FlashSale(system.base, { token: "not a token" }).buy(1),
      (error) => code("token_invalid")(error) && error.isUnauthorized,
    );
  });

  test("a token of the shop's issuer is exchanged for a session", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const keys = JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "1", alg: "ES256", use: "sig" }] });
    const issuer = http.createServer((_request, response) => response.setHeader("content-type", "application/json").end(keys));
    await new Promise((resolve) => issuer.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${issuer.address().port}`;
    const settings = { EXTERNAL_ISSUER: url, EXTERNAL_AUDIENCE: "sale", EXTERNAL_JWKS_URL: `${url}/keys` };
    const trusting = await System.start(`exchange-${process.versions.node}`, settings);
    try {
      const seconds = Math.floor(Date.now() / 1000);
      const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const claims = { iss: url, aud: "sale", sub: "customer 7", iat: seconds, exp: seconds + 300 };
      const signed = `${part({ alg: "ES256", kid: "1", typ: "JWT" })}.${part(claims)}`;
      const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url");
      const shop = new FlashSale(trusting.base);
      const session = await shop.exchange(`${signed}.${signature}`);
      assert.equal(shop.token, session.token);
      assert.equal((await shop.buy((await trusting.sale()).id)).outcome, "bought");
      await assert.rejects(shop.exchange(`${signed}.${"A".repeat(86)}`), (error) => error.status === 401);
    } finally {
      await trusting.stop();
      issuer.close();
    }
    // This server has no issuer.
    await assert.rejects(new FlashSale(system.base).exchange("a token"), (error) => code("not_found")(error) && error.status === 404);
  });

  test("an account is not made again when no answer came, and is when the server did nothing", async () => {
    const wire = new Wire();
    const shop = new FlashSale(system.base, { fetch: wire.fetch });
    const form = { username: `r${Date.now()}`, email: `r${Date.now()}@example.com`, password: "correct horse" };
    wire.rule = () => Promise.reject(new TypeError("fetch failed"));
    await assert.rejects(shop.register(form), (error) => code("network")(error) && error.isUnanswered);
    assert.equal(wire.count("/api/auth/register"), 1);
    const refusals = [answer(503, { code: "busy", message: "" }, { "retry-after": "1" })];
    wire.rule = () => refusals.shift();
    assert.equal((await shop.register(form)).username, form.username);
    assert.equal(wire.count("/api/auth/register"), 3);
  });

  test("a server that does not answer is not waited for longer than the limit", async () => {
    const wire = new Wire();
    wire.rule = never;
    const begun = performance.now();
    await assert.rejects(new FlashSale(system.base, { fetch: wire.fetch }).clock.synchronize(), code("timeout"));
    const took = performance.now() - begun;
    assert.ok(took >= 2900 && took < 8000, `${took} ms`);
  });

  test("an aborted call ends at once with the signal's reason", async () => {
    const wire = new Wire();
    const shop = await system.shopper({ fetch: wire.fetch });
    const [open, later] = [await system.sale(), await system.sale({ opensInMs: 600_000 })];
    const reason = new Error("the shopper left");
    const aborted = async (start, rule = () => undefined) => {
      wire.rule = rule;
      const controller = new AbortController();
      const running = start(controller.signal);
      setTimeout(() => controller.abort(reason), 150);
      const begun = performance.now();
      await assert.rejects(running, (error) => error === reason);
      assert.ok(performance.now() - begun < 1000);
    };
    await aborted((signal) => shop.buy(open.id, { signal }), never);
    await aborted((signal) => shop.buy(later.id, { signal }));
    // Accepted, and no result comes.
    const accepted = answer(200, { success: true, data: { attemptId: "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11", status: "PENDING" } });
    await aborted(
      (signal) => shop.buy(later.id, { signal }),
      (path, options) => (path.includes("/attempt/") ? accepted : never(path, options)),
    );
    await aborted((signal) => shop.untilStart(later, { signal }));
    await aborted((signal) => shop.clock.synchronize({ signal }), never);
    await aborted((signal) => shop.sales({ signal }), never);
    await aborted((signal) => shop.watchResults({ signal }).next());
    await aborted(async (signal) => {
      for await (const sale of shop.watchSale(open.id, { signal })) assert.equal(sale.id, open.id);
    });
    const already = AbortSignal.abort(reason);
    await assert.rejects(shop.buy(open.id, { signal: already }), (error) => error === reason);
    await assert.rejects(shop.sale(open.id, { signal: already }), (error) => error === reason);
  });

  test("a sale is watched by push, and by polling where there is none", async () => {
    for (const isPushed of [true, false]) {
      const wire = new Wire();
      const sale = await system.sale({ units: 1 });
      wire.rule = (path, options) => {
        if (isPushed) return path === `/api/flash-sales/${sale.id}` ? never(path, options) : undefined;
        return path.endsWith("/events") ? answer(404, { code: "not_found", message: "" }) : undefined;
      };
      const shop = new FlashSale(system.base, { fetch: wire.fetch });
      const seen = [];
      for await (const { stock, phase } of shop.watchSale(sale.id, { signal: AbortSignal.timeout(20_000) })) {
        seen.push(stock);
        assert.equal(phase, "open");
        if (stock === "none") break;
        assert.equal((await (await system.shopper()).buy(sale.id)).outcome, "bought");
      }
      assert.deepEqual([seen[0] === "none", seen.at(-1)], [false, "none"]);
    }
    await assert.rejects(new FlashSale(system.base).watchSale(999_999).next(), code("sale_not_found"));
  });

  test("a session that ends ends what waits for its results", async () => {
    const shop = await system.shopper();
    const other = new FlashSale(system.base, { token: shop.token });
    const watching = other.watchResults().next();
    await sleep(300);
    await shop.logout();
    assert.equal(shop.token, null);
    await assert.rejects(watching, (error) => error.isUnauthorized);

    const next = await system.shopper();
    const own = next.watchResults().next();
    await sleep(300);
    const begun = performance.now();
    next.token = null;
    await assert.rejects(own, code("token_missing"));
    assert.ok(performance.now() - begun < 500);
  });

  test("a reader that is busy keeps no stream after its session or its signal ended", async () => {
    const sale = await system.sale();
    const signals = [];
    const wire = new Wire();
    wire.rule = (path, { signal }) => {
      if (path.endsWith("/events")) signals.push(signal);
    };
    const open = () => signals.filter((signal) => !signal.aborted).length;
    const rest = async (values) => {
      for (;;) await values.next();
    };
    const reason = new Error("the shopper closed the page");

    const shop = await system.shopper({ fetch: wire.fetch });
    assert.equal((await shop.buy(sale.id)).outcome, "bought");
    assert.equal(open(), 0);
    const ofSession = shop.watchResults();
    await ofSession.next();
    assert.equal(open(), 1);
    shop.token = null;
    assert.equal(open(), 0);
    await assert.rejects(rest(ofSession), code("token_missing"));

    const again = await system.shopper({ fetch: wire.fetch });
    await again.buy(sale.id);
    for (const watch of [(signal) => again.watchResults({ signal }), (signal) => again.watchSale(sale.id, { signal })]) {
      const ending = new AbortController();
      const values = watch(ending.signal);
      await values.next();
      assert.equal(open(), 1);
      ending.abort(reason);
      assert.equal(open(), 0);
      await assert.rejects(rest(values), (error) => error === reason);
    }
  });

  test("an order that the shop ends is told", async () => {
    const shop = await system.shopper();
    const sale = await system.sale();
    const stopped = new AbortController();
    const told = [];
    const watching = (async () => {
      for await (const { status, saleId } of shop.watchResults({ signal: stopped.signal })) if (saleId === sale.id) told.push(status);
    })().catch(() => undefined);
    const { attemptId } = await shop.buy(sale.id);
    await until("it is told as bought", () => told.includes("SUCCESS"));
    await system.operate("POST", `/orders/${attemptId}/cancel`, { restock: true, reason: "a test" });
    await until("it is told as ended", () => told.at(-1) === "NONE");
    stopped.abort();
    await watching;
    assert.deepEqual(await shop.results(), []);
  });

  test("an earlier refusal is not taken for the result of a new attempt", async () => {
    const wire = new Wire();
    const shop = await system.shopper({ fetch: wire.fetch });
    const sale = await system.sale();
    // The stream begins with what was known before the attempt.
    const stale = `event: result\ndata: {"saleId":${sale.id},"productId":${sale.productId},"status":"FAILED"}\n\n`;
    wire.rule = (path) => (path === EVENTS ? new Response(stale, { headers: { "content-type": "text/event-stream" } }) : undefined);
    assert.equal((await shop.buy(sale.id)).outcome, "bought");
  });

  test("an order that is ended while it is waited for is cancelled", async () => {
    const wire = new Wire();
    const shop = await system.shopper({ fetch: wire.fetch });
    const saleId = 4711;
    const ended = `event: result\ndata: {"saleId":${saleId},"productId":4712,"status":"NONE"}\n\n`;
    wire.rule = (path, options) => {
      if (path.includes("/attempt/"))
        return answer(200, { success: true, data: { attemptId: "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11", status: "PENDING" } });
      return path === EVENTS ? new Response(ended, { headers: { "content-type": "text/event-stream" } }) : never(path, options);
    };
    assert.deepEqual(await shop.buy(saleId, { patienceMs: 10_000 }), { outcome: "cancelled", saleId });
  });

  test("an accepted attempt for which no unit was left is failed", async () => {
    const wire = new Wire();
    const shop = await system.shopper({ fetch: wire.fetch });
    const [saleId, productId] = [4711, 4712];
    wire.rule = (path, options) => {
      if (path.includes("/attempt/"))
        return answer(200, { success: true, data: { attemptId: "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11", status: "PENDING" } });
      if (path === RESULTS) return answer(200, { success: true, data: [{ saleId, productId, status: "FAILED" }], sales: [saleId] });
      return path === EVENTS ? never(path, options) : undefined;
    };
    assert.deepEqual(await shop.buy(saleId), { outcome: "failed", saleId });
  });
});
