/** Runs the scenarios of a folder, one after the other. Usage: node run.mjs FOLDER [--only TEXT] [--see FOLDER]; see README.md. */
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Bed, launch } from "./harness.mjs";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: "string" }, see: { type: "string" } } });
const [folder] = positionals;
const { BASE: base, OPERATOR: operator } = process.env;
if (!folder || !base || !operator) throw new Error("usage: BASE=http://… OPERATOR=TOKEN node run.mjs FOLDER [--only TEXT] [--see FOLDER]");
if (values.see) mkdirSync(values.see, { recursive: true });

const root = join(import.meta.dirname, folder);
const browser = await launch();
let count = 0;
let failed = 0;
for (const file of readdirSync(root)
  .filter((name) => name.endsWith(".mjs"))
  .sort()) {
  const { scenarios } = await import(join(root, file));
  for (const [name, scenario] of Object.entries(scenarios)) {
    if (values.only && !name.includes(values.only)) continue;
    count++;
    const begun = Date.now();
    const bed = new Bed(browser, base, operator);
    try {
      await limited(scenario(bed), 240_000);
    } catch (error) {
      bed.problems.push(String(error.stack ?? error));
    }
    const isGood = bed.problems.length === 0;
    await bed.close(isGood ? null : values.see, name);
    console.log(`${isGood ? "ok    " : "FAILED"} ${file}: ${name} (${Date.now() - begun} ms)`);
    for (const problem of new Set(bed.problems)) console.log(`    ${problem}`);
    if (!isGood) failed++;
  }
}
await browser.close();
console.log(`${count} scenarios, ${failed} failed`);
process.exit(failed === 0 && count > 0 ? 0 : 1);

/** No scenario hangs. */
function limited(promise, milliseconds) {
  let timer;
  const late = new Promise(
    (_, reject) => (timer = setTimeout(() => reject(new Error(`not done within ${milliseconds} ms`)), milliseconds)),
  );
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
