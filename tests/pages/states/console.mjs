/** The operator console in every state of the gallery: axe finds nothing in either theme, nor with forced colours. */
import { STATES, enter } from "../gallery/console.mjs";

/** In parts, since no scenario takes longer than a minute and a half. */
const PARTS = 6;

const part = (index) => async (bed) => {
  for (const name of Object.keys(STATES).filter((_, at) => at % PARTS === index)) {
    const context = await bed.browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", locale: "en-GB" });
    const page = await context.newPage();
    page.on("pageerror", (error) => bed.problems.push(`${name}: ${error}`));
    await enter(page, bed.base, name);
    for (const look of [{ colorScheme: "light" }, { colorScheme: "dark" }, { colorScheme: "light", forcedColors: "active" }]) {
      await page.emulateMedia(look);
      await bed.axe(page, `${Object.values(look).join(", ")}, ${name}`);
    }
    await context.close();
  }
};

export const scenarios = Object.fromEntries(
  Array.from({ length: PARTS }, (_, index) => [
    `axe finds nothing in any state of the console, part ${index + 1} of ${PARTS}`,
    part(index),
  ]),
);
