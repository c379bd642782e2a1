/** A session that ends while its page is open. */
import { stateIs } from "./page.mjs";

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
};
