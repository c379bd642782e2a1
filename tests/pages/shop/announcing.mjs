/** What a screen reader is told without being asked: moments before the opening, the opening, the result, and nothing besides. */
import { passedMark } from "../../../web/shop/announce.js";
import { assert, until } from "../harness.mjs";
import { stateIs } from "./page.mjs";

const MARKS = [
  [600_000, "The sale opens in 10 minutes."],
  [300_000, "The sale opens in 5 minutes."],
  [60_000, "The sale opens in 1 minute."],
  [10_000, "The sale opens in 10 seconds."],
];
/** How long before the first mark a page is opened: a busy machine takes some seconds for four at once. */
const LEAD_MS = 15_000;
/** The countdown has whole seconds. */
const LATEST_MS = 1200;

/** Notes what is written into the live region, and when. */
const listen = (page) =>
  page.addInitScript(() => {
    window.heard = [];
    document.addEventListener("DOMContentLoaded", () => {
      const live = document.getElementById("live");
      const note = () => live.textContent && window.heard.push({ text: live.textContent.trim(), at: window.seen.rightNow() });
      new MutationObserver(note).observe(live, { childList: true });
    });
  });

const heardBy = (page) => page.evaluate(() => window.heard);

async function hearsMark(bed, [mark, text]) {
  const sale = await bed.sale({ opensInMs: mark + LEAD_MS });
  const page = await bed.page(`/#sale=${sale.id}`, { before: listen });
  await stateIs(page, "counting");
  assert((await page.locator("#live").getAttribute("aria-live")) === "polite", "it waits until the reader pauses");
  assert((await page.locator("#countdown").getAttribute("aria-live")) === "off", "the countdown is silent");
  const heard = await until(`“${text}” is told`, async () => (await heardBy(page))[0], LEAD_MS + 5000);
  assert(heard.text === text, `“${heard.text}” is told`);
  const late = heard.at - (sale.startTime - mark);
  assert(Math.abs(late) < LATEST_MS, `“${text}” is told ${late} ms late`);
  return page;
}

export const scenarios = {
  "a screen reader is told 10, 5 and 1 minutes and 10 seconds before the opening, at the opening, and nothing between": async (bed) => {
    const pages = await Promise.all(MARKS.map((mark) => hearsMark(bed, mark)));
    await stateIs(pages.at(-1), "open");
    const [, opening] = await until("the opening is told", async () => {
      const heard = await heardBy(pages.at(-1));
      return heard.length > 1 && heard;
    });
    assert(opening.text.startsWith("Buy now."), `“${opening.text}” is told at the opening`);
    for (const [at, page] of pages.entries()) {
      const heard = (await heardBy(page)).map(({ text }) => text);
      assert(heard.length === (at === pages.length - 1 ? 2 : 1), `nothing besides is told: ${heard}`);
    }
  },

  "a page that was asleep tells the mark that is nearest to the opening, once": async () => {
    for (const [before, after, mark] of [
      [601_000, 600_000, "soon10"],
      [600_000, 599_000, null],
      [601_000, 59_000, "soon1"],
      [60_500, 59_500, "soon1"],
      [11_000, 10_000, "soonSeconds"],
      [11_000, 0, null],
    ]) {
      assert(passedMark(before, after) === mark, `${before} ms, then ${after} ms: ${passedMark(before, after)}`);
    }
  },
};
