/** A picture of every state of a page, in both themes and at three widths. Usage: BASE=http://… node screenshots.mjs FOLDER [NAME] */
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { launch } from "./harness.mjs";

const [folder, only = ""] = process.argv.slice(2);
const base = process.env.BASE;
if (!folder || !base) throw new Error("usage: BASE=http://… node screenshots.mjs FOLDER [NAME]");
mkdirSync(folder, { recursive: true });

/** Every state at these widths, */
const WIDTHS = { 390: 844, 768: 1024, 1280: 900 };
/** and these at all of them. */
const THOROUGH = { 320: 640, 1920: 1080 };

const browser = await launch();
let count = 0;
const galleries = join(import.meta.dirname, "gallery");
for (const file of readdirSync(galleries).filter((name) => name.endsWith(".mjs"))) {
  const { STATES, enter, thorough = [], languages = [] } = await import(join(galleries, file));
  const page = file.replace(".mjs", "");
  for (const name of Object.keys(STATES)) {
    const widths = thorough.includes(name) ? { ...WIDTHS, ...THOROUGH } : WIDTHS;
    for (const theme of ["light", "dark"]) {
      for (const [width, height] of Object.entries(widths)) {
        for (const language of ["en", ...(thorough.includes(name) ? languages : [])]) {
          const title = [page, name, theme, width, ...(language === "en" ? [] : [language])].join("-");
          if (title.includes(only)) await shoot({ title, name, enter, theme, language, width: Number(width), height });
        }
      }
    }
  }
}
await browser.close();
console.log(`${count} pictures in ${folder}`);

async function shoot({ title, name, enter, theme, language, width, height }) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: theme,
    reducedMotion: "reduce",
    locale: "en-GB",
    deviceScaleFactor: width < 500 ? 2 : 1,
  });
  const page = await context.newPage();
  await enter(page, base, name, language);
  await page.screenshot({ path: join(folder, `${title}.png`), fullPage: true });
  await context.close();
  count++;
}
