/** Dead letters: records that no worker could settle, and what an operator decides about each. */

import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { actorName, moment, productName } from "./format.js";
import { Act, Ask, Field, Missing, show, Status, Table } from "./parts.js";
import { useAnswer } from "./question.js";
import { change } from "./session.js";
import { live } from "./store.js";

/** What is typed to confirm: the name of the sale, if there is such a sale. @param {Admin.Letter} letter */
function nameOf({ id, saleId }) {
  const sale = live.sales?.find((one) => one.id === saleId);
  return sale ? productName(sale.productId) : id;
}

/** @param {Admin.Letter} letter */
function replay(letter) {
  show(
    () => html`<${Ask} key="replay" title="Replay dead letter ${letter.id}" verb="Replay" done="Replayed: a worker settles it."
    says="Its attempt is appended to the log again. Do it once the cause is put right. Replayed twice, it counts once."
    lines=${() => decision(letter, "replayed")}
    send=${(/** @type {Admin.Values} */ _, /** @type {any} */ { key }) => change(`dead-letters/${letter.id}/replay`, {}, { key })} />`,
  );
}

/** @param {Admin.Letter} letter */
function discard(letter) {
  show(
    () => html`<${Ask} key="discard" title="Discard dead letter ${letter.id}" verb="Discard" done="Discarded."
    says="Nothing will come of it. The shopper gets no unit from this attempt."
    lines=${() => decision(letter, "discarded")} typed=${() => nameOf(letter)}
    fields=${html`<${Field} name="reason" label="Reason" hint="For the action log" maxlength="500" required />`}
    send=${(/** @type {Admin.Values} */ { reason }, /** @type {any} */ { key }) =>
      change(`dead-letters/${letter.id}/discard`, { reason }, { key })} />`,
  );
}

/** @param {Admin.Letter} letter @param {string} verdict @returns {Admin.Difference[]} */
const decision = (letter, verdict) => [
  ["Cause", "", letter.cause],
  ["Decision", letter.decision?.verdict ?? "none", verdict],
];

/** @param {Admin.Letter} letter */
const row = (letter) => [
  html`<b class="numbers">${letter.id}</b><br /><span class="hint numbers">log ${letter.partition}:${letter.offset}</span>`,
  html`${letter.cause}<details><summary>Record</summary><pre>${letter.value ?? "not kept"}</pre></details>`,
  moment(letter.buriedAt),
  letter.saleId ?? "–",
  letter.userId ? html`<a href="#/shoppers/${letter.userId}">${letter.userId}</a>` : "–",
  letter.decision
    ? html`${letter.decision.verdict} by ${actorName(letter.decision.by)}${letter.decision.reason && `: ${letter.decision.reason}`}`
    : html`<${Status} is="warn">to decide<//>`,
  html`<div class="row"><${Act} onAct=${() => replay(letter)}>Replay<//>
    <${Act} kind="quiet risky" onAct=${() => discard(letter)}>Discard<//></div>`,
];

export function Letters() {
  const [isAll, setAll] = useState(false);
  const [{ data, error }, ask] = useAnswer(`dead-letters?limit=200${isAll ? "" : "&open=true"}`);
  // Again when their number or the log changes.
  useEffect(() => void ask(), [isAll, live.overview?.deadLetters, live.actions?.[0]?.id]);
  return html`
    <div class="head"><h1>Dead letters</h1>
      <label class="check"><input type="checkbox" checked=${isAll} onChange=${() => setAll(!isAll)} /> also decided ones</label></div>
    <p class="hint">Records of the log that no worker could settle. What becomes of each is decided by a person.</p>
    <section class="card">${
      data
        ? html`<${Table} name="Dead letters" empty=${isAll ? "There is no dead letter." : "Nothing is to be decided."}
          head=${["Letter", "Cause", "Since", "Sale", "Shopper", "Decision", "Decide"]} rows=${data.items.map(row)} />`
        : html`<${Missing} what="The dead letters" failure=${error} />`
    }</section>`;
}
