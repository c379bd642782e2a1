/** The changes of a sale: what each asks, shows as before → after, and sends. */

import { html } from "../vendor/preact-htm.js";
import { differences, moment, number, productName } from "./format.js";
import { Ask, Field, show } from "./parts.js";
import { change } from "./session.js";
import { live, serverNow } from "./store.js";

/** @typedef {"publish" | "pause" | "resume" | "end" | "cancel"} Verb */

/** @param {string | number} at @returns {string} for an input of the browser's time zone */
export function local(at) {
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** The moment in such an input, in milliseconds. A browser may leave out seconds that are 0. @param {string} text */
const millis = (text) => Date.parse(text);

/** @param {string} text of such an input */
export const iso = (text) => new Date(millis(text)).toISOString();

/** The sale as it is now, also while a dialog is open. @param {Admin.Sale} sale */
const current = (sale) => (live.sale?.id === sale.id ? live.sale : live.sales?.find(({ id }) => id === sale.id)) ?? sale;

const reason = html`<${Field} name="reason" label="Reason" hint="For the action log; may be empty" maxlength="500" />`;

/** What operators call the state. A sale that is paused before its start is both; one that has nothing left is sold out. @param {Admin.Sale} sale */
export function stateOf({ phase, pausedAt, balance }) {
  if (phase === "scheduled" && pausedAt) return "scheduled, paused";
  return phase === "open" && balance?.available === 0 ? "sold out" : phase;
}

/** @type {Record<Verb, Admin.Change>} */
const CHANGES = {
  publish: {
    verb: "Publish",
    done: "Published.",
    says: "It opens and ends by itself, by its times. It cannot become a draft again.",
    lines: (sale) => [
      ["State", "draft", Date.parse(sale.startTime) > serverNow() ? "scheduled" : "open"],
      ["Seen by", "operators", "everybody"],
    ],
  },
  pause: {
    verb: "Pause",
    done: "Paused.",
    says: "Nobody else is accepted, on any node. Who was accepted before gets the unit.",
    lines: (sale) => [
      ["State", stateOf(sale), "paused"],
      ["Shoppers", "may buy", "are told that it is paused"],
    ],
  },
  resume: {
    verb: "Resume",
    done: "Resumed.",
    says: "Every node accepts again, within the sale’s times.",
    lines: (sale) => [["State", stateOf(sale), sale.phase === "scheduled" ? "scheduled" : "open"]],
  },
  end: {
    verb: "End now",
    done: "Ended.",
    isDangerous: true,
    says: "Who was accepted before gets the unit. An ended sale does not open again.",
    lines: (sale) => [
      ["State", stateOf(sale), "ended"],
      ["End", moment(sale.endTime), "now"],
      ["Left unsold", "", `${number(sale.balance?.available ?? sale.remaining)} units`],
    ],
  },
  cancel: {
    verb: "Cancel the sale",
    done: "Cancelled.",
    isDangerous: true,
    says: "For good. Its orders stand; they are cancelled one by one.",
    lines: (sale) => [
      ["State", stateOf(sale), "cancelled"],
      ["Seen by", sale.phase === "draft" ? "operators" : "everybody", "operators"],
    ],
  },
};

/** @param {Admin.Sale} sale @param {Verb} what */
export function steer(sale, what) {
  const { verb, done, says, lines, isDangerous } = CHANGES[what];
  const name = productName(sale.productId);
  show(
    () => html`<${Ask} key=${what} title="${verb}: ${name}" verb=${verb} done="${name}: ${done}" says=${says} fields=${reason}
    lines=${() => lines(current(sale))} typed=${() => isDangerous && name}
    send=${(/** @type {Admin.Values} */ values, /** @type {any} */ { key }) =>
      change(`sales/${sale.id}/${what}`, { reason: values.reason || null }, { key })} />`,
  );
}

/** Adds units (1), or takes them away (-1). @param {Admin.Sale} sale @param {1 | -1} sign */
export function shift(sale, sign) {
  const name = productName(sale.productId);
  const isAdding = sign > 0;
  const fields = html`<${Field} name="units" label="How many" type="number" min="1" max="2147483647" required inputmode="numeric" />
    ${
      !isAdding &&
      html`<${Field} name="mode" label="If fewer are free"
      options=${[["exact", "take none"], ["upTo", "take as many as there are"]]} />`
    }${reason}`;
  /** @param {Admin.Values} values @returns {Admin.Difference[]} */
  const lines = (values) => {
    const { units, remaining, balance } = current(sale);
    const available = balance?.available ?? remaining;
    const asked = Number(values.units) || 0;
    const delta = isAdding ? asked : values.mode === "upTo" ? -Math.min(asked, available) : -asked;
    if (!delta) return [];
    if (available + delta < 0) return [["Units", number(units), `${number(units)}: only ${number(available)} are free`]];
    return [
      ["Units", number(units), number(units + delta)],
      ["Available", number(available), number(available + delta)],
    ];
  };
  show(
    () => html`<${Ask} key=${sign}
    title="${isAdding ? "Add units" : "Take units away"}: ${name}" verb=${isAdding ? "Add" : "Take away"}
    done="${name}: ${isAdding ? "units added." : "units taken away."}"
    says=${isAdding ? "" : "Units that somebody holds are never taken away."}
    fields=${fields} lines=${lines} typed=${() => !isAdding && name}
    send=${(/** @type {Admin.Values} */ { units, mode, reason }, /** @type {any} */ { key }) =>
      change(`sales/${sale.id}/stock`, { delta: sign * Number(units), reason: reason || null, ...(!isAdding && { mode }) }, { key })} />`,
  );
}

/** Of a draft all may change, of a scheduled sale its times, of an open one its end, of every one its note. */
const EDITABLE = { draft: 3, scheduled: 2, open: 1, paused: 1, ended: 0, cancelled: 0 };

/** Makes a draft, or edits a sale. @param {Admin.Sale | null} sale */
export function editSale(sale) {
  const may = sale ? EDITABLE[sale.phase] : 3;
  const noon = new Date(serverNow() + 86_400_000).setHours(12, 0, 0, 0);
  const start = local(sale?.startTime ?? noon);
  const end = local(sale?.endTime ?? noon + 2 * 3_600_000);
  const products = [...live.products.values()].map(({ id, name, sku }) => /** @type {[number, string]} */ ([id, `${name} (${sku})`]));
  const name = sale ? productName(sale.productId) : "";
  const zone = "In your time zone";
  const fields = html`
    ${may > 2 && html`<${Field} name="productId" label="Product" options=${products} value=${sale?.productId} required />`}
    ${may > 1 && html`<${Field} name="startTime" label="Start" type="datetime-local" step="1" value=${start} hint=${zone} required />`}
    ${
      may > 0 &&
      html`<${Field} name="endTime" label="End" type="datetime-local" step="1" value=${end} hint=${zone} required />
      ${
        may === 1 &&
        html`<div class="row">${[10, 30, 60].map(
          (minutes) => html`<button type="button" class="button quiet"
        onClick=${(/** @type {Event} */ event) => later(event, minutes)}>+ ${minutes} min</button>`,
        )}</div>`
      }`
    }
    ${may > 2 && html`<${Field} name="units" label="Units" type="number" min="1" max="2147483647" value=${sale?.units} required />`}
    <${Field} name="note" label="Note" area maxlength="2000" value=${sale?.note} hint="For operators" />`;
  /** @param {string | undefined} text of an input @param {string} opened what the form was opened with */
  const isChanged = (text, opened) => Boolean(text) && (!sale || millis(text ?? "") !== millis(opened));
  /** Only the fields that the operator changed: what others changed meanwhile is not sent back to what it was. @param {Admin.Values} values */
  const changed = (values) => {
    /** @type {Record<string, any>} */
    const patch = {};
    if (values.productId && Number(values.productId) !== sale?.productId) patch.productId = Number(values.productId);
    if (isChanged(values.startTime, start)) patch.startTime = iso(values.startTime ?? "");
    if (isChanged(values.endTime, end)) patch.endTime = iso(values.endTime ?? "");
    if (values.units && Number(values.units) !== sale?.units) patch.units = Number(values.units);
    if ((values.note ?? "") !== (sale?.note ?? "")) patch.note = values.note;
    return patch;
  };
  /** @param {Admin.Values} values */
  const lines = (values) => (sale ? differences(current(sale), { ...current(sale), ...changed(values) }) : []);
  show(
    () => html`<${Ask} key=${sale?.id ?? "new"} fields=${fields} lines=${lines}
    title=${sale ? `Edit: ${name}` : "New sale"} verb=${sale ? "Save" : "Make the draft"}
    done=${sale ? `${name}: saved.` : "The draft is made. Publish it when it is right."}
    typed=${(/** @type {Admin.Values} */ { endTime }) => sale && sale.phase !== "draft" && millis(endTime || end) < millis(end) && name}
    seen=${sale && { version: sale.version, target: `sale:${sale.id}`, record: sale }}
    now=${sale && current(sale)} patch=${sale && changed}
    send=${(/** @type {Admin.Values} */ values, /** @type {any} */ options) =>
      sale
        ? change(`sales/${sale.id}`, changed(values), { version: options.version })
        : change("sales", changed(values), { key: options.key })} />`,
  );
}

/** @param {Event} event @param {number} minutes */
function later(event, minutes) {
  const { form } = /** @type {HTMLButtonElement} */ (event.currentTarget);
  const input = /** @type {HTMLInputElement} */ (form?.elements.namedItem("endTime"));
  input.value = local(millis(input.value) + minutes * 60_000);
  input.dispatchEvent(new Event("input", { bubbles: true }));
}
