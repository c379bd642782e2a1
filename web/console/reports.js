/** The action log, and the two reports that are made when somebody asks: before a sale, and whether every promise holds. */

import { html, useState } from "../vendor/preact-htm.js";
import { number, productName } from "./format.js";
import { Entry, Missing, Notice, Status, Table } from "./parts.js";
import { useAnswer } from "./question.js";
import { read } from "./session.js";
import { live, tell } from "./store.js";

/** An audit looks twice if something seems wrong. */
const REPORT_MS = 120_000;

export function Log() {
  const [more, setMore] = useState(/** @type {Admin.Action[]} */ ([]));
  const { actions } = live;
  const end = actions?.at(-1)?.id ?? 0;
  const all = [...(actions ?? []), ...more.filter((/** @type {Admin.Action} */ { id }) => id < end)];
  const last = all.at(-1)?.id ?? 0;
  const older = async () => {
    const page = await read(`actions?limit=100&after=${last}`).catch((error) => tell({ text: error.message }));
    if (page) setMore([...more, ...page.items]);
  };
  const list = () => html`
    <ol class="entries">${all.map((action) => html`<li key=${action.id}><${Entry} action=${action} /></li>`)}</ol>
    ${last > 1 && html`<button type="button" class="button quiet" onClick=${older}>Older entries</button>`}`;
  return html`<h1>Action log</h1>
    <p class="hint">Who changed what, when and why. Entries are never changed.</p>
    <section class="card">${
      !actions
        ? html`<${Missing} what="The action log" failure=${live.missing.actions} />`
        : all.length
          ? list()
          : html`<p class="empty">Nobody has changed anything yet.</p>`
    }</section>`;
}

/** @param {{name: string, says: string, path: string, children: (data: any) => any}} props */
function Report({ name, says, path, children }) {
  const [{ data, error, isBusy }, ask] = useAnswer(path, REPORT_MS);
  return html`<section class="card">
    <div class="head"><h2>${name}</h2><button type="button" class="button quiet" aria-busy=${isBusy} disabled=${isBusy} onClick=${ask}>
      ${isBusy ? "Checking …" : "Check now"}</button></div>
    <p class="hint">${says}</p>
    <div aria-live="polite">${error ? html`<${Missing} what="The report" failure=${error} />` : data && children(data)}</div></section>`;
}

/** @type {Record<string, string>} */
const SHAPES = { ok: "good", warning: "warn", failed: "bad" };

/** @param {any[]} checks */
const doctor = (checks) => html`<${Table} name="Checks" head=${["Verdict", "Part", "Check", "Found", "To do"]}
  rows=${checks.map(({ verdict, area, name, found, advice }) => [
    html`<${Status} is=${SHAPES[verdict]}>${verdict}<//>`,
    area,
    name,
    html`<span>${found}</span>`,
    advice,
  ])} />`;

/** @param {any} finding */
const words = ({ kind, ...fields }) =>
  [kind.replaceAll("_", " "), ...Object.entries(fields).map(([name, value]) => `${name} ${value}`)].join(", ");

/** @param {any} audit */
const audit = ({ clean, sales, actionLog }) => html`
  <${Notice} is=${clean ? "good" : "bad"}>${clean ? "Nothing is wrong." : "A promise is broken. The lines below say which."}<//>
  <${Table} name="Audit" empty="There is no sale yet." head=${["Sale", "Units", "Sold", "Left", "Not settled", "Findings"]}
    rows=${sales.map((/** @type {any} */ sale) => [
      `${sale.id} · ${productName(sale.productId)}`,
      number(sale.initial),
      number(sale.sold),
      number(sale.remaining),
      number(sale.notSettled),
      sale.findings.length ? html`<${Status} is="bad">${sale.findings.map(words).join("; ")}<//>` : html`<${Status} is="good">none<//>`,
    ])} />
  ${actionLog?.broken && html`<${Notice} is="bad">The action log: ${actionLog.broken}<//>`}`;

export const Checks = () => html`<h1>Checks</h1>
  <${Report} name="Before a sale" path="doctor" says="Whether everything is as a sale will need it. Reads only.">${doctor}<//>
  <${Report} name="Audit" path="audits" says="Whether every promise holds: each sale’s balance from gate, log and ledger, and the
    action log’s chain. It reads everything.">${audit}<//>`;
