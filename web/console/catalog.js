/** The lists of sales and products, and the form of a product. */

import { html } from "../vendor/preact-htm.js";
import { cents, differences, number, period, plainPrice, price, productName } from "./format.js";
import { Act, Ask, Field, Missing, show, Status, Table } from "./parts.js";
import { change } from "./session.js";
import { editSale, stateOf } from "./steer.js";
import { live } from "./store.js";

/** @type {Record<Admin.Phase, string>} */
const SHAPES = { draft: "idle", scheduled: "busy", open: "good", paused: "warn", ended: "idle", cancelled: "bad" };

/** @param {Admin.Sale} sale */
const saleRow = (sale) => [
  html`<a href="#/sale/${sale.id}"><b>${productName(sale.productId)}</b></a><br /><span class="hint">sale ${sale.id}</span>`,
  html`<${Status} is=${SHAPES[sale.phase]}>${stateOf(sale)}<//>`,
  period(sale),
  number(sale.units),
  number(sale.remaining),
  sale.note,
  html`<${Act} onAct=${() => editSale(sale)}>Edit<//>`,
];

export function Sales() {
  const { sales, products } = live;
  const why = products.size ? undefined : "Make a product first: a sale is of one.";
  return html`<div class="head"><h1>Sales</h1><${Act} kind="" why=${why} onAct=${() => editSale(null)}>New sale<//></div>
    <section class="card">${
      sales
        ? html`<${Table} name="Sales" head=${["Sale", "State", "When", "Units", "Left", "Note", "Change"]} rows=${sales.map(saleRow)}
          empty=${html`No sale yet. ${why && html`<a href="#/products">${why}</a>`}`} />`
        : html`<${Missing} what="The sales" failure=${live.missing.sales} />`
    }
      ${sales?.length === 200 && html`<p class="hint">The newest 200. For others open their address: …/admin#/sale/NUMBER.</p>`}</section>`;
}

/** @param {Admin.Product} product */
const productRow = (product) => [
  html`<b>${product.name}</b><br /><span class="hint">${product.description}</span>`,
  product.sku,
  price(product.priceCents, product.currency),
  product.priorPriceCents == null ? "–" : price(product.priorPriceCents, product.currency),
  number(live.sales?.filter(({ productId }) => productId === product.id).length),
  html`<${Act} onAct=${() => editProduct(product)}>Edit<//>`,
];

export const Products = () => html`
  <div class="head"><h1>Products</h1><${Act} kind="" onAct=${() => editProduct(null)}>New product<//></div>
  <section class="card">${
    live.sales
      ? html`<${Table} name="Products" head=${["Product", "SKU", "Price", "Before", "Sales", "Change"]}
        rows=${[...live.products.values()].map(productRow)}
        empty="No product yet. Make the first: shoppers see it once a sale of it is published." />`
      : html`<${Missing} what="The products" failure=${live.missing.sales} />`
  }</section>`;

/** A currency that a price can be written in while its field is being typed. @param {string} [code] */
const safe = (code = "") => (/^[A-Z]{3}$/.test(code) ? code : "EUR");

/** Makes a product, or edits one. @param {Admin.Product | null} product */
function editProduct(product) {
  const { sku, name, description, imageUrl, currency = "EUR" } = product ?? {};
  /** @param {number | null | undefined} value */
  const shown = (value) => (value == null ? "" : plainPrice(value, currency));
  const fields = html`<${Field} name="name" label="Name" value=${name} maxlength="255" required />
    <${Field} name="sku" label="SKU" value=${sku} maxlength="100" hint="No other product has it" required />
    <div class="pair">
      <${Field} name="price" label="Price" type="number" min="0" step="any" value=${shown(product?.priceCents)} required />
      <${Field} name="currency" label="Currency" value=${currency} pattern="[A-Z]{3}" hint="Three letters, as EUR" required /></div>
    <${Field} name="prior" label="Price before" type="number" min="0" step="any" value=${shown(product?.priorPriceCents)}
      hint="Shown beside the price; may be empty" />
    <${Field} name="description" label="Description" area maxlength="4000" value=${description} />
    <${Field} name="imageUrl" label="Picture" maxlength="2000" value=${imageUrl} hint="An https address that PAGE_IMAGE_ORIGINS allows, or a path on this server; may be empty" />`;
  /** @param {Admin.Values} values */
  const all = (values) => ({
    sku: values.sku,
    name: values.name,
    description: values.description ?? "",
    imageUrl: values.imageUrl || null,
    currency: values.currency,
    priceCents: cents(values.price ?? "", safe(values.currency)),
    priorPriceCents: values.prior ? cents(values.prior, safe(values.currency)) : null,
  });
  /** @param {Admin.Values} values */
  const changed = (values) =>
    Object.fromEntries(Object.entries(all(values)).filter(([field, value]) => value !== /** @type {any} */ (product)[field]));
  /** @param {Admin.Values} values */
  const lines = (values) =>
    product && values.name !== undefined ? differences(product, { ...product, ...all(values), currency: safe(values.currency) }) : [];
  show(
    () => html`<${Ask} key=${product?.id ?? "new"} fields=${fields} lines=${lines}
    title=${product ? `Edit: ${name}` : "New product"} verb=${product ? "Save" : "Make the product"}
    done=${product ? `${name}: saved. Shoppers see it within a second.` : "The product is made."}
    seen=${product && { version: product.version, target: `product:${product.id}`, record: product }}
    now=${product && live.products.get(product.id)} patch=${product && changed}
    send=${(/** @type {Admin.Values} */ values, /** @type {any} */ options) =>
      product
        ? change(`products/${product.id}`, changed(values), { version: options.version })
        : change("products", all(values), { key: options.key })} />`,
  );
}
