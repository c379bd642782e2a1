/** How pages wait, reconnect and ask, so that many of them together are no flood; and what they conclude from a stream. */
import { assert, until } from "../harness.mjs";
import { stateIs } from "./page.mjs";

/** In place of `shared/stream.js`: the scenario says what the streams tell, by their path. */
const STREAM = `
  const streams = (window.streams = {});
  export const openStream = (path, options) => {
    streams[path] = options;
    return { close: () => delete streams[path] };
  };`;

/** A page whose streams are the scenario's: `tell(page, path, "onEvent", …)`. */
const withStreams = (before) => async (page) => {
  await page.route("**/shared/stream.js", (route) => route.fulfill({ contentType: "text/javascript", body: STREAM }));
  await before?.(page);
};
const tell = async (page, path, what, ...values) => {
  await page.waitForFunction((path) => window.streams?.[path], path);
  await page.evaluate(([path, what, values]) => window.streams[path][what](...values), [path, what, values]);
};
const RESULTS = "api/orders/events";

/** When the page asked for a path, since it was opened. */
const asked = (page, pattern) =>
  page.evaluate((source) => window.seen.requests.filter(({ path }) => new RegExp(source).test(path)).map(({ at }) => at), pattern.source);

/**
 * Opens a stream in a page, as the pages do, and answers how long it waits after each of `count` ends, in milliseconds. Nothing is waited
 * for: the network "comes back" each time. `lastsMs`: of a stream that is accepted; `null`: it is refused.
 */
const waits = (page, count, lastsMs, retryAfter) =>
  page.evaluate(
    async ([count, lastsMs, retryAfter]) => {
      const { openStream } = await import("/assets/latest/shared/stream.js");
      const now = performance.now.bind(performance);
      const fetched = window.fetch;
      let skipped = 0;
      performance.now = () => now() + skipped;
      window.fetch = async (path, options) => {
        if (path !== "a/stream") return fetched(path, options);
        if (lastsMs === null) return new Response("{}", { status: 503, headers: retryAfter ? { "retry-after": retryAfter } : {} });
        const body = new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode("retry: 4000\n\n"));
            // It lasts so long by the page's clock.
            setTimeout(() => {
              skipped += lastsMs;
              controller.close();
            }, 5);
          },
        });
        return new Response(body, { headers: { "content-type": "text/event-stream" } });
      };
      const seen = [];
      await new Promise((resolve) => {
        const stream = openStream("a/stream", {
          onEvent: () => undefined,
          onState: (state, waitMs) => {
            if (state === "live") return;
            seen.push(waitMs);
            if (seen.length < count) return void setTimeout(() => window.dispatchEvent(new Event("online")));
            stream.close();
            resolve();
          },
        });
      });
      window.fetch = fetched;
      return seen;
    },
    [count, lastsMs, retryAfter],
  );

export const scenarios = {
  "a stream that is refused waits longer each time, up to five minutes, and no two wait equally long": async (bed) => {
    const page = await bed.page("/");
    const [first, second] = [await waits(page, 9, null, "5"), await waits(page, 9, null, "5")];
    for (const seen of [first, second]) {
      assert(seen[0] >= 5000 && seen[0] <= 10_000, `first ${seen[0]} ms`);
      assert(seen[2] >= 20_000 && seen[2] <= 40_000, `then ${seen}`);
      assert(seen.at(-1) >= 150_000 && seen.at(-1) <= 300_000, `at last ${seen.at(-1)} ms`);
    }
    assert(
      first.every((wait, at) => wait !== second[at]),
      `in lockstep: ${first}`,
    );
  },

  "a stream that a draining node ends is opened again after once to twice what it said": async (bed) => {
    const page = await bed.page("/");
    const seen = await waits(page, 6, 60_000);
    assert(
      seen.every((wait) => wait >= 4000 && wait <= 8000),
      `${seen}`,
    );
    assert(new Set(seen).size === seen.length, `in lockstep: ${seen}`);
  },

  "a stream that ends at once is a failure: each time it waits longer": async (bed) => {
    const page = await bed.page("/");
    const seen = await waits(page, 6, 100);
    assert(seen[0] >= 3000 && seen[0] <= 8000 && seen.at(-1) >= 15_000 && seen.at(-1) <= 30_000, `${seen}`);
  },

  "streams that are refused again and again do not put off the reading of the list": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const page = await bed.page(`/#sale=${sale.id}`, { before: withStreams() });
    await stateIs(page, "open");
    const path = `api/flash-sales/${sale.id}/events`;
    await page.evaluate((path) => setInterval(() => window.streams[path].onState("lost", 5000), 200), path);
    const before = (await asked(page, /flash-sales$/)).length;
    await until("the list is read twice", async () => (await asked(page, /flash-sales$/)).length >= before + 2, 10_000);
  },

  "pages that lose their streams in one moment read the list spread over the wait": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const page = await bed.page(`/#sale=${sale.id}`, {
      before: withStreams((page) =>
        page.addInitScript(() => {
          Math.random = () => 0.5;
        }),
      ),
    });
    await stateIs(page, "open");
    const path = `api/flash-sales/${sale.id}/events`;
    await tell(page, path, "onState", "live", 0);
    const before = (await asked(page, /flash-sales$/)).length;
    const lost = Date.now();
    await tell(page, path, "onState", "lost", 6000);
    const read = await until("the list is read", async () => (await asked(page, /flash-sales$/))[before]);
    assert(read - lost > 2500 && read - lost < 4500, `the list was read ${read - lost} ms after the end`);
  },

  "without streams a page that waits for nothing asks every 10 to 15 seconds": async (bed) => {
    const buyable = await bed.sale({ units: 5 });
    const far = await bed.sale({ opensInMs: 3_600_000 });
    const gone = await bed.sale({ units: 1 });
    await bed.api("POST", `/api/flash-sale/attempt/${gone.id}`, undefined, (await bed.shopper()).token);
    await until("it is sold", async () => (await bed.sold(gone.id)) === 1);
    const pages = [
      [await bed.page(`/#sale=${far.id}`, { before: withStreams() }), "counting"],
      [await bed.page(`/#sale=${gone.id}`, { before: withStreams() }), "soldOut"],
      [await bed.page(`/#sale=${buyable.id}`, { before: withStreams(), as: await bed.shopper() }), "bought"],
    ];
    const bought = { saleId: buyable.id, productId: buyable.productId, status: "SUCCESS" };
    await tell(pages[2][0], RESULTS, "onEvent", "result", bought);
    const waiting = await bed.page(`/#sale=${buyable.id}`, { before: withStreams() });
    for (const [page, state] of pages) await stateIs(page, state);
    await stateIs(waiting, "open");
    const listed = async (page) => (await asked(page, /flash-sales$/)).length;
    // What was scheduled before the state was known has passed.
    const began = await listed(waiting);
    await until("another page asks twice", async () => (await listed(waiting)) >= began + 2);
    const before = await Promise.all(pages.map(([page]) => listed(page)));
    await until("another page asks three times more", async () => (await listed(waiting)) >= began + 5);
    for (const [at, [page, state]] of pages.entries()) {
      const reads = (await listed(page)) - before[at];
      assert(reads <= 1, `the page that is ${state} has asked ${reads} times`);
    }
  },

  "`ready` speaks of the sales that it lists, and of no others": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const page = await bed.page(`/#sale=${sale.id}`, { as: await bed.shopper(), before: withStreams() });
    await stateIs(page, "open");
    await tell(page, RESULTS, "onState", "live", 0);
    await tell(page, RESULTS, "onEvent", "result", { saleId: sale.id, productId: sale.productId, status: "SUCCESS" });
    await stateIs(page, "bought");
    // The stream is connected anew, more than five seconds later by the page's clock.
    const ready = async (data) => {
      await page.evaluate(() => {
        const now = performance.now.bind(performance);
        performance.now = () => now() + 6000;
      });
      await tell(page, RESULTS, "onState", "lost", 1000);
      await tell(page, RESULTS, "onState", "live", 0);
      await tell(page, RESULTS, "onEvent", "ready", data);
    };
    for (const data of [{}, { sales: [] }, { sales: [sale.id + 1000] }]) {
      await ready(data);
      assert((await page.locator("#buy").getAttribute("data-state")) === "bought", `after ${JSON.stringify(data)}`);
    }
    await ready({ sales: [sale.id] });
    await stateIs(page, "open");
  },

  "an order that is ended while the page is open opens the button again": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const page = await bed.page(`/#sale=${sale.id}`, { as: await bed.shopper(), before: withStreams() });
    await stateIs(page, "open");
    for (const [status, state] of [
      ["SUCCESS", "bought"],
      ["NONE", "open"],
      ["NONE", "open"],
    ]) {
      await tell(page, RESULTS, "onEvent", "result", { saleId: sale.id, productId: sale.productId, status });
      await stateIs(page, state, 2000);
    }
  },

  "a press that comes too early by the server waits until the server's start": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const presses = [];
    const startsAt = Date.now() + 4000;
    const page = await bed.page(`/#sale=${sale.id}`, { as: await bed.shopper(), before: withStreams() });
    await stateIs(page, "open");
    await page.route("**/api/flash-sale/attempt/*", (route) => {
      presses.push(Date.now());
      if (Date.now() >= startsAt) return route.continue();
      const [start, now] = [startsAt, Date.now()].map((at) => new Date(at).toISOString());
      const body = { success: false, error: "Conflict", message: "Not yet.", code: "not_started", startsAt: start, serverTime: now };
      return route.fulfill({ status: 409, headers: { "retry-after": "4" }, json: body });
    });
    await page.locator("#buy").click();
    await until("it is pressed at the start", () => presses.some((at) => at >= startsAt));
    const early = presses.filter((at) => at < startsAt).length;
    // One of the shopper, and one for each list that was read meanwhile at most.
    assert(early <= 3, `pressed ${early} times before the start`);
    const late = presses.find((at) => at >= startsAt) - startsAt;
    assert(late < 500, `pressed ${late} ms after the start`);
  },
};
