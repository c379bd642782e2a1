/** The shopper page in every state of the gallery: axe finds nothing in either theme, nothing moves the button, and the tab shows the state. */
import { assert } from "../harness.mjs";
import { STATES, enter } from "../gallery/shop.mjs";
import language from "../../../web/shop/texts/en.js";

const { texts } = language;
const VIEWPORTS = [
  { width: 390, height: 844 },
  { width: 1280, height: 900 },
];

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

  "the button is at the same place in every state of a sale, and the tab shows the state by its title and icon": async (bed) => {
    const places = new Map(VIEWPORTS.map(({ width }) => [width, new Map()]));
    const icons = new Map();
    for (const name of BUTTON) {
      const page = await open(bed, name, VIEWPORTS[0]);
      const button = page.locator("#buy");
      for (const viewport of VIEWPORTS) {
        await page.setViewportSize(viewport);
        const { x, y, width, height } = await button.boundingBox();
        places.get(viewport.width).set(name, [x, y, width, height].map(Math.round).join(" "));
      }
      const state = await button.getAttribute("data-state");
      const words = `${texts[`title_${state}`] ?? texts[`label_${state}`]} · Premium Smartphone`;
      assert((await page.title()).endsWith(words), `${name}: the title is “${await page.title()}”, not “${words}”`);
      const icon = decodeURIComponent(await page.locator("#favicon").getAttribute("href"));
      const shape = await page.locator("#buy-icon").getAttribute("d");
      assert(icon.includes(`d="${shape}"`), `${name}: the tab has another shape than the button: ${icon}`);
      icons.set(name, icon);
      await page.context().close();
    }
    for (const [width, found] of places) {
      assert(new Set(found.values()).size === 1, `${width} pixels: ${JSON.stringify([...found])}`);
    }
    assert(icons.get("armed") !== icons.get("bought"), "what has the same shape differs in colour");
  },
};
