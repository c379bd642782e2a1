/** Lighthouse: accessibility and best practices are 100 for both pages, on a telephone and on a screen. Usage: BASE=http://… node lighthouse.mjs FOLDER */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder] = process.argv.slice(2);
const base = process.env.BASE;
if (!folder || !base) throw new Error("usage: BASE=http://… node lighthouse.mjs FOLDER");
const require = createRequire(import.meta.url);
const program = join(require.resolve("lighthouse/package.json"), "../cli/index.js");

const PAGES = { shop: "/", console: "/admin" };
const WANTED = ["accessibility", "best-practices"];
const FLAGS =
  "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
let failed = false;

for (const [page, path] of Object.entries(PAGES)) {
  for (const preset of ["mobile", "desktop"]) {
    const report = join(folder, `lighthouse-${page}-${preset}.json`);
    await run([
      `${base}${path}`,
      "--quiet",
      "--output=json",
      `--output-path=${report}`,
      `--only-categories=${WANTED.join(",")}`,
      `--chrome-flags=${FLAGS}`,
      ...(preset === "desktop" ? ["--preset=desktop"] : []),
    ]);
    const { categories, audits } = JSON.parse(readFileSync(report, "utf8"));
    for (const name of WANTED) {
      const { score, auditRefs } = categories[name];
      console.log(`${page}, ${preset}: ${name} ${Math.round(score * 100)}`);
      if (score === 1) continue;
      failed = true;
      for (const { id, weight } of auditRefs) {
        const audit = audits[id];
        if (weight > 0 && audit.score !== null && audit.score < 1)
          console.log(`    ${id}: ${audit.title} ${JSON.stringify(audit.details?.items ?? "").slice(0, 600)}`);
      }
    }
  }
}
process.exit(failed ? 1 : 0);

function run(args) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, CHROME_PATH: process.env.CHROMIUM ?? "/usr/bin/chromium" };
    const child = spawn(process.execPath, [program, ...args], { env, stdio: "inherit" });
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve(undefined) : reject(new Error(`Lighthouse ends with ${code}`))));
  });
}
