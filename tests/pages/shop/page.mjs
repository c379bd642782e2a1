/** How scenarios read the shopper page. It has no scenarios of its own. */
import { assert } from "../harness.mjs";

export const scenarios = {};

/** Waits for a state of the button. */
export async function stateIs(page, state, timeout = 20_000) {
  const wanted = page.locator(`#buy[data-state="${state}"]`);
  await wanted.waitFor({ timeout }).catch(async () => {
    const seen = await page.evaluate(() => window.seen.states.map(({ state }) => state).join(", "));
    throw new Error(`the button does not become ${state} within ${timeout} ms; it was ${seen}`);
  });
}

export const textOf = async (page, id) => (await page.locator(`#${id}`).textContent()).trim();

/** The id of what has the focus. */
export const atButton = (page) => page.evaluate(() => document.activeElement?.id);

/** A machine that runs a bare timer later than this says nothing about the page: what was measured is measured again. */
const MACHINE_MS = 50;
const TRIES = 5;

/**
 * `measure` answers how late the page was, and the machine. The page is at most 150 ms early and `latestMs` late.
 * @param {number} latestMs @param {() => Promise<{late: number, machine: number}>} measure
 */
export async function onTime(latestMs, measure) {
  for (let tries = 0; tries < TRIES; tries++) {
    const { late, machine } = await measure();
    console.log(`       ${late} ms after the start, a bare timer ${machine} ms`);
    assert(late >= -150, `${-late} ms before the start`);
    if (late <= latestMs) return;
    assert(machine > MACHINE_MS, `${late} ms after the start, a bare timer ${machine} ms`);
  }
  assert(false, `${TRIES} times later than ${latestMs} ms, and a bare timer later than ${MACHINE_MS} ms`);
}

/** Starts a bare timer in the page: see `machineLateMs`. */
export const startTimer = (page, at) =>
  page.evaluate((at) => {
    setTimeout(() => (window.seen.timerLateMs = Math.max(0, window.seen.rightNow() - at)), at - window.seen.rightNow());
  }, at);

export const machineLateMs = (page) => page.evaluate(() => window.seen.timerLateMs);

/** Hides the page's tab, or shows it, as far as the page can tell. */
export const setVisible = (page, isVisible) =>
  page.evaluate((isVisible) => {
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (isVisible ? "visible" : "hidden") });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isVisible);
