/** Who sees what: a shopper nothing, support and auditors everything without changing anything. */
import { assert, until } from "../harness.mjs";
import { go, newName, signIn, staff } from "./staff.mjs";

/** Where the console keeps its token. */
const plant = (token) => (page) =>
  page.addInitScript((text) => sessionStorage.setItem("flashsale.console.token", JSON.stringify(text)), token);

/** Nothing of an operator's is on the page. */
async function assertEmpty(page, product) {
  await page.getByLabel("User name").waitFor();
  const text = await page.locator("body").textContent();
  for (const word of [product, "Control room", "Balance", "available"]) assert(!text.includes(word), `the page shows “${word}”`);
}

/** A token as the server's, but with another role and no good signature. */
function forged(token) {
  const [head, claims, signature] = token.split(".");
  const changed = { ...JSON.parse(Buffer.from(claims, "base64url")), role: "admin" };
  return [head, Buffer.from(JSON.stringify(changed)).toString("base64url"), signature].join(".");
}

export const scenarios = {
  "a shopper gets nothing from /admin: not by the form, not by a token, not by a forged one": async (bed) => {
    const { product } = await bed.sale({ name: newName("Hat") });
    const shopper = await bed.shopper();
    const answers = [];
    const watch = async (page) => page.on("response", (answer) => answer.url().includes("/api/admin") && answers.push(answer.status()));

    const page = await bed.page("/admin", { before: watch });
    await page.getByLabel("User name").fill(shopper.username);
    await page.getByLabel("Password").fill(shopper.password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").filter({ hasText: "shopper’s account" }).waitFor();
    await assertEmpty(page, product.name);
    assert((await page.evaluate(() => sessionStorage.length)) === 0, "the token is not kept");
    await bed.axe(page, "a shopper is refused");

    const before = (token) => async (one) => {
      await watch(one);
      await plant(token)(one);
    };
    await assertEmpty(await bed.page("/admin", { before: before(shopper.token) }), product.name);
    assert(answers.length === 0, "nothing was asked for");
    const tricked = await bed.page("/admin", { before: before(forged(shopper.token)) });
    await tricked.getByRole("alert").filter({ hasText: "Your session has ended" }).waitFor();
    await assertEmpty(tricked, product.name);
    assert(answers.length > 0 && answers.every((status) => status === 401), `refused each time: ${answers}`);
  },

  "support and auditors look at everything, and see why they change nothing": async (bed) => {
    const sale = await bed.sale({ name: newName("Scarf") });
    for (const role of ["support", "auditor"]) {
      const page = await signIn(bed, staff(role), { view: `sale/${sale.id}` });
      await page.getByText(`You are signed in as ${role}: you can look at everything and change nothing.`).waitFor();
      const pause = page.getByRole("button", { name: "Pause" });
      assert((await pause.getAttribute("aria-disabled")) === "true", "the button is off");
      assert((await pause.getAttribute("aria-describedby")) === "why-not", "it says why");
      await pause.click({ force: true });
      assert((await page.locator("dialog").count()) === 0, "nothing opens");
      await bed.axe(page, `as ${role}`);
      for (const view of ["products", "sales"]) {
        await go(page, view);
        const button = page.locator("main .head .button");
        await until("the button is off", async () => (await button.getAttribute("aria-disabled")) === "true");
      }
    }
  },

  "a session that ends takes everything from the page": async (bed) => {
    const { product } = await bed.sale({ name: newName("Glove") });
    const account = staff("auditor");
    const page = await signIn(bed, account);
    const { token } = await bed.api("POST", "/api/auth/login", { username: account.username, password: account.password });
    await bed.api("POST", "/api/auth/logout", undefined, token);
    await page.getByRole("alert").filter({ hasText: "Your session has ended" }).waitFor();
    await assertEmpty(page, product.name);
  },

  "signing out ends the sessions of the account, and the token is forgotten also if the server cannot be told": async (bed) => {
    const account = staff("auditor");
    const { token } = await bed.api("POST", "/api/auth/login", { username: account.username, password: account.password });
    const proxy = await bed.proxy();
    const page = await signIn(bed, account, { base: proxy.base, expect: [/Failed to load resource/] });
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("User name").waitFor();
    await until("the other session has ended", () => bed.api("GET", "/api/admin/overview", undefined, token).then(() => false, String));
    assert((await page.evaluate(() => sessionStorage.length)) === 0, "the token is forgotten");

    await page.getByLabel("User name").fill(account.username);
    await page.getByLabel("Password").fill(account.password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.locator(".clock .status", { hasText: "live" }).waitFor();
    proxy.cut();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("alert").filter({ hasText: "The server could not be told" }).waitFor();
    assert((await page.evaluate(() => sessionStorage.length)) === 0, "the token is forgotten without the server");
  },
};
