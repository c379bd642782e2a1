/** The countdown is the server's, whatever the device believes. */
import { assert } from "../harness.mjs";
import { machineLateMs, startTimer, stateIs } from "./page.mjs";

const MINUTES = 60_000;

export const scenarios = Object.fromEntries(
  [-10, 0, 10].map((minutes) => [
    `with a device clock ${minutes} minutes off the button opens within 150 ms of the server's start`,
    async (bed) => {
      const sale = await bed.sale({ opensInMs: 5000 });
      const page = await bed.page(`/#sale=${sale.id}`, { clockOffMs: minutes * MINUTES });
      await stateIs(page, "counting");
      const off = await page.evaluate(() => Date.now() - window.seen.rightNow());
      assert(Math.abs(off - minutes * MINUTES) < 5, `the device's clock is ${off} ms off`);
      await startTimer(page, sale.startTime);
      await stateIs(page, "open");
      const { at } = await page.evaluate(() => window.seen.states.find(({ state }) => state === "open"));
      const late = at - sale.startTime;
      const machine = await machineLateMs(page);
      console.log(`       opened ${late} ms after the start, a bare timer ${machine} ms`);
      assert(late >= -150 && late <= 150 + machine, `it opened ${late} ms after the start, a bare timer ${machine} ms`);
    },
  ]),
);
