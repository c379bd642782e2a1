/** What is asked for when somebody looks: dead letters, a shopper's attempts, the action log, and the checks. */

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { actorName, moment, number, productName, sentence } from "./format.js";
import { Act, Ask, Differences, Entry, Field, Missing, Notice, show, Status, Table } from "./parts.js";
import { change, read } from "./session.js";
import { live } from "./store.js";

/** An audit looks twice if something seems wrong. */
const REPORT_MILLIS = 120_000;

/** Asks the server, and again when `ask` is called. @param {string | null} path @param {number} [timeout] */
function useAnswer(path, timeout) {
  const [state, set] = useState(/** @type {Admin.Question} */ ({}));
  const ask = async () => {
    if (!path) return;
    set((/** @type {Admin.Question} */ old) => ({ ...(old.path === path ? old : {}), path, isBusy: true }));
    try {
      const data = await read(path, timeout);
      set((/** @type {Admin.Question} */ old) => (old.path === path ? { path, data } : old));
    } catch (error) {
      set((/** @type {Admin.Question} */ old) => (old.path === path ? { path, error } : old));
    }
  };
  return /** @type {const} */ ([state.path === path ? state : /** @type {Admin.Question} */ ({}), ask]);
}

export function Letters() {
  const [isAll, setAll] = useState(false);
  const [{ data, error }, ask] = useAnswer(`dead-letters?limit=200${isAll ? "" : "&open=true"}`);
  // Again when their number or the log changes.
  useEffect(() => void ask(), [isAll, live.overview?.deadLetters, live.actions?.[0]?.id]);
  /** @param {Admin.Letter} letter @param {"replay" | "discard"} what */
  const decide = (letter, what) => show(() => html`<${Ask} key=${what} title="${what === "replay" ? "Replay" : "Discard"} dead letter ${letter.id}"
    verb=${what === "replay" ? "Replay" : "Discard"} done=${what === "replay" ? "Replayed: a worker settles it." : "Discarded."}
    says=${what === "replay" ? "Its attempt is appended to the log again. Do it once the cause is put right. Replayed twice, it counts once."
      : "Nothing will come of it. The shopper gets no unit from this attempt."}
    lines=${() => [["Cause", "", letter.cause], ["Decision", letter.decision?.verdict ?? "none", what === "replay" ? "replayed" : "discarded"]]}
    typed=${() => what === "discard" && (letter.saleId && live.sales?.some(({ id }) => id === letter.saleId) ? productName(live.sales.find(({ id }) => id === letter.saleId)?.productId ?? 0) : letter.id)}
    fields=${what === "discard" && html`<${Field} name="reason" label="Reason" hint="For the action log" maxlength="500" required />`}
    send=${(/** @type {Admin.Values} */ { reason }, /** @type {any} */ { key }) => change(`dead-letters/${letter.id}/${what}`, what === "discard" ? { reason } : {}, { key })} />`);
  return html`<div class="head"><h1>Dead letters</h1><label class="check"><input type="checkbox" checked=${isAll} onChange=${() => setAll(!isAll)} /> also decided ones</label></div>
    <p class="hint">Records of the log that no worker could settle. What becomes of each is decided by a person.</p>
    <section class="card">${!data ? html`<${Missing} what="The dead letters" failure=${error} />` : html`<${Table} name="Dead letters"
      empty=${isAll ? "There is no dead letter." : "Nothing is to be decided."} head=${["Letter", "Cause", "Since", "Sale", "Shopper", "Decision", "Change"]}
      rows=${data.items.map((/** @type {Admin.Letter} */ letter) => [
        html`<b class="numbers">${letter.id}</b><br /><span class="hint numbers">log ${letter.partition}:${letter.offset}</span>`,
        html`${letter.cause}<details><summary>Record</summary><pre>${letter.value ?? "not kept"}</pre></details>`,
        moment(letter.buriedAt), letter.saleId ?? "–", letter.userId ? html`<a href="#/shoppers/${letter.userId}">${letter.userId}</a>` : "–",
        letter.decision ? `${letter.decision.verdict} by ${actorName(letter.decision.by)}${letter.decision.reason ? `: ${letter.decision.reason}` : ""}` : html`<${Status} is="warn">to decide<//>`,
        html`<div class="row"><${Act} onAct=${() => decide(letter, "replay")}>Replay<//><${Act} onAct=${() => decide(letter, "discard")}>Discard<//></div>`])} />`}</section>`;
}

/** @type {Record<string, [shape: string, words: string]>} */
const OUTCOMES = {
  ORDERED: ["good", "got an order"], SOLD_OUT: ["idle", "no unit was left"], ALREADY_ORDERED: ["idle", "had an order already"],
  NO_ACCOUNT: ["bad", "the account is gone"], REJECTED: ["bad", "rejected"],
};

/** The history of an attempt. @param {{attempt: Admin.Attempt}} props */
function History({ attempt }) {
  const { settled, logged, order, told } = attempt;
  const [shape, words] = OUTCOMES[settled.outcome] ?? ["idle", settled.outcome];
  return html`<article class="card"><div class="head"><h2>${productName(attempt.productId)}</h2><${Status} is=${shape}>${words}<//></div>
    <p class="hint">Attempt <code>${attempt.attemptId}</code>, <a href="#/sale/${attempt.saleId}">sale ${attempt.saleId}</a>, shopper <a href="#/shoppers/${attempt.userId}">${attempt.userId}</a></p>
    <ol class="steps"><li><b>Reserved</b> ${moment(attempt.reservedAt)}</li>
      <li><b>Logged</b> <span class="numbers">${logged.topic} ${logged.partition}:${logged.offset ?? "?"}</span></li>
      <li><b>Settled</b> ${moment(settled.at)}${settled.cause && `: ${settled.cause}`}</li>
      <li><b>Order</b> ${order ? html`<code>${order.orderId}</code> ${order.status === "SUCCESS" ? "stands" : "has ended"}` : "none"}${attempt.releasedAt && `, released ${moment(attempt.releasedAt)}`}</li>
      <li><b>Told</b> ${told ?? html`<span class="hint">open the attempt to see it: <a href="#/shoppers/${attempt.attemptId}">what the shopper is told now</a></span>`}</li></ol></article>`;
}

/** @param {{query: string}} props */
export function Shoppers({ query }) {
  const isAttempt = /^[0-9a-f-]{36}$/i.test(query);
  const isName = query !== "" && !isAttempt && !/^\d+$/.test(query);
  const [user, askUser] = useAnswer(isName ? `users?username=${encodeURIComponent(query)}` : null);
  const found = isName ? (user.data?.items ?? [user.data]).filter(Boolean) : [];
  const id = isName ? found[0]?.userId : query;
  const [{ data, error }, ask] = useAnswer(query && id ? (isAttempt ? `attempts/${query.toLowerCase()}` : `users/${id}/attempts?limit=100`) : null);
  useEffect(() => void askUser(), [query]);
  useEffect(() => void ask(), [query, id]);
  /** @param {any} event */
  const search = (event) => {
    event.preventDefault();
    location.hash = `#/shoppers/${encodeURIComponent(event.currentTarget.elements.query.value.trim())}`;
  };
  const failure = user.error ?? error;
  const isNobody = failure?.status === 404 || failure?.code === "validation_failed" || (isName && user.data && !found.length);
  const attempts = data && (isAttempt ? [data] : data.items);
  return html`<h1>Shoppers</h1>
    <form class="search" role="search" onSubmit=${search} key=${query}><${Field} name="query" label="Shopper or attempt" value=${query} required autocomplete="off"
      hint="The shopper’s number or user name, or the id of an attempt" /><button class="button">Search</button></form>
    <div aria-live="polite">${!query ? html`<p class="empty">What became of a press: when a unit was reserved, where it is in the log, how it was settled, and what the shopper was told.</p>`
      : isNobody ? html`<${Notice} is="idle">Nothing was found for “${query}”. An attempt is found once a worker has settled it.<//>`
      : !attempts ? html`<${Missing} what="The attempts" failure=${failure} />`
      : attempts.length === 0 ? html`<${Notice} is="idle">${isName ? `${query} (shopper ${id})` : `Shopper ${id}`} has no settled attempt.<//>`
      : html`<div class="stack">${attempts.map((/** @type {Admin.Attempt} */ attempt) => html`<${History} key=${attempt.attemptId} attempt=${attempt} />`)}</div>`}</div>`;
}

export function Log() {
  const [more, setMore] = useState(/** @type {Admin.Action[]} */ ([]));
  const { actions } = live;
  const all = [...(actions ?? []), ...more.filter((/** @type {Admin.Action} */ { id }) => id < (actions?.at(-1)?.id ?? 0))];
  const last = all.at(-1)?.id ?? 0;
  const older = async () => setMore([...more, ...(await read(`actions?limit=100&after=${last}`)).items]);
  return html`<h1>Action log</h1><p class="hint">Who changed what, when and why. Entries are never changed.</p>
    <section class="card">${!actions ? html`<${Missing} what="The action log" />` : all.length === 0 ? html`<p class="empty">Nobody has changed anything yet.</p>`
      : html`<ol class="entries">${all.map((action) => html`<li key=${action.id}><${Entry} action=${action} /></li>`)}</ol>
        ${last > 1 && html`<button type="button" class="button quiet" onClick=${older}>Older entries</button>`}`}</section>`;
}

/** @param {{name: string, says: string, path: string, children: (data: any) => any}} props */
function Report({ name, says, path, children }) {
  const [{ data, error, isBusy }, ask] = useAnswer(path, REPORT_MILLIS);
  return html`<section class="card"><div class="head"><h2>${name}</h2>
      <button type="button" class="button quiet" aria-busy=${isBusy} disabled=${isBusy} onClick=${ask}>${isBusy ? "Checking …" : "Check now"}</button></div>
    <p class="hint">${says}</p><div aria-live="polite">${error ? html`<${Missing} what="The report" failure=${error} />` : data && children(data)}</div></section>`;
}

/** @type {Record<string, string>} */
const VERDICTS = { ok: "good", warning: "warn", failed: "bad" };

export const Checks = () => html`<h1>Checks</h1>
  <${Report} name="Before a sale" path="doctor" says="Whether everything is as a sale will need it. Reads only.">${(/** @type {any[]} */ checks) => html`<${Table} name="Checks"
    head=${["Verdict", "Part", "Check", "Found", "To do"]} rows=${checks.map(({ verdict, area, name, found, advice }) => [html`<${Status} is=${VERDICTS[verdict]}>${verdict}<//>`, area, name, html`<span>${found}</span>`, advice])} />`}<//>
  <${Report} name="Audit" path="audits" says="Whether every promise holds: each sale’s balance from gate, log and ledger, and the action log’s chain. It reads everything.">${(/** @type {any} */ audit) => html`
    <${Notice} is=${audit.clean ? "good" : "bad"}>${audit.clean ? "Nothing is wrong." : "A promise is broken. The lines below say which."}<//>
    <${Table} name="Audit" empty="There is no sale yet." head=${["Sale", "Units", "Sold", "Left", "Not settled", "Findings"]}
      rows=${audit.sales.map((/** @type {any} */ sale) => [`${sale.id} · ${productName(sale.productId)}`, number(sale.initial), number(sale.sold), number(sale.remaining), number(sale.notSettled),
        sale.findings.length ? html`<${Status} is="bad">${sale.findings.map((/** @type {any} */ finding) => finding.kind ?? JSON.stringify(finding)).join(", ")}<//>` : html`<${Status} is="good">none<//>`])} />
    ${audit.actionLog?.broken && html`<${Notice} is="bad">The action log: ${audit.actionLog.broken}<//>`}`}<//>`;
