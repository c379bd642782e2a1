/** The countdown is the server's, whatever the device believes. */
import { assert, until } from "../harness.mjs";
import { machineLateMs, onTime, setVisible, startTimer, stateIs } from "./page.mjs";

const MINUTES = 60_000;

/** How late the button opened, and how late the machine ran a bare timer for the same moment; in milliseconds. */
async function opening(bed, clockOffMs) {
  const sale = await bed.sale({ opensInMs: 5000 });
  const page = await bed.page(`/#sale=${sale.id}`, { clockOffMs });
  await stateIs(page, "counting");
  const off = await page.evaluate(() => Date.now() - window.seen.rightNow());
  assert(Math.abs(off - clockOffMs) < 5, `the device's clock is ${off} ms off`);
  await startTimer(page, sale.startTime);
  await stateIs(page, "open");
  const { at } = await page.evaluate(() => window.seen.states.find(({ state }) => state === "open"));
  const machine = await machineLateMs(page);
  return { late: at - sale.startTime, machine };
}

const samples = (page) => page.evaluate(() => window.seen.requests.filter(({ path }) => path.endsWith("api/time")).length);

/** By how much the server's clock is ahead, from then on. */
const AHEAD_MS = 60_000;
/** How long the answer to each of the next five samples takes. The third one alone tells the time within 150 ms. */
const DELAYS_MS = [900, 700, 0, 700, 900];

/** As `opening`, of a page whose tab was hidden while the server's clock was set. */
async function openingAfterReturn(bed) {
  const sale = await bed.sale({ opensInMs: AHEAD_MS + 8000 });
  const page = await bed.page(`/#sale=${sale.id}`);
  await stateIs(page, "counting");
  await until("five samples at the start", async () => (await samples(page)) === 5);
  const delays = [...DELAYS_MS];
  await page.route("**/api/time", async (route) => {
    const epochMillis = Date.now() + AHEAD_MS;
    await new Promise((resolve) => setTimeout(resolve, delays.shift() ?? 0));
    await route.fulfill({ json: { success: true, data: { now: new Date(epochMillis).toISOString(), epochMillis } } });
  });
  await setVisible(page, false);
  await setVisible(page, true);
  await until("five samples when it is visible again", async () => (await samples(page)) === 10, 5000);
  const start = sale.startTime - AHEAD_MS;
  await startTimer(page, start);
  await stateIs(page, "open");
  const { at } = await page.evaluate(() => window.seen.states.find(({ state }) => state === "open"));
  assert((await samples(page)) === 10, "and no more");
  return { late: at - start, machine: await machineLateMs(page) };
}

export const scenarios = {
  ...Object.fromEntries(
    [-10, 0, 10].map((minutes) => [
      `with a device clock ${minutes} minutes off the button opens within 150 ms of the server's start`,
      (bed) => onTime(150, () => opening(bed, minutes * MINUTES)),
    ]),
  ),

  "whenever the tab becomes visible the clock is read again, and of five samples the one with the shortest round trip counts": (bed) =>
    onTime(150, () => openingAfterReturn(bed)),

  "the clock is read again every minute, by five samples": async (bed) => {
    const page = await bed.page("/", {
      before: (page) =>
        page.addInitScript(() => {
          const repeat = window.setInterval.bind(window);
          window.setInterval = (act, wait) => repeat(act, wait === 60_000 ? 3000 : wait);
        }),
    });
    for (const count of [5, 10, 15]) {
      await until(`${count} samples`, async () => (await samples(page)) === count);
      const at = Date.now();
      await until("two seconds without a sample", async () => {
        assert((await samples(page)) === count, `no more than ${count} samples`);
        return Date.now() - at > 2000;
      });
    }
  },

  "samples of a busy server do not replace what is known more exactly, unless they contradict it": async (bed) => {
    const sale = await bed.sale({ opensInMs: 3_600_000 });
    const page = await bed.page(`/#sale=${sale.id}`);
    await stateIs(page, "counting");
    const precision = async () => Number((await page.locator("#clock").textContent()).match(/to (\d+) ms/)[1]);
    await until("five samples at the start", async () => (await samples(page)) === 5);
    let [ahead, answers] = [0, 0];
    await page.route("**/api/time", async (route) => {
      const epochMillis = Date.now() + ahead;
      await new Promise((resolve) => setTimeout(resolve, 400));
      await route.fulfill({ json: { success: true, data: { now: "", epochMillis } } });
      answers++;
    });
    const seconds = () => page.locator("#seconds").textContent();
    const readAgain = async () => {
      answers = 0;
      await page.evaluate(() => window.dispatchEvent(new Event("online")));
      await until("five samples", () => answers === 5);
      // With the countdown the foot is written anew.
      const shown = await seconds();
      await until("a second", async () => (await seconds()) !== shown);
    };
    await readAgain();
    assert((await precision()) < 100, `what was known is kept: ${await precision()} ms`);
    ahead = 5000;
    await readAgain();
    assert((await precision()) >= 200, `it is put right, and less exact: ${await precision()} ms`);
  },
};
