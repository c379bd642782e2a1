/** What the console shows, and how: fresh or stale figures, a balance that is off, tables, files, searches, every view in both themes. */
import { readFileSync } from "node:fs";
import { assert, until } from "../harness.mjs";
import { go, newName, signIn, staff } from "./staff.mjs";

const VIEWS = ["sale", "sales", "products", "servers", "letters", "shoppers", "log", "checks"];
const BUDGET_BYTES = 45_000;

/** A purchase that became an order: `{shopper, attemptId}`. */
async function bought(bed, sale) {
  const shopper = await bed.shopper();
  const { attemptId } = await until("accepted", () =>
    bed.api("POST", `/api/flash-sale/attempt/${sale.id}`, undefined, shopper.token).catch(() => null),
  );
  await until("settled", () => bed.operate("GET", `/attempts/${attemptId}`).catch(() => null));
  return { shopper, attemptId };
}

/** Every view and dialog of an open sale: axe finds nothing, and nothing is wider than the screen. */
async function everything(bed, colorScheme, width) {
  const sale = await bed.sale({ name: newName("Boot") });
  await bought(bed, sale);
  const page = await signIn(bed, staff("operator"), {
    view: `sale/${sale.id}`,
    context: { colorScheme, viewport: { width, height: 800 } },
  });
  for (const view of VIEWS) {
    await go(page, view);
    await page.locator(`nav a[aria-current][href="#/${view}"]`).waitFor();
    await page.getByText("Loading").waitFor({ state: "detached" });
    if (view === "checks") {
      for (const button of await page.getByRole("button", { name: "Check now" }).all()) await button.click();
      await page.getByText("Nothing is wrong.").waitFor({ timeout: 60_000 });
    }
    await bed.axe(page, view);
  }
  await go(page, `sale/${sale.id}`);
  for (const open of ["Add units", "Take units away", "Change the end", "End now", "Cancel the sale", "Pause"]) {
    await page.getByRole("button", { name: open }).click();
    await page.locator("dialog[open]").waitFor();
    await bed.axe(page, open);
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
  }
}

export const scenarios = {
  "every view and dialog has nothing that axe finds, light at 1280 pixels": (bed) => everything(bed, "light", 1280),

  "every view and dialog has nothing that axe finds, dark at 320 pixels": (bed) => everything(bed, "dark", 320),

  "figures older than three seconds are marked, and fresh ones again are not": async (bed) => {
    const proxy = await bed.proxy();
    const page = await signIn(bed, staff("operator"), { base: proxy.base, expect: [/Failed to load resource/] });
    assert((await page.locator(".stale").textContent()) === "", "nothing is marked at first");
    const cut = Date.now();
    proxy.cut();
    await page.getByRole("alert").filter({ hasText: "These numbers are old" }).waitFor();
    const after = Date.now() - cut;
    assert(after > 1500 && after < 6000, `marked ${after} ms after the last answer`);
    await page.locator(".clock .status", { hasText: "stale" }).waitFor();
    await bed.axe(page, "stale");
    proxy.restore();
    await page.locator(".clock .status", { hasText: "live" }).waitFor();
    await until("the mark is gone", async () => (await page.locator(".stale").textContent()) === "");
  },

  "while the ledger does not answer the figures go on, and what is missing is named": async (bed) => {
    const sale = await bed.sale({ name: newName("Bowl"), units: 10 });
    const page = await signIn(bed, staff("operator"), { view: `sale/${sale.id}` });
    await page.locator(".hero[data-phase=open]").waitFor();
    const isLedger = (url) => /api\/admin\/(sales|products|actions|users)/.test(url.pathname);
    const down = { status: 503, json: { success: false, error: "", message: "PostgreSQL does not answer.", code: "unavailable" } };
    // Some calls are refused, others hang.
    await page.route(isLedger, (route) => (/actions|sales\/\d/.test(route.request().url()) ? undefined : route.fulfill(down)));
    const hanging = Date.now();
    await page.getByText("The sale cannot be read").waitFor();
    assert(Date.now() - hanging < 6000, "a balance that is older than three seconds is marked");
    await page.getByText("The lists of sales and products cannot be read").waitFor();
    await bed.axe(page, "without the ledger");
    let overviews = 0;
    page.on("response", (answer) => answer.url().endsWith("/overview") && answer.ok() && overviews++);
    await until("the figures come five times more", () => overviews >= 5, 10_000);
    await page.locator(".clock .status", { hasText: "live" }).waitFor({ timeout: 1000 });
    assert((await page.locator(".stale").textContent()) === "", "the figures are not marked");
    await page.locator(".hero", { hasText: sale.product.name }).waitFor({ timeout: 1000 });
    // A console that is opened now shows the servers.
    await page.reload();
    await page.locator(".clock .status", { hasText: "live" }).waitFor();
    await go(page, "servers");
    await page.getByRole("heading", { name: "Servers" }).first().waitFor();
    await page.unroute(isLedger);
    await go(page, `sale/${sale.id}`);
    await page.locator(".hero[data-phase=open]").waitFor();
    await page.getByText("cannot be read").first().waitFor({ state: "detached" });
  },

  "a balance that does not add up is said in words": async (bed) => {
    const sale = await bed.sale({ name: newName("Cup"), units: 10 });
    const page = await signIn(bed, staff("operator"), {
      view: `sale/${sale.id}`,
      before: (one) =>
        one.route(`**/api/admin/sales/${sale.id}`, async (route) => {
          const data = await bed.operate("GET", `/sales/${sale.id}`);
          await route.fulfill({ json: { success: true, data: { ...data, balance: { ...data.balance, available: 7, drift: 3 } } } });
        }),
    });
    await page.getByRole("alert").filter({ hasText: "Does not add up: 3 units are missing" }).waitFor();
    await bed.axe(page, "does not add up");
  },

  "a server that is down is said in words in every view, and a balance without the gate is not green": async (bed) => {
    const sale = await bed.sale({ name: newName("Scale"), units: 10 });
    const down = new Set();
    const page = await signIn(bed, staff("operator"), {
      view: `sale/${sale.id}`,
      before: async (one) => {
        await one.route("**/api/admin/overview", async (route) => {
          const data = await bed.operate("GET", "/overview");
          const servers = data.servers.map((server) => (down.has(server.name) ? { ...server, status: "down" } : server));
          await route.fulfill({ json: { success: true, data: { ...data, servers } } });
        });
        await one.route(`**/api/admin/sales/${sale.id}`, async (route) => {
          const data = await bed.operate("GET", `/sales/${sale.id}`);
          const source = down.has("gate") ? "ledger" : "gate";
          await route.fulfill({ json: { success: true, data: { ...data, balance: { ...data.balance, source } } } });
        });
      },
    });
    const alarm = page.locator(".alarm[role=alert]");
    const verdict = page.locator(".verdict .status");
    await page.getByText("Adds up").waitFor();
    assert((await alarm.textContent()) === "", "nothing is said while all answer");
    down.add("gate");
    await alarm.filter({ hasText: "is down: nobody can buy now." }).waitFor();
    await page.getByText("from the ledger; the gate does not answer").waitFor();
    assert((await verdict.getAttribute("data-status")) === "warn", "the balance is not green");
    assert((await page.getByText("can be bought now").count()) === 0, "nothing can be bought");
    await bed.axe(page, "the gate is down");
    down.add("log").add("ledger");
    await go(page, "sales");
    for (const meaning of ["nobody can buy now.", "purchases are refused", "no order is written"]) {
      await alarm.filter({ hasText: meaning }).waitFor();
    }
    down.clear();
    await until("nothing is said any more", async () => (await alarm.textContent()) === "");
  },

  "every chart has its numbers as a table": async (bed) => {
    const page = await signIn(bed, staff("operator"));
    for (const name of ["Attempts", "Answer time", "Orders", "Lag"]) {
      const chart = page.locator(".chart", { has: page.getByRole("heading", { name, exact: true }) });
      assert(
        (await chart.getByRole("img").getAttribute("aria-label")).startsWith("Chart of the last five minutes"),
        `${name} is described`,
      );
      await chart.getByText("As a table").click();
      // A row every ten seconds.
      await chart.locator("tbody tr").first().waitFor({ timeout: 15_000 });
    }
    await bed.axe(page, "tables");
  },

  "orders are saved as a file, without a token in an address": async (bed) => {
    const sale = await bed.sale({ name: newName("Mug") });
    const { attemptId } = await bought(bed, sale);
    const page = await signIn(bed, staff("auditor"), { view: `sale/${sale.id}` });
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save orders" }).click()]);
    assert(download.suggestedFilename() === `orders-of-sale-${sale.id}.csv`, download.suggestedFilename());
    const text = readFileSync(await download.path(), "utf8");
    assert(text.startsWith("orderId,attemptId") && text.includes(attemptId), text);
  },

  "a shopper's attempts are found by number, name and e-mail address, and one by its id": async (bed) => {
    const sale = await bed.sale({ name: newName("Coat") });
    const { shopper, attemptId } = await bought(bed, sale);
    const page = await signIn(bed, staff("support"), { view: "shoppers" });
    for (const query of [shopper.userId, shopper.username.toUpperCase(), shopper.email, attemptId]) {
      await page.getByLabel("Shopper or attempt").fill(query);
      await page.getByRole("button", { name: "Search" }).click();
      await page.locator("article", { hasText: attemptId }).getByText("got an order").waitFor();
      if (query === attemptId) break;
      await go(page, "shoppers");
      await page.getByText("What became of a press").waitFor();
    }
    await page.getByText("SUCCESS").waitFor();
    assert(
      (await page.getByRole("button", { name: "Cancel the order" }).getAttribute("aria-disabled")) === "true",
      "support changes nothing",
    );
  },

  "no account, an account without attempts, and no such attempt are told apart": async (bed) => {
    const shopper = await bed.shopper();
    const digits = String(Date.now());
    await bed.api("POST", "/api/auth/register", { username: digits, email: `d${digits}@example.com`, password: "correct horse" });
    const page = await signIn(bed, staff("support"), { view: "shoppers" });
    const attempt = "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11";
    for (const [query, answer] of [
      ["999999999", "There is no account with the number or user name “999999999”."],
      ["nobody-has-this-name", "There is no account with the user name “nobody-has-this-name”."],
      ["nobody@example.com", "There is no account with the e-mail address “nobody@example.com”."],
      [shopper.email, `The account ${shopper.userId} (${shopper.username}) exists and has no attempts.`],
      [shopper.userId, `(${shopper.username}) exists and has no attempts.`],
      [digits, `(${digits}) exists and has no attempts.`],
      [attempt, `No attempt has the id ${attempt}.`],
    ]) {
      await page.getByLabel("Shopper or attempt").fill(query);
      await page.getByRole("button", { name: "Search" }).click();
      await page.locator(".notice", { hasText: answer }).waitFor();
    }
  },

  "the page with all that it loads is at most 45 KB": async (bed) => {
    const files = [];
    await signIn(bed, staff("operator"), { before: async (page) => page.on("requestfinished", (request) => files.push(request)) });
    let bytes = 0;
    for (const request of files) {
      const { protocol, pathname } = new URL(request.url());
      if (protocol === "data:" || pathname.startsWith("/api/")) continue;
      const headers = await (await request.response()).allHeaders();
      assert(headers["content-encoding"] === "gzip", `${pathname} is compressed`);
      bytes += (await request.sizes()).responseBodySize;
    }
    console.log(`       ${bytes} bytes`);
    assert(files.length > 15 && bytes <= BUDGET_BYTES, `${bytes} bytes are more than ${BUDGET_BYTES}`);
  },
};
