/** How scenarios read the shopper page. It has no scenarios of its own. */
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

/** Starts a bare timer in the page. How late the machine runs it belongs to the machine, not to the page: see `machineLateMs`. */
export const startTimer = (page, at) =>
  page.evaluate((at) => {
    setTimeout(() => (window.seen.timerLateMs = Math.max(0, window.seen.rightNow() - at)), at - window.seen.rightNow());
  }, at);

export const machineLateMs = (page) => page.evaluate(() => window.seen.timerLateMs);
