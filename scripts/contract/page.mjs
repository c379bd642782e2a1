// The page of /api-docs in a browser: loads without an error and within its prefix, fits a phone, and axe finds nothing critical or serious.
// Usage: node page.mjs BASE CHROMIUM FOLDER; FOLDER receives the screenshots.
import { createRequire } from "node:module";
import { join } from "node:path";

const [base, executablePath, folder] = process.argv.slice(2);
// The packages are installed elsewhere: NODE_PATH says where, which only `require` reads.
const require = createRequire(import.meta.url);
const { chromium } = require("playwright-core");
const { AxeBuilder } = require("@axe-core/playwright");

const SCREENS = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 900 } };
const problems = [];

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
for (const [name, viewport] of Object.entries(SCREENS)) {
  const context = await browser.newContext({ viewport, deviceScaleFactor: 1 });
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(`${name}: ${error}`));
  page.on("console", (message) => message.type() === "error" && problems.push(`${name}: ${message.text()}`));
  page.on("response", (response) => response.status() >= 400 && problems.push(`${name}: ${response.status()} ${response.url()}`));
  page.on("request", (request) => request.url().startsWith(base) || problems.push(`${name}: asks for ${request.url()}`));
  await page.goto(`${base}/api-docs`);
  await page.waitForSelector(".opblock", { timeout: 30_000 });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  await check(page, `${name}, closed`);
  // One request opened, with its fields to try it out.
  await page.click("#operations-Accounts-login .opblock-summary-control");
  await page.click("#operations-Accounts-login .try-out__btn");
  await page.waitForSelector("#operations-Accounts-login .execute");
  await page.screenshot({ path: join(folder, `${name}-open.png`), fullPage: true });
  await check(page, `${name}, open`);
  await page.click("#operations-Accounts-login .execute");
  const status = page.locator("#operations-Accounts-login .live-responses-table .response .response-col_status").first();
  await status.waitFor({ timeout: 30_000 });
  const told = (await status.innerText()).trim();
  if (!/^(200|401)/.test(told)) problems.push(`${name}: the login that was tried out answers ${told}`);
  await check(page, `${name}, executed`);
  await page.click(".authorize");
  await page.waitForSelector(".modal-ux");
  await page.screenshot({ path: join(folder, `${name}-authorize.png`) });
  await check(page, `${name}, authorize`);
  await context.close();
}
await browser.close();
for (const problem of new Set(problems)) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);

async function check(page, state) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  if (wide > 0) problems.push(`${state}: the page is ${wide} pixels wider than the screen`);
  const { violations } = await new AxeBuilder({ page }).analyze();
  for (const { id, impact, nodes, help } of violations) {
    if (impact !== "critical" && impact !== "serious") continue;
    problems.push(`${state}: ${impact} ${id} (${nodes.length}): ${help}`);
    if (process.env.VERBOSE) for (const node of nodes) problems.push(`    ${node.target} ${node.failureSummary.split("\n")[1]}`);
  }
}
