/** Who runs the shop in the scenarios of the console, and what they do again and again. */
import { assert, until } from "../harness.mjs";

/** No scenario of its own. */
export const scenarios = {};

/** Accounts that the test made: two operators, support, an auditor. @param {string} role @param {number} [index] */
export function staff(role, index = 0) {
  const account = JSON.parse(process.env.STAFF ?? "[]").filter((one) => one.role === role)[index];
  assert(account, `STAFF has no ${role} number ${index}`);
  return account;
}

/** Signs in by the form, and waits for the first figures. */
export async function signIn(bed, { username, password }, { view = "sale", ...options } = {}) {
  const page = await bed.page(`/admin#/${view}`, options);
  await page.getByLabel("User name").fill(username);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator(".clock .status", { hasText: "live" }).waitFor();
  return page;
}

export const go = (page, view) => page.evaluate((hash) => (location.hash = hash), `#/${view}`);

/** Presses the last button of the dialog, and waits until it is done. */
export async function send(page) {
  await page.locator("dialog .actions button").last().click();
  await page.locator("dialog").waitFor({ state: "detached" });
}

/** The figure with this name in the balance. */
export async function figure(page, name) {
  const text = await page
    .locator(".figures > div", { has: page.locator("dt", { hasText: name }) })
    .locator(".figure")
    .textContent();
  return Number(text.replaceAll(",", ""));
}

export const untilFigure = (page, name, value) => until(`${name} is ${value}`, async () => (await figure(page, name)) === value);

/** A draft by the API, and its product. */
export async function draft(bed, name, units = 100) {
  const product = await bed.operate("POST", "/products", { sku: crypto.randomUUID(), name, priceCents: 9900, currency: "EUR" });
  const [startTime, endTime] = [-60_000, 3_600_000].map((millis) => new Date(Date.now() + millis).toISOString());
  return bed.operate("POST", "/sales", { productId: product.id, startTime, endTime, units });
}

/** A name that no other scenario uses. */
export const newName = (name) => `${name} ${crypto.randomUUID().slice(0, 6)}`;
