/** An operator runs a sale from the console, alone and beside another one. */
import { assert, until } from "../harness.mjs";
import { draft, figure, go, newName, send, signIn, staff, untilFigure } from "./staff.mjs";

/** For an input of the browser's time zone, which is the test's. */
const local = (millis) => new Date(Date.now() + millis - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 19);

export const scenarios = {
  "an operator makes a product and a sale, publishes, pauses, adds units, and sees the numbers change": async (bed) => {
    const name = newName("Trail shoe");
    const page = await signIn(bed, staff("operator"), { view: "products" });
    await page.getByRole("button", { name: "New product" }).click();
    await page.getByLabel("Name", { exact: true }).fill(name);
    await page.getByLabel("SKU").fill(crypto.randomUUID());
    await page.getByLabel("Price", { exact: true }).fill("99.90");
    await page.getByLabel("Price before").fill("149");
    await send(page);
    await page.getByRole("row", { name }).getByText("99.90 EUR").waitFor();

    await go(page, "sales");
    await page.getByRole("button", { name: "New sale" }).click();
    const option = page.locator("[name=productId] option", { hasText: name });
    await page.getByLabel("Product").selectOption(await option.getAttribute("value"));
    await page.getByLabel("Start").fill(local(-60_000));
    await page.getByLabel("End").fill(local(3_600_000));
    await page.getByLabel("Units").fill("100");
    await send(page);
    await page.getByRole("link", { name }).click();
    await page.locator(".hero[data-phase=draft]").waitFor();
    const saleId = Number(page.url().split("/").at(-1));

    await page.getByRole("button", { name: "Publish" }).click();
    await page.locator("dialog .differences", { hasText: "everybody" }).waitFor();
    await send(page);
    await page.locator(".hero[data-phase=open]").waitFor();
    await untilFigure(page, "available", 100);

    const shopper = await bed.shopper();
    await until("the purchase is accepted", () =>
      bed.api("POST", `/api/flash-sale/attempt/${saleId}`, undefined, shopper.token).catch(() => null),
    );
    await untilFigure(page, "sold", 1);
    assert((await figure(page, "available")) === 99, "one unit fewer is available");

    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByLabel("Reason").fill("The payment provider is down");
    await send(page);
    await page.locator(".hero[data-phase=paused]", { hasText: "The payment provider is down" }).waitFor();
    assert((await bed.operate("GET", `/sales/${saleId}`)).phase === "paused", "the server has it as well");

    await page.getByRole("button", { name: "Add units" }).click();
    await page.getByLabel("How many").fill("50");
    await page.locator("dialog .differences", { hasText: "150" }).waitFor();
    await send(page);
    await untilFigure(page, "total", 150);
    await page.getByRole("button", { name: "Resume" }).click();
    await send(page);
    await page.locator(".hero[data-phase=open]").waitFor();
    await page.getByText("Adds up").waitFor();
  },

  "a second operator is told who changed what, and why": async (bed) => {
    const sale = await bed.sale({ name: newName("Kettle"), units: 10 });
    const first = await signIn(bed, staff("operator"), { view: `sale/${sale.id}` });
    const second = await signIn(bed, staff("operator", 1), { view: `sale/${sale.id}` });
    await first.getByRole("button", { name: "Pause" }).click();
    await first.getByLabel("Reason").fill("Wrong picture");
    await send(first);
    const told = second.locator(".toast", { hasText: `paused ${sale.product.name}` });
    await told.waitFor();
    assert((await told.textContent()).includes("Wrong picture"), "the reason is told");
    await second.locator(".hero[data-phase=paused]").waitFor();
    assert((await first.locator(".toast", { hasText: `paused ${sale.product.name}` }).count()) === 0, "nobody is told of their own change");
    await told.getByRole("button", { name: "Dismiss" }).click();
    await told.waitFor({ state: "detached" });
    await go(second, "log");
    await second
      .locator(".entries li", { hasText: `paused ${sale.product.name}` })
      .getByText("Wrong picture")
      .waitFor();
  },

  "an edit of what somebody changed meanwhile says who and what, and keeps their change": async (bed) => {
    const sale = await draft(bed, newName("Lamp"), 20);
    const page = await signIn(bed, staff("operator"), { view: `sale/${sale.id}` });
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Note").fill("In the newsletter");
    // Somebody else is faster, and nothing is asked before the form is sent.
    await page.route(/api\/admin\/(overview|actions|sales)/, (route) =>
      route.request().method() === "GET" ? route.abort() : route.continue(),
    );
    await bed.operate("PATCH", `/sales/${sale.id}`, { units: 33 }, { "If-Match": `"v${sale.version}"` });
    await page.locator("dialog .actions button").last().click();
    await page.unroute(/api\/admin\/(overview|actions|sales)/);
    const conflict = page.getByRole("alert").filter({ hasText: "Somebody changed it meanwhile" });
    await conflict.locator(".differences", { hasText: "33" }).waitFor();
    await bed.axe(page, "changed meanwhile");
    await conflict.getByRole("button", { name: "Make my change on top of it" }).click();
    await send(page);
    const now = await bed.operate("GET", `/sales/${sale.id}`);
    assert(now.units === 33 && now.note === "In the newsletter", `both changes stand: ${JSON.stringify(now)}`);
  },

  "a product is edited: what changes is shown first, and nothing else is sent": async (bed) => {
    const { productId, product } = await bed.sale({ name: newName("Basket"), units: 5 });
    const patches = [];
    const page = await signIn(bed, staff("operator"), {
      view: "products",
      before: async (one) => one.on("request", (request) => request.method() === "PATCH" && patches.push(request.postDataJSON())),
    });
    const row = page.getByRole("row", { name: product.name });
    await row.getByRole("button", { name: "Edit" }).click();
    await page.locator("dialog h2", { hasText: `Edit: ${product.name}` }).waitFor();
    const price = page.getByLabel("Price", { exact: true });
    assert((await price.inputValue()) === "99.00", `the price is ${await price.inputValue()}`);
    await price.fill("89.5");
    await page.getByLabel("Price before").fill("99");
    const lines = page.locator("dialog fieldset .differences > div");
    await until("two lines", async () => (await lines.count()) === 2);
    assert(/Price.*99\.00 EUR.*89\.50 EUR/.test(await lines.first().textContent()), await lines.first().textContent());
    await bed.axe(page, "editing a product");
    await send(page);
    await row.getByText("89.50 EUR").waitFor();
    assert(JSON.stringify(patches) === '[{"priceCents":8950,"priorPriceCents":9900}]', `sent: ${JSON.stringify(patches)}`);
    const now = await bed.operate("GET", `/products/${productId}`);
    assert(now.priceCents === 8950 && now.name === product.name && now.description === product.description, JSON.stringify(now));
  },

  "an edit of the note alone keeps the end that somebody else moved meanwhile": async (bed) => {
    const { id } = await bed.sale({ name: newName("Rope"), units: 10 });
    // Whole minutes: Chromium writes such a time without its seconds.
    const minute = Math.ceil(Date.now() / 60_000 + 60) * 60_000;
    const times = [minute, minute + 20 * 60_000].map((at) => new Date(at).toISOString());
    const edit = async (endTime) => {
      const { version } = await bed.operate("GET", `/sales/${id}`);
      await bed.operate("PATCH", `/sales/${id}`, { endTime }, { "If-Match": `"v${version}"` });
    };
    await edit(times[0]);
    const patches = [];
    const page = await signIn(bed, staff("operator"), {
      view: `sale/${id}`,
      before: async (one) => one.on("request", (request) => request.method() === "PATCH" && patches.push(request.postDataJSON())),
    });
    await page.getByRole("button", { name: "Change the end" }).click();
    await page.getByLabel("Note").fill("Call the supplier");
    await edit(times[1]);
    const conflict = page.getByRole("alert").filter({ hasText: "Somebody changed it meanwhile" });
    await conflict.getByRole("button", { name: "Make my change on top of it" }).click();
    const lines = page.locator("dialog fieldset .differences dt");
    assert((await lines.allTextContents()).join() === "Note", `the note alone: ${await lines.allTextContents()}`);
    await send(page);
    assert(JSON.stringify(patches) === '[{"note":"Call the supplier"}]', `sent: ${JSON.stringify(patches)}`);
    const now = await bed.operate("GET", `/sales/${id}`);
    assert(Date.parse(now.endTime) === Date.parse(times[1]), `the end is the other one's: ${now.endTime}`);
  },

  "what cannot be undone shows before and after, and asks for the name": async (bed) => {
    const sale = await bed.sale({ name: newName("Bottle"), units: 10 });
    const page = await signIn(bed, staff("operator"), { view: `sale/${sale.id}` });
    await page.getByRole("button", { name: "End now" }).click();
    await page.locator("dialog .differences", { hasText: "ended" }).waitFor();
    const typed = page.getByLabel("To confirm, type");
    await typed.fill("another name");
    await page.locator("dialog .actions button").last().click();
    await page.getByRole("alert").filter({ hasText: "another name" }).waitFor();
    assert((await bed.operate("GET", `/sales/${sale.id}`)).phase === "open", "nothing was sent");
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    assert((await page.evaluate(() => document.activeElement.textContent)) === "End now", "the focus is where it was");
    await page.getByRole("button", { name: "Take units away" }).click();
    await page.getByLabel("How many").fill("4");
    await page.getByLabel("To confirm, type").fill(sale.product.name);
    await send(page);
    await untilFigure(page, "total", 6);
    await page.getByRole("button", { name: "End now" }).click();
    await page.getByLabel("To confirm, type").fill(sale.product.name);
    await send(page);
    await page.locator(".hero[data-phase=ended]").waitFor();
  },

  "a change whose answer is lost is sent again and made once": async (bed) => {
    const sale = await bed.sale({ name: newName("Radio"), units: 10 });
    const proxy = await bed.proxy();
    const page = await signIn(bed, staff("operator"), { view: `sale/${sale.id}`, base: proxy.base, expect: [/Failed to load resource/] });
    await page.getByRole("button", { name: "Add units" }).click();
    await page.getByLabel("How many").fill("5");
    // Chromium itself sends it once more on a new connection; the key is the same.
    proxy.cutAfter = (piece) => piece.includes(`/sales/${sale.id}/stock`);
    await page.locator("dialog .actions button").last().click();
    await page.getByRole("alert").filter({ hasText: "It may have been done" }).waitFor();
    await until("the server made the change", async () => (await bed.operate("GET", `/sales/${sale.id}`)).units === 15);
    proxy.cutAfter = () => false;
    await send(page);
    assert((await bed.operate("GET", `/sales/${sale.id}`)).units === 15, "five units were added once");
    await untilFigure(page, "total", 15);
  },

  // The server made the change, and cannot say so: each of these answers asks for the same key again.
  ...Object.fromEntries(
    [
      [503, "outcome_unknown"],
      [409, "request_in_progress"],
      [503, "unavailable"],
    ].map(([status, code]) => [
      `a change that is answered ${status} ${code} is sent again with its key, and made once`,
      async (bed) => {
        const sale = await bed.sale({ name: newName("Lens"), units: 10 });
        const page = await signIn(bed, staff("operator"), { view: `sale/${sale.id}` });
        const keys = [];
        await page.route(`**/api/admin/sales/${sale.id}/stock`, async (route) => {
          keys.push(route.request().headers()["idempotency-key"]);
          if (keys.length > 1) return route.continue();
          await route.fetch();
          return route.fulfill({ status, json: { success: false, error: code, message: `It is ${code}.`, code } });
        });
        await page.getByRole("button", { name: "Add units" }).click();
        await page.getByLabel("How many").fill("5");
        await page.locator("dialog .actions button").last().click();
        await page.getByRole("alert").filter({ hasText: "It may have been done" }).waitFor();
        assert(await page.getByLabel("How many").isDisabled(), "no other change is sent with this key");
        await send(page);
        assert(keys.length === 2 && keys[0] === keys[1], `the keys are ${keys}`);
        assert((await bed.operate("GET", `/sales/${sale.id}`)).units === 15, "five units were added once");
      },
    ]),
  ),

  "a change that is refused may be put right, and is another one then": async (bed) => {
    const sale = await bed.sale({ name: newName("Strap"), units: 10 });
    const page = await signIn(bed, staff("operator"), { view: `sale/${sale.id}` });
    const keys = [];
    page.on("request", (request) => request.url().endsWith("/stock") && keys.push(request.headers()["idempotency-key"]));
    await page.getByRole("button", { name: "Take units away" }).click();
    await page.getByLabel("How many").fill("11");
    await page.getByLabel("To confirm, type").fill(sale.product.name);
    await page.locator("dialog .actions button").last().click();
    await page.locator("dialog [role=alert]").waitFor();
    await page.getByLabel("How many").fill("4");
    await send(page);
    assert(keys.length === 2 && keys[0] !== keys[1], `the keys are ${keys}`);
    assert((await bed.operate("GET", `/sales/${sale.id}`)).units === 6, "four units were taken");
  },

  ...Object.fromEntries(
    ["the page is told nothing", "the request is sent again and is stale"].map((how) => [
      `an edit whose answer is lost is no change by somebody else: ${how}`,
      async (bed) => {
        const sale = await draft(bed, newName("Clock"), 20);
        const page = await signIn(bed, staff("operator"), { view: `sale/${sale.id}` });
        await page.getByRole("button", { name: "Edit" }).click();
        await page.getByLabel("Note").fill("In the newsletter");
        await page.getByLabel("Units", { exact: true }).fill("33");
        const conflicts = [];
        await page.exposeFunction("noteConflict", (text) => conflicts.push(text));
        await page.evaluate(() =>
          new MutationObserver(() => {
            if (document.body.textContent.includes("Somebody changed it meanwhile")) window.noteConflict("told");
          }).observe(document.body, { childList: true, subtree: true }),
        );
        // The server makes the change. What follows are the answers of a lost connection, or those to the browser's own repetition.
        await page.route(`**/api/admin/sales/${sale.id}`, async (route) => {
          if (route.request().method() !== "PATCH") return route.continue();
          await route.fetch();
          return how.includes("stale") ? route.continue() : route.abort("connectionreset");
        });
        await page.locator("dialog .actions button").last().click();
        await page.locator("dialog").waitFor({ state: "detached" });
        await page.locator(".toast", { hasText: "saved" }).waitFor();
        assert(conflicts.length === 0, "nobody is told of a change by somebody else");
        const now = await bed.operate("GET", `/sales/${sale.id}`);
        assert(now.units === 33 && now.note === "In the newsletter" && now.version === sale.version + 1, JSON.stringify(now));
      },
    ]),
  ),

  "an order is cancelled from its history, and its unit goes on sale again": async (bed) => {
    const sale = await bed.sale({ name: newName("Chair"), units: 3 });
    const shopper = await bed.shopper();
    const { attemptId } = await bed.api("POST", `/api/flash-sale/attempt/${sale.id}`, undefined, shopper.token);
    await until("settled", () => bed.operate("GET", `/attempts/${attemptId}`).catch(() => null));
    const page = await signIn(bed, staff("operator"), { view: `shoppers/${shopper.userId}` });
    await page.getByRole("button", { name: "Cancel the order" }).click();
    await page.getByLabel("Reason").fill("Paid with a stolen card");
    await page.getByLabel("To confirm, type").fill(sale.product.name);
    await bed.axe(page, "cancelling an order");
    await send(page);
    await page.locator("article", { hasText: "has ended" }).waitFor();
    await go(page, `sale/${sale.id}`);
    await untilFigure(page, "available", 3);
  },

  "a sale is paused and resumed by keyboard alone": async (bed) => {
    const sale = await bed.sale({ name: newName("Torch"), units: 10 });
    const { username, password } = staff("operator");
    const page = await bed.page(`/admin#/sale/${sale.id}`);
    const reach = async (name) => {
      for (let presses = 0; presses < 40; presses++) {
        if ((await page.evaluate(() => document.activeElement.textContent.trim())) === name) return page.keyboard.press("Enter");
        await page.keyboard.press("Tab");
      }
      throw new Error(`no Tab leads to ${name}`);
    };
    await page.getByLabel("User name").focus();
    await page.keyboard.type(username);
    await page.keyboard.press("Tab");
    await page.keyboard.type(password);
    await page.keyboard.press("Enter");
    await page.locator(".hero[data-phase=open]").waitFor();
    for (const [press, phase] of [
      ["Pause", "paused"],
      ["Resume", "open"],
    ]) {
      await reach(press);
      await page.locator("dialog[open]").waitFor();
      await page.keyboard.press("Enter"); // In the field of the reason.
      await page.locator(`.hero[data-phase=${phase}]`).waitFor();
      await page.locator("dialog").waitFor({ state: "detached" });
    }
  },
};
