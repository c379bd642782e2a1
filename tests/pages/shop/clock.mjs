/** The countdown is the server's, whatever the device believes. */
import { assert } from "../harness.mjs";
import { machineLateMs, onTime, startTimer, stateIs } from "./page.mjs";

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

export const scenarios = Object.fromEntries(
  [-10, 0, 10].map((minutes) => [
    `with a device clock ${minutes} minutes off the button opens within 150 ms of the server's start`,
    (bed) => onTime(150, () => opening(bed, minutes * MINUTES)),
  ]),
);
