/** What a server that does not answer means for shoppers and operators, in words at the top of every view. */

import { html } from "../vendor/preact-htm.js";
import { live } from "./store.js";

/** By the server's part in the system: what it is called where its text names no product, and what its absence means. @type {Record<string, [name: string, meaning: string]>} */
const PARTS = {
  gate: ["The gate", "nobody can buy now."],
  log: ["The log", "purchases are refused, or wait for their order until it answers."],
  ledger: ["The ledger", "no order is written, and nothing can be changed. What was accepted is kept."],
};

/** Whether a server answered when the figures were read; without figures it is not known, and taken for yes. @param {string} name */
export const isUp = (name) => !live.overview?.servers.some((server) => server.name === name && server.status !== "up");

export const isAllUp = () => Object.keys(PARTS).every(isUp);

/** Always on the page, so that screen readers read what comes into it. */
export const Alarm = () =>
  html`<div class="alarm" role="alert">${live.overview?.servers
    .filter(({ status }) => status !== "up")
    .map(({ name, status, text }) => {
      const [part, meaning] = PARTS[name] ?? [name, "not everything works."];
      const product = text.match(/^(Redis|Kafka|PostgreSQL)\b/)?.[0];
      return html`<p key=${name}><b>${product ?? part} is ${status}: ${meaning}</b></p>`;
    })}</div>`;
