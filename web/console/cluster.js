/** Processes, servers and leases, each with a word of state. */

import { html } from "../vendor/preact-htm.js";
import { number, short, span } from "./format.js";
import { Missing, Status, Table } from "./parts.js";
import { live, serverNow, STALE_SECS } from "./store.js";

/** @type {Record<string, string>} */
const NAMES = { gate: "Gate", log: "Log", ledger: "Ledger" };

/** @param {{overview: Admin.Overview}} props */
export const Servers = ({ overview }) => html`<ul class="servers">
  ${overview.servers.map(
    ({ name, status, text }) => html`<li key=${name}><b>${NAMES[name] ?? name}</b>
    <${Status} is=${status === "up" ? "good" : status === "late" ? "warn" : "bad"}>${status}<//><span class="hint">${text}</span></li>`,
  )}
  <li><b>Dead letters</b> ${letters(overview.deadLetters)} <a href="#/letters">Look at them</a></li></ul>`;

/** @param {number | null} count at most 1,000 are counted */
function letters(count) {
  if (count === null) return html`<${Status} is="idle">not known<//>`;
  if (count === 0) return html`<${Status} is="good">none<//>`;
  return html`<${Status} is="warn">${number(count)}${count < 1000 ? "" : " or more"} to decide<//>`;
}

/** @param {Admin.Node} node */
function state({ status, ageMillis }) {
  if (ageMillis > STALE_SECS * 1000) return html`<${Status} is="bad">silent for ${Math.round(ageMillis / 1000)} s<//>`;
  if (status === "ready") return html`<${Status} is="good">ready<//>`;
  return status === "draining" ? html`<${Status} is="busy">draining<//>` : html`<${Status} is="warn">not ready<//>`;
}

/** @param {Admin.Outcomes | undefined} outcomes */
const sum = (outcomes) => (outcomes ? Object.values(outcomes).reduce((all, each) => all + each, 0) : null);

/** The numbers of those that a worker reads. @param {number[] | undefined} numbers */
function partitions(numbers) {
  if (!numbers) return "–";
  return numbers.length === 0 ? "none" : `${numbers.length === 1 ? "partition" : "partitions"} ${numbers.join(", ")}`;
}

const HEAD = [
  "Process",
  "State",
  "Up for",
  "Attempts /s",
  "accepted /s",
  "p50 ms",
  "p99 ms",
  "Connections",
  "Listeners",
  "Orders /s",
  "Lag s",
  "Partitions",
];

/** @param {Admin.Node} node */
const row = (node) => [
  html`<b>${node.id}</b><br /><span class="hint">${node.kind} ${node.version}</span>`,
  state(node),
  span(serverNow() - Date.parse(node.startedAt)),
  number(sum(node.attemptsPerSec)),
  number(node.attemptsPerSec?.accepted),
  short(node.latencyMillis?.p50),
  short(node.latencyMillis?.p99),
  number(node.connections),
  number(node.listeners),
  number(node.ordersPerSec),
  short(node.lagSecs),
  partitions(node.partitions),
];

export function Cluster() {
  const { overview } = live;
  if (!overview) return html`<h1>Servers</h1><section class="card"><${Missing} what="The figures" failure=${live.failure} /></section>`;
  return html`<h1>Servers</h1>
    <section class="card"><h2>Processes</h2>
      <${Table} name="Processes" empty="No process has written its figures in the last 10 seconds." head=${HEAD} rows=${overview.nodes.map(row)} />
    </section>
    <div class="halves">
      <section class="card"><h2>What the system stands on</h2><${Servers} overview=${overview} /></section>
      <section class="card"><h2>Leases</h2><p class="hint">Which worker settles which partition of the log.</p>
        <${Table} name="Leases" empty="No partition is leased: accepted attempts wait." head=${["Partition", "Worker"]}
          rows=${overview.leases.map(({ partition, owner }) => [number(partition), owner ?? html`<${Status} is="bad">nobody<//>`])} />
      </section></div>`;
}
