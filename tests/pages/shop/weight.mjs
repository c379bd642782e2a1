/** What the page weighs, what it loads, and that a reader of another language gets it whole. */
import { assert } from "../harness.mjs";
import { stateIs, textOf } from "./page.mjs";

const BUDGET = 25_000;

export const scenarios = {
  "everything that the page loads is at most 25 KB compressed, and from nobody else": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const files = [];
    const page = await bed.page(`/#sale=${sale.id}`, { before: (page) => page.on("requestfinished", (request) => files.push(request)) });
    await stateIs(page, "open");
    let total = 0;
    const weights = [];
    for (const request of files) {
      const url = new URL(request.url());
      // A product's picture is the shop's.
      if (url.protocol === "data:" || url.pathname.startsWith("/api/") || url.pathname.includes("/pictures/")) continue;
      const { responseBodySize } = await request.sizes();
      const headers = await (await request.response()).allHeaders();
      assert(headers["content-encoding"] === "gzip", `${url.pathname} is compressed`);
      if (url.pathname.startsWith("/assets/")) assert(/immutable/.test(headers["cache-control"]), `${url.pathname} may be kept`);
      weights.push(`${url.pathname.split("/").slice(3).join("/") || "/"} ${responseBodySize}`);
      total += responseBodySize;
    }
    console.log(`       ${total} bytes: ${weights.join(", ")}`);
    assert(weights.length >= 5, "its files were seen");
    assert(total <= BUDGET, `${total} bytes are more than ${BUDGET}`);
  },

  "in Arabic it runs from right to left, texts and errors alike, and remembers the choice": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const page = await bed.page(`/#sale=${sale.id}`);
    await stateIs(page, "open");
    await page.locator("#language").selectOption("ar");
    await page.locator("html[dir=rtl][lang=ar]").waitFor();
    assert((await textOf(page, "buy-label")) === "اشترِ الآن", "the button");
    await bed.axe(page, "Arabic");
    await page.locator("#log-in").click();
    await page.locator("#username").fill("nobody");
    await page.locator("#password").fill("wrong");
    await page.locator("#account-submit").click();
    await page.locator("#account-error", { hasText: "غير متطابقين" }).waitFor();
    await page.reload();
    await page.locator("html[dir=rtl]").waitFor();
    await stateIs(page, "open");
  },

  "several sales are listed, and each has its address": async (bed) => {
    const [first, second] = [await bed.sale({ units: 5, name: "First thing" }), await bed.sale({ units: 5, name: "Second thing" })];
    const page = await bed.page(`/#sale=${first.id}`);
    await stateIs(page, "open");
    assert((await textOf(page, "name")) === "First thing", "the one that was asked for");
    await page.locator(`#other-list a[href="#sale=${second.id}"]`).click();
    await page.locator("#name", { hasText: "Second thing" }).waitFor();
    assert((await page.evaluate(() => document.activeElement.id)) === "name", "the focus is at the name");
    await page.goBack();
    await page.locator("#name", { hasText: "First thing" }).waitFor();
  },

  "at 320 pixels, and at four times the size on a large screen, nothing is cut off": async (bed) => {
    const sale = await bed.sale({ opensInMs: 3_600_000, name: "An uncommonly longwinded productnamewithoutanyspaces, black" });
    for (const context of [{ viewport: { width: 320, height: 640 } }, { viewport: { width: 320, height: 256 }, deviceScaleFactor: 4 }]) {
      const page = await bed.page(`/#sale=${sale.id}`, { context });
      await stateIs(page, "counting");
      await bed.axe(page, `${context.viewport.height} high`);
      await page.locator("#buy").click();
      await page.locator("#account[open]").waitFor();
      await bed.axe(page, `${context.viewport.height} high, signing up`);
    }
  },

  "with forced colours and reduced motion every state is still told apart": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const page = await bed.page(`/#sale=${sale.id}`, {
      as: await bed.shopper(),
      context: { forcedColors: "active", reducedMotion: "reduce" },
    });
    await stateIs(page, "open");
    const border = await page.locator("#buy").evaluate((button) => getComputedStyle(button).borderTopWidth);
    assert(border === "2px", `the button has a border of ${border}`);
    await page.locator("#buy").click();
    await stateIs(page, "bought");
    await bed.axe(page, "forced colours");
  },
};
