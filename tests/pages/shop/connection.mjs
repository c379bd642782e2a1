/** What the page does when the connection is lost: in the middle of a press, before the start, and altogether. */
import { assert, until } from "../harness.mjs";
import { stateIs, textOf } from "./page.mjs";

const isPress = (piece) => piece.startsWith("POST /api/flash-sale/attempt/");

/** What is being loaded when the connection is cut. */
const expect = [/Failed to load resource: net::ERR_/];

export const scenarios = {
  "a connection cut during a press: the page checks, presses again by itself, and buys once": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const proxy = await bed.proxy();
    // With a stream the result might come before the page presses again.
    const before = (page) => page.route("**/events", (route) => route.fulfill({ status: 503, headers: { "retry-after": "60" }, body: "" }));
    const page = await bed.page(`/#sale=${sale.id}`, { as: await bed.shopper(), base: proxy.base, before, expect });
    await stateIs(page, "open");
    let presses = 0;
    proxy.cutAfter = (piece) => {
      if (!isPress(piece) || ++presses > 1) return false;
      // At once, since the browser itself repeats a request that a reused connection loses.
      proxy.cut();
      return true;
    };
    await page.locator("#buy").click();
    await stateIs(page, "checking");
    assert((await textOf(page, "hint")) === "We are checking. You cannot buy twice.", "it says so");
    await bed.axe(page, "checking");
    // The press that was cut had arrived.
    await until("the order is in the ledger", async () => (await bed.sold(sale.id)) === 1);
    proxy.restore();
    await stateIs(page, "bought");
    assert(presses >= 2, `it pressed ${presses} times`);
    assert((await bed.sold(sale.id)) === 1, "there is one order");
  },

  "a reload in the middle of a press that was cut goes on checking": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const proxy = await bed.proxy();
    const page = await bed.page(`/#sale=${sale.id}`, { as: await bed.shopper(), base: proxy.base, expect });
    await stateIs(page, "open");
    // Nothing arrives: the attempt is lost on its way.
    await page.route("**/api/flash-sale/attempt/*", (route) => route.abort("connectionreset"));
    await page.locator("#buy").click();
    await stateIs(page, "checking");
    await page.unroute("**/api/flash-sale/attempt/*");
    await page.reload();
    await stateIs(page, "bought");
    await until("one order", async () => (await bed.sold(sale.id)) === 1);
  },

  "without a connection the page says so, keeps a press for the opening, and comes back": async (bed) => {
    const sale = await bed.sale({ opensInMs: 30_000, units: 5 });
    const proxy = await bed.proxy();
    const page = await bed.page(`/#sale=${sale.id}`, { as: await bed.shopper(), base: proxy.base, expect });
    await stateIs(page, "counting");
    proxy.cut();
    await stateIs(page, "offline");
    proxy.restore();
    await stateIs(page, "counting");
    await page.locator("#buy").click();
    await stateIs(page, "armed");
    proxy.cut();
    await stateIs(page, "checking", 40_000);
    proxy.restore();
    await stateIs(page, "bought");
  },

  "a page that finds no server says so, and loads when there is one": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const page = await bed.page(`/#sale=${sale.id}`, {
      before: (page) => page.route("**/api/**", (route) => route.abort("connectionrefused")),
    });
    await page.locator("#trouble").waitFor();
    await bed.axe(page, "no answer");
    await page.unroute("**/api/**");
    await page.locator("#try-now").click();
    await stateIs(page, "open");
  },
};
