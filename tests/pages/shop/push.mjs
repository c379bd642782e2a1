/** What happens is pushed: without a question of the page, and at once. Where there is no push, the page asks. */
import { assert, until } from "../harness.mjs";
import { stateIs } from "./page.mjs";

/** Counts the page's questions, leaving streams aside. */
function questions(page) {
  const asked = [];
  page.on("request", (request) => {
    const { pathname } = new URL(request.url());
    if (/\/api\/(flash-sales$|flash-sales\/\d+$|orders\/(status\/|results$))/.test(pathname)) asked.push(pathname);
  });
  return asked;
}

export const scenarios = {
  "the result and the last unit are pushed": async (bed) => {
    const sale = await bed.sale({ units: 1 });
    let live = 0;
    const before = (page) => page.on("response", (response) => response.url().endsWith("/events") && response.status() === 200 && live++);
    const buyer = await bed.page(`/#sale=${sale.id}`, { as: await bed.shopper(), before });
    const watcher = await bed.page(`/#sale=${sale.id}`, { before });
    await stateIs(buyer, "open");
    await stateIs(watcher, "open");
    await until("three streams are open", () => live === 3);
    // The questions that were asked before the streams were open are answered.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const [asked, watched] = [questions(buyer), questions(watcher)];
    await buyer.locator("#buy").click();
    await stateIs(buyer, "bought", 5000);
    await stateIs(watcher, "soldOut", 5000);
    assert(asked.length === 0, `the buyer's page has asked for ${asked}`);
    assert(watched.length === 0, `the other page has asked for ${watched}`);
  },

  "a result arrives on the shopper's other screen": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const shopper = await bed.shopper();
    const screen = await bed.page(`/#sale=${sale.id}`, { as: shopper });
    await stateIs(screen, "open");
    await bed.api("POST", `/api/flash-sale/attempt/${sale.id}`, undefined, shopper.token);
    await stateIs(screen, "bought");
  },

  "an order that an operator cancels is told to the page, and the shopper may buy again": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const shopper = await bed.shopper();
    const page = await bed.page(`/#sale=${sale.id}`, { as: shopper });
    await stateIs(page, "open");
    const { attemptId } = await bed.api("POST", `/api/flash-sale/attempt/${sale.id}`, undefined, shopper.token);
    await stateIs(page, "bought");
    await bed.operate("POST", `/orders/${attemptId}/cancel`, { restock: true, reason: null }, { "idempotency-key": `cancel-${attemptId}` });
    await stateIs(page, "open");
    await page.locator("#buy").click();
    await stateIs(page, "bought");
  },

  "where no stream is let through, the page asks, and buys all the same": async (bed) => {
    const sale = await bed.sale({ units: 1 });
    const before = (page) => page.route("**/events", (route) => route.fulfill({ status: 503, headers: { "retry-after": "60" }, body: "" }));
    const buyer = await bed.page(`/#sale=${sale.id}`, { as: await bed.shopper(), before });
    const watcher = await bed.page(`/#sale=${sale.id}`, { before });
    await stateIs(watcher, "open");
    await stateIs(buyer, "open");
    await buyer.locator("#buy").click();
    await stateIs(buyer, "bought");
    await stateIs(watcher, "soldOut");
    await buyer.reload();
    await stateIs(buyer, "bought");
  },

  "where the page asks, what the shopper bought before is not told as this sale's": async (bed) => {
    const earlier = await bed.sale({ units: 5 });
    const shopper = await bed.shopper();
    await bed.api("POST", `/api/flash-sale/attempt/${earlier.id}`, undefined, shopper.token);
    await until("it is bought", async () => (await bed.sold(earlier.id)) === 1);
    // The same product, whose earlier sale has ended.
    await bed.operate("POST", `/sales/${earlier.id}/end`, {});
    await until("it has ended", async () => (await bed.operate("GET", `/sales/${earlier.id}`)).phase === "ended");
    const sale = await bed.sale({ opensInMs: 500, units: 5, productId: earlier.productId });
    const before = (page) => page.route("**/events", (route) => route.fulfill({ status: 503, headers: { "retry-after": "60" }, body: "" }));
    const page = await bed.page(`/#sale=${sale.id}`, { as: shopper, before });
    const asked = questions(page);
    await until("results are asked for", () => asked.some((path) => path.includes("/orders/")));
    await stateIs(page, "open");
    // Whatever was answered is shown by now: one more reading of the list.
    const lists = () => asked.filter((path) => path.endsWith("/flash-sales")).length;
    const count = lists();
    await until("the list is read again", () => lists() >= count + 1);
    assert((await page.locator("#buy").getAttribute("data-state")) === "open", "the button is for this sale");
    await page.locator("#buy").click();
    await stateIs(page, "bought");
    assert((await bed.sold(sale.id)) === 1, "and it buys");
  },
};
