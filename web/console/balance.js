/** Where the units of a sale are, as one bar: available | pending | held | sold = total. */

import { html } from "../vendor/preact-htm.js";
import { number } from "./format.js";

/** @type {[name: "available" | "pending" | "held" | "sold" | "withdrawn", hint: string][]} */
const PARTS = [
  ["available", "can be bought now"],
  ["pending", "accepted, not yet orders"],
  ["held", "await their payment"],
  ["sold", "orders that stand"],
  ["withdrawn", "on their way out of the sale"],
];

/** Where the figures come from, unless from the gate. @param {Admin.Balance["source"]} source @param {boolean} isGateUp */
function origin(source, isGateUp) {
  if (source === "gate") return null;
  return ` · from the ledger; ${isGateUp ? "the sale is not open in the gate" : "the gate does not answer"}`;
}

/** What the units are that are available while the sale is not open. @type {Partial<Record<Admin.Phase, string>>} */
const AVAILABLE = {
  draft: "units, not for sale yet",
  scheduled: "units, not for sale yet",
  paused: "units, not for sale while it is paused",
  ended: "units left unsold",
  cancelled: "units, no longer for sale",
};

/** @param {{balance: Admin.Balance, phase: Admin.Phase, isGateUp: boolean}} props */
export function Balance({ balance, phase, isGateUp }) {
  const { total, drift, source } = balance;
  const parts = PARTS.filter(([name]) => name !== "withdrawn" || balance.withdrawn);
  const sum = parts.map(([name]) => number(balance[name])).join(" + ");
  const words = parts.map(([name]) => `${number(balance[name])} ${name}`).join(", ");
  const isWrong = drift !== 0;
  const verdict = isWrong
    ? `Does not add up: ${number(Math.abs(drift))} ${Math.abs(drift) === 1 ? "unit is" : "units are"} ${drift > 0 ? "missing" : "too many"}`
    : isGateUp
      ? "Adds up"
      : "Not known: the gate does not answer";
  const shape = isWrong ? "bad" : isGateUp ? "good" : "warn";
  /** @type {Record<string, string | undefined>} */
  const unusual = isGateUp ? { available: AVAILABLE[phase] } : { available: "were left, by the ledger", pending: "not known" };
  return html`<section class="card balance ${isWrong ? "wrong" : ""}" aria-label="Balance">
    <div class="bar" role="img" aria-label="${words}, of ${number(total)} units. ${verdict}.">
      ${parts.map(
        ([name]) => balance[name] > 0 && html`<span key=${name} class="part ${name}" style=${{ flexGrow: balance[name] }}></span>`,
      )}
      ${isWrong && html`<span key="drift" class="part drift" style=${{ flexGrow: Math.abs(drift) }}></span>`}
    </div>
    <dl class="figures" style=${{ "--characters": number(total).length }}>
      ${parts.map(
        ([name, hint]) => html`<div><dt><i class="swatch ${name}"></i>${name}</dt>
        <dd class="figure">${number(balance[name])}</dd><dd class="hint">${unusual[name] ?? hint}</dd></div>`,
      )}
      <div class="total"><dt>total</dt><dd class="figure">${number(total)}</dd><dd class="hint">units of the sale</dd></div>
    </dl>
    <p class="verdict"><span class="status" role=${isWrong ? "alert" : null} data-status=${shape}>${verdict}</span>
      <span class="hint numbers">${sum} ${isWrong ? "≠" : "="} ${number(total)}
        ${origin(source, isGateUp)}</span>
      ${isWrong && html`<a href="#/checks">Run the audit</a>`}</p>
  </section>`;
}
