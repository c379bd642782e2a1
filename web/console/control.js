/** The control room: one sale, readable from across a room, and whether the system behind it is well. */

import { html } from "../vendor/preact-htm.js";
import { isUp } from "./alarm.js";
import { Balance } from "./balance.js";
import { Chart, CHARTS } from "./charts.js";
import { Servers } from "./cluster.js";
import { actorName, counted, period, productName, span, time } from "./format.js";
import { Act, Entry, Missing, words } from "./parts.js";
import { saveOrders } from "./session.js";
import { editSale, shift, stateOf, steer } from "./steer.js";
import { figures, live, serverNow, tell } from "./store.js";

/** How long until the next thing happens by itself. @param {Admin.Sale} sale */
function countdown({ phase, startTime, endTime }) {
  const now = serverNow();
  if (phase === "scheduled") return `opens in ${span(Date.parse(startTime) - now)}`;
  if (phase === "open" || phase === "paused") return `ends in ${span(Date.parse(endTime) - now)}`;
  return phase === "ended" ? `ended at ${time(endTime)}` : phase === "draft" ? "not published" : "cancelled for good";
}

/** Who paused it, and why. @param {Admin.Sale} sale */
function pausedBy({ id, pausedAt }) {
  const action = pausedAt && live.actions?.find((one) => one.action === "pause_sale" && one.saleId === id);
  if (!action) return null;
  return html`<p class="hint numbers">by ${actorName(action.actor)} at ${time(action.at)}${action.reason && `: “${action.reason}”`}</p>`;
}

/** @param {{path: string}} props */
const Icon = ({ path }) => html`<svg viewBox="0 0 16 16" width="1em" height="1em" aria-hidden="true">
  <path d=${path} fill="currentColor" /></svg>`;

/** The button that matters most in this state. @param {{sale: Admin.Sale}} props */
function MainButton({ sale }) {
  const isRunning = ["scheduled", "open", "paused"].includes(sale.phase);
  if (sale.phase === "draft") return html`<${Act} kind="large" onAct=${() => steer(sale, "publish")}>Publish<//>`;
  if (!isRunning) return null;
  return sale.pausedAt
    ? html`<${Act} kind="large resume" onAct=${() => steer(sale, "resume")}><${Icon} path="M4 2l10 6-10 6z" /> Resume<//>`
    : html`<${Act} kind="large pause" onAct=${() => steer(sale, "pause")}><${Icon} path="M3 2h4v12H3zM9 2h4v12H9z" /> Pause<//>`;
}

/** @param {{sale: Admin.Sale}} props */
function Buttons({ sale }) {
  const { phase } = sale;
  const isLive = ["scheduled", "open", "paused"].includes(phase);
  const save = () => saveOrders(sale.id).catch((error) => tell({ text: words(error) }));
  return html`<div class="row">
    ${
      (isLive || phase === "draft") &&
      html`<${Act} onAct=${() => shift(sale, 1)}>Add units<//>
      <${Act} onAct=${() => shift(sale, -1)}>Take units away<//>`
    }
    <${Act} onAct=${() => editSale(sale)}>${phase === "open" || phase === "paused" ? "Change the end" : "Edit"}<//>
    ${(phase === "open" || phase === "paused") && html`<${Act} kind="quiet risky" onAct=${() => steer(sale, "end")}>End now<//>`}
    ${(isLive || phase === "draft") && html`<${Act} kind="quiet risky" onAct=${() => steer(sale, "cancel")}>Cancel the sale<//>`}
    <button type="button" class="button quiet" onClick=${save}>Save orders (CSV)</button></div>`;
}

/** @param {any} event */
const pick = (event) => {
  location.hash = `#/sale/${event.currentTarget.value}`;
};

/** @param {{sale: Admin.Sale}} props */
const Hero = ({
  sale,
}) => html`<section class="card hero" data-phase=${sale.phase} data-halted=${isUp("gate") ? null : ""} aria-label="Sale">
  <div class="hero-name">
    ${
      (live.sales?.length ?? 0) > 1 &&
      html`<label class="hint">Sale
      <select class="picker" onChange=${pick}>${live.sales?.map(
        (one) => html`
        <option value=${one.id} selected=${one.id === sale.id}>${one.id} · ${productName(one.productId)} · ${one.phase}</option>`,
      )}</select></label>`
    }
    <h1>${productName(sale.productId)}</h1>
    <p class="hint numbers">Sale ${sale.id} · ${period(sale)}${sale.note && ` · ${sale.note}`}</p></div>
  <div class="hero-state"><p class="state">${stateOf(sale)}</p><p class="numbers countdown">${countdown(sale)}</p>${pausedBy(sale)}</div>
  <${MainButton} sale=${sale} />
  <${Buttons} sale=${sale} />
</section>`;

/** What to do with an empty system. */
const Start = () => html`<section class="card start"><h1>No sale yet</h1>
  <ol><li><a href="#/products">Make a product</a>: name, price, picture.</li>
    <li><a href="#/sales">Make a sale of it</a>: its times and units, as a draft that operators alone see.</li>
    <li>Publish it. It opens and ends by itself.</li></ol></section>`;

const System = () =>
  html`<section class="card"><h2>System</h2>${
    live.overview
      ? html`<${Servers} overview=${live.overview} />
  <p class="hint numbers">${counted(live.overview.nodes.length, "process", "processes")}, ${counted(figures()?.connections, "connection", "connections")},${" "}
    ${counted(figures()?.listeners, "listening page", "listening pages")} · <a href="#/servers">All of them</a></p>`
      : html`<${Missing} what="The figures" failure=${live.failure} />`
  }</section>`;

const Recent = () =>
  html`<section class="card"><h2>Recent changes</h2>${
    !live.actions
      ? html`<${Missing} what="The action log" failure=${live.missing.actions} />`
      : live.actions.length === 0
        ? html`<p class="empty">Nobody has changed anything yet.</p>`
        : html`<ol class="entries">${live.actions.slice(0, 5).map((action) => html`<li key=${action.id}><${Entry} action=${action} isBrief /></li>`)}</ol>
    <p><a href="#/log">The whole log</a></p>`
  }</section>`;

const Waiting = () =>
  html`<section class="card"><h1 class="visually-hidden">Control room</h1>
    <${Missing} what="The sale" failure=${live.missing.sale ?? live.missing.sales} /></section>`;

export function Control() {
  const { sale, sales } = live;
  return html`<div class="control">
    ${sale ? html`<${Hero} sale=${sale} />` : sales?.length === 0 ? html`<${Start} />` : html`<${Waiting} />`}
    ${sale?.balance && html`<${Balance} balance=${sale.balance} phase=${sale.phase} isGateUp=${isUp("gate")} />`}
    <div class="charts">${CHARTS.map((chart) => html`<${Chart} key=${chart.title} ...${chart} />`)}</div>
    <div class="halves"><${System} /><${Recent} /></div></div>`;
}
