/** A session that ends while its page is open. */
import { assert } from "../harness.mjs";
import { atButton, stateIs, textOf } from "./page.mjs";

/** How the server answers both forms with LOCAL_ACCOUNTS=false. */
const REFUSAL = {
  success: false,
  error: "Forbidden",
  message: "Shoppers have no accounts here: log in at the shop.",
  code: "local_accounts_off",
};

export const scenarios = {
  "a shopper whose session has ended elsewhere is told so, and sees the order after logging in": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const shopper = await bed.shopper();
    const page = await bed.page(`/#sale=${sale.id}`, { as: shopper });
    await stateIs(page, "open");
    await page.locator("#buy").click();
    await stateIs(page, "bought");
    await bed.api("POST", "/api/auth/logout", undefined, shopper.token);
    // The page asks for its results again when it comes back.
    await page.reload();
    await page.locator("#hint", { hasText: "You were logged out. Log in to see your order." }).waitFor();
    await page.locator("#live", { hasText: "You were logged out." }).waitFor();
    await page.locator("#language").selectOption("ar");
    await page.locator("#hint", { hasText: "تم تسجيل خروجك" }).waitFor();
    await page.locator("#log-in").click();
    await page.locator("#username").fill(shopper.username);
    await page.locator("#password").fill(shopper.password);
    await page.locator("#account-submit").click();
    await stateIs(page, "bought");
  },

  "where the shop has a login of its own the page says so, and offers no other": async (bed) => {
    const sale = await bed.sale({ units: 5 });
    const page = await bed.page(`/#sale=${sale.id}`, {
      before: (page) => page.route(/api\/auth\/(login|register)$/, (route) => route.fulfill({ status: 403, json: REFUSAL })),
    });
    await stateIs(page, "open");
    await page.locator("#buy").click();
    for (const [id, text] of Object.entries({ username: "somebody", email: "somebody@example.com", password: "correct horse" })) {
      await page.locator(`#${id}`).fill(text);
    }
    await page.locator("#account-submit").click();
    const sentence = "This shop has a login of its own. Log in and buy there.";
    await page.locator("#account-error", { hasText: sentence }).waitFor();
    for (const id of ["username", "email", "password", "account-submit", "account-swap"]) {
      assert(!(await page.locator(`#${id}`).isVisible()), `#${id} is not offered`);
    }
    assert((await textOf(page, "account-title")) === "Log in", "the title offers no sign-up");
    assert((await atButton(page)) === "account-close", "the focus is in the dialog");
    await bed.axe(page, "the shop's own login");
    await page.locator("#account-close").click();
    // Also after a reload, and in the other language.
    for (const look of ["at once", "after a reload"]) {
      assert(!(await page.locator("#log-in").isVisible()), `no log-in is offered ${look}`);
      assert((await textOf(page, "hint")) === sentence, `it is said under the button ${look}`);
      await page.reload();
      await stateIs(page, "open");
    }
    await page.locator("#language").selectOption("ar");
    await page.locator("#hint", { hasText: "لهذا المتجر تسجيل دخول خاص به" }).waitFor();
    await page.locator("#buy").click();
    await page.locator("#account-error", { hasText: "لهذا المتجر تسجيل دخول خاص به" }).waitFor();
  },
};
