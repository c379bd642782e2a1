// Compares what the server sends of scripts and style sheets with the files of web/: comments and indentation may be missing, nothing
// else (src/api/pages/source.rs). Usage: BASE=http://127.0.0.1:3000 node served.mjs
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const ts = createRequire(import.meta.url)("typescript");
const web = join(import.meta.dirname, "../../web");

/**
 * The syntax of a script: every node with its kind and, at the leaves, its text. Lines of templates are compared without their indentation.
 *
 * @param {string} name
 * @param {string} text
 */
function syntaxOf(name, text) {
  /** @type {string[]} */
  const nodes = [];
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, false, ts.ScriptKind.JS);
  const visit = (/** @type {import('typescript').Node} */ node) => {
    const leaf = "text" in node && !ts.isSourceFile(node) ? String(node.text).replace(/\s*\n\s*/g, "\n") : "";
    nodes.push(`${ts.SyntaxKind[node.kind]} ${leaf}`);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return nodes;
}

/**
 * The rules of a style sheet, one word after the other.
 *
 * @param {string} text
 */
const wordsOf = (text) =>
  text
    .replace(/\/\*[\s\S]*?\*\//g, " ")
    .split(/\s+/)
    .filter(Boolean);

let files = 0;
let shorter = 0;
for (const path of readdirSync(web, { recursive: true, encoding: "utf8" })) {
  if (!/^(shop|shared|console)\/.*\.(js|css)$/.test(path)) continue;
  const source = readFileSync(join(web, path), "utf8");
  const served = await (await fetch(`${process.env.BASE}/assets/any/${path}`)).text();
  const parts = path.endsWith(".css") ? wordsOf : (/** @type {string} */ text) => syntaxOf(path, text);
  const [wanted, found] = [parts(source), parts(served)];
  const differs = wanted.findIndex((part, index) => part !== found[index]);
  if (differs >= 0 || wanted.length !== found.length) {
    throw new Error(`${path} is served with another content: ${wanted[differs]} is ${found[differs]}`);
  }
  files += 1;
  if (served.length < source.length) shorter += 1;
}
if (files < 20 || shorter < 20) throw new Error(`${files} files were compared, ${shorter} of them are served without comments`);
console.log(`${files} files are served as they are written`);
