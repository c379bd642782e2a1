/** Five minutes of figures at one a second: a large figure, a legend with the numbers, a chart, and the same as a table. */

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { number, short, time } from "./format.js";
import { draw, secondsAt } from "./plot.js";
import { figures, live, publish, serverNow, WINDOW_SECS } from "./store.js";

/** Seconds between two rows of the table. */
const ROW_SECS = 10;

/** @param {Admin.ChartProps} props @param {HTMLCanvasElement} canvas @param {number | null} pointed @returns {Admin.Plot} */
function plotOf({ lines, isStacked }, canvas, pointed) {
  const style = getComputedStyle(canvas);
  /** @param {string} name */
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const to = serverNow() / 1000;
  return {
    from: to - WINDOW_SECS,
    to,
    pointed,
    isStacked,
    label: short,
    ink: color("ink-2"),
    line: color("line"),
    times: live.samples.map(({ at }) => at),
    colors: lines.map((line) => color(line.color)),
    values: lines.map(({ value }) => live.samples.map(({ totals }) => (totals && value(totals)) ?? null)),
  };
}

/** @param {Admin.ChartProps} props */
export function Chart(props) {
  const { title, unit, lines, figure, note } = props;
  const canvas = useRef(/** @type {any} */ (null));
  const [pointed, point] = useState(/** @type {number | null} */ (null));
  const [isTable, showTable] = useState(false);
  // Once a second, since every second the page is drawn anew; and when its width changes.
  const redraw = () => draw(canvas.current, plotOf(props, canvas.current, pointed));
  useEffect(redraw);
  useEffect(() => {
    const size = new ResizeObserver(() => publish());
    size.observe(canvas.current);
    return () => size.disconnect();
  }, []);
  /** @param {PointerEvent} event */
  const follow = (event) => {
    const at = Math.round(secondsAt(canvas.current, event.offsetX, plotOf(props, canvas.current, null)));
    const index = live.samples.findIndex((sample) => sample.at >= at);
    point(index < 0 ? null : index);
  };

  const now = figures();
  const shown = live.samples[pointed ?? -1];
  const totals = pointed === null ? now : shown?.totals;
  return html`<section class="card chart" aria-label=${title}>
    <div class="chart-head"><h2>${title}</h2><p class="figure">${now ? figure(now) : "–"}<small> ${unit}</small></p></div>
    <ul class="legend">${lines.map(
      ({ name, color, value }) =>
        html`<li><i class="swatch" style=${{ background: `var(--${color})` }}></i>${name}
        ${" "}<b class="numbers">${short(totals && value(totals))}</b></li>`,
    )}
      <li class="hint numbers">${pointed === null || !shown ? note : `at ${time(shown.at * 1000)}`}</li></ul>
    <canvas class="plot" ref=${canvas} role="img" onPointerMove=${follow} onPointerLeave=${() => point(null)}
      aria-label="Chart of the last five minutes. Now ${now ? `${figure(now)} ${unit}` : "unknown"}. The numbers are in the table below."></canvas>
    <details onToggle=${(/** @type {any} */ event) => showTable(event.currentTarget.open)}><summary>As a table</summary>
      ${
        isTable &&
        html`<div class="table-frame" role="region" aria-label="${title}: table" tabindex="0"><table class="table">
        <thead><tr><th scope="col">Time</th>${lines.map(({ name }) => html`<th scope="col">${name}</th>`)}</tr></thead>
        <tbody>${live.samples
          .filter(({ at }) => at % ROW_SECS === 0)
          .reverse()
          .map(
            ({ at, totals }) => html`<tr key=${at}>
          <th scope="row" class="numbers">${time(at * 1000)}</th>
          ${lines.map(({ value }) => html`<td class="numbers">${totals ? number(value(totals)) : "no figures"}</td>`)}</tr>`,
          )}</tbody>
      </table></div>`
      }</details>
  </section>`;
}

/** @type {Admin.ChartProps[]} */
export const CHARTS = [
  {
    title: "Attempts",
    unit: "/s",
    isStacked: true,
    figure: ({ attemptsPerSec }) => number(Object.values(attemptsPerSec).reduce((sum, each) => sum + each, 0)),
    lines: [
      { name: "accepted", color: "c-good", value: (t) => t.attemptsPerSec.accepted },
      { name: "already held", color: "c-held", value: (t) => t.attemptsPerSec.alreadyHeld },
      { name: "sold out", color: "c-idle", value: (t) => t.attemptsPerSec.soldOut },
      { name: "not open", color: "c-faint", value: (t) => t.attemptsPerSec.notOpen },
      { name: "limited", color: "c-warn", value: (t) => t.attemptsPerSec.limited },
      { name: "unavailable", color: "c-bad", value: (t) => t.attemptsPerSec.unavailable },
      { name: "unknown", color: "c-worst", value: (t) => t.attemptsPerSec.unknown },
    ],
  },
  {
    title: "Answer time",
    unit: "ms p99",
    figure: ({ latencyMillis }) => short(latencyMillis.p99),
    lines: [
      { name: "p99", color: "c-warn", value: (t) => t.latencyMillis.p99 },
      { name: "p50", color: "c-main", value: (t) => t.latencyMillis.p50 },
    ],
  },
  {
    title: "Orders",
    unit: "/s",
    figure: ({ ordersPerSec }) => number(ordersPerSec),
    lines: [
      { name: "orders", color: "c-good", value: (t) => t.ordersPerSec },
      { name: "without an order", color: "c-bad", value: (t) => t.failedPerSec },
    ],
  },
  {
    title: "Lag",
    unit: "s",
    figure: ({ lagSecs }) => short(lagSecs),
    note: "from acceptance to order",
    lines: [{ name: "lag", color: "c-main", value: (t) => t.lagSecs }],
  },
];
