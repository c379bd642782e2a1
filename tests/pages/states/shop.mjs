/** The shopper page in every state of the gallery: axe finds nothing in either theme, and nothing moves the button. */
import { assert } from "../harness.mjs";
import { STATES, enter } from "../gallery/shop.mjs";

/** Every state of the button, of the same product. */
const BUTTON = [
  "closed",
  "counting",
  "counting-soon",
  "armed",
  "open",
  "asking",
  "checking",
  "accepted",
  "bought",
  "failed",
  "again",
  "paused",
  "paused-armed",
  "sold-out",
  "ended",
  "cancelled",
  "offline",
];

async function open(bed, name, viewport) {
  const context = await bed.browser.newContext({ viewport, reducedMotion: "reduce", locale: "en-GB" });
  const page = await context.newPage();
  page.on("pageerror", (error) => bed.problems.push(`${name}: ${error}`));
  await enter(page, bed.base, name);
  return page;
}

export const scenarios = {
  "axe finds nothing in any state of the shopper page, light and dark": async (bed) => {
    for (const name of Object.keys(STATES)) {
      const page = await open(bed, name, { width: 1280, height: 900 });
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        await bed.axe(page, `${colorScheme}, ${name}`);
      }
      await page.context().close();
    }
  },

  "the button is at the same place in every state of a sale": async (bed) => {
    for (const viewport of [
      { width: 390, height: 844 },
      { width: 1280, height: 900 },
    ]) {
      const places = new Map();
      for (const name of BUTTON) {
        const page = await open(bed, name, viewport);
        const { x, y, width, height } = await page.locator("#buy").boundingBox();
        places.set(name, [x, y, width, height].map(Math.round).join(" "));
        await page.context().close();
      }
      const different = new Set(places.values());
      assert(different.size === 1, `${viewport.width} pixels: ${JSON.stringify([...places])}`);
    }
  },
};
