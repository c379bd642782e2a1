/** The page itself: signing in, the frame around the views, which view an address names, and what the operator is told. */

import { ApiError } from "../shared/api.js";
import { html, render, useEffect, useState } from "../vendor/preact-htm.js";
import { Alarm, isAllUp } from "./alarm.js";
import { Products, Sales } from "./catalog.js";
import { Cluster } from "./cluster.js";
import { Control } from "./control.js";
import { productName, sentence, time, zone } from "./format.js";
import { Letters } from "./letters.js";
import { close, Field, Notice, OpenDialog, Status, whyNot, words } from "./parts.js";
import { Checks, Log } from "./reports.js";
import { endSessions, identity, isOperator, signIn } from "./session.js";
import { Shoppers } from "./shoppers.js";
import { ageSecs, choose, dismiss, forget, leave, listen, live, publish, refusal, serverNow, STALE_SECS, start, toasts } from "./store.js";

/** @typedef {[address: string, name: string, view: (rest: string) => any]} View */

/** @type {View} */
const CONTROL = ["sale", "Control room", () => html`<${Control} />`];

/** @type {View[]} */
const VIEWS = [
  CONTROL,
  ["sales", "Sales", () => html`<${Sales} />`],
  ["products", "Products", () => html`<${Products} />`],
  ["servers", "Servers", () => html`<${Cluster} />`],
  ["letters", "Dead letters", () => html`<${Letters} />`],
  ["shoppers", "Shoppers", (query) => html`<${Shoppers} query=${query} />`],
  ["log", "Log", () => html`<${Log} />`],
  ["checks", "Checks", () => html`<${Checks} />`],
];

/** The parts of an address as #/sale/3. */
function address() {
  const [, name = "", rest = ""] = location.hash.split("/");
  try {
    return { name: name || "sale", rest: decodeURIComponent(rest) };
  } catch {
    return { name: "sale", rest: "" };
  }
}

function SignIn() {
  const [error, setError] = useState(/** @type {any} */ (refusal));
  const [isBusy, setBusy] = useState(false);
  /** @param {any} event */
  async function submit(event) {
    event.preventDefault();
    if (isBusy) return;
    const { username, password } = event.currentTarget.elements;
    setBusy(true);
    setError(null);
    try {
      await signIn(username.value, password.value);
      forget();
      publish();
    } catch (caught) {
      setError(caught);
      setBusy(false);
      password.select();
    }
  }
  return html`<main class="sign-in"><form class="card" onSubmit=${submit}>
    <h1>Operator console</h1>
    ${
      error &&
      html`<${Notice} is="bad" role="alert">
      ${error.code === "invalid_credentials" ? "The user name or the password is wrong." : words(error)}<//>`
    }
    <${Field} name="username" label="User name" autocomplete="username" autocapitalize="none" required />
    <${Field} name="password" label="Password" type="password" autocomplete="current-password" required />
    <button class="button large" aria-busy=${isBusy}>${isBusy ? "Signing in …" : "Sign in"}</button>
    <p class="hint">For accounts with the role admin, operator, support or auditor.</p></form></main>`;
}

/** Whether the numbers are fresh. Drawn twice a second, also when nothing arrives; the seconds are not read out each time. */
function Fresh() {
  const [, draw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => draw(Math.random()), 500);
    return () => clearInterval(timer);
  }, []);
  const age = ageSecs();
  const isStale = age > STALE_SECS;
  document.documentElement.toggleAttribute("data-stale", isStale);
  const [shape, word] = isStale ? ["bad", "stale"] : live.overview ? [isAllUp() ? "good" : "warn", "live"] : ["busy", "connecting"];
  return html`<p class="clock"><time class="numbers">${time(serverNow())}</time>
      <${Status} is=${shape}>${word}<//>
      <span class="hint">server, ${zone}</span></p>
    <div class="stale" role="alert">${
      isStale &&
      html`
      <b>${live.overview ? "These numbers are old" : "No numbers have come"}<span aria-hidden="true">: ${Math.floor(age)} s</span>.</b>
      ${` ${live.failure ? words(live.failure) : "The server does not answer."} It is asked again every second.`}`
    }</div>`;
}

/** @type {Record<Admin.Part, string>} */
const PARTS = { sale: "The sale", sales: "The lists of sales and products", actions: "The action log" };

/** What cannot be read while the figures come. */
const Behind = () =>
  /** @type {[Admin.Part, Error][]} */ (Object.entries(live.missing)).map(
    ([part, failure]) => html`<${Notice} key=${part} is="warn" role="status">
      ${PARTS[part]} cannot be read: what is shown of it may be old. ${words(failure)}<//>`,
  );

const Toasts = () => html`<div class="toasts" role="log" aria-label="What just changed">
  ${toasts.map(
    ({ id, text, action }) => html`<div class="toast" key=${id}>
    <p>${text}${
      action &&
      html`<b>${sentence(action)}</b> <span class="hint">${time(action.at)}
      ${action.reason && ` · “${action.reason}”`}</span>`
    }</p>
    <button type="button" class="link" onClick=${() => dismiss(id)}>Dismiss</button></div>`,
  )}</div>`;

const NOT_ENDED = "You are signed out in this tab. The server could not be told: other sessions of the account have not ended.";

/** The token is forgotten also if the server cannot be told; then that is said. */
async function signOutEverywhere() {
  /** @type {ApiError | null} */
  let why = null;
  try {
    await endSessions();
  } catch (error) {
    // 401: they have ended already.
    if (!(error instanceof ApiError && error.status === 401)) why = new ApiError("unavailable", NOT_ENDED, 503);
  }
  leave(why);
}

/** Without the address, which names the view. @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function App() {
  const [, draw] = useState(0);
  useEffect(() => listen(() => draw(Math.random())), []);
  const { name, rest } = address();
  const view = VIEWS.find(([one]) => one === name) ?? CONTROL;
  const who = identity();
  if (!isOperator()) return html`<${SignIn} />`;
  const letters = live.overview?.deadLetters ?? 0;
  return html`<header class="top"><a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
      <p class="brand">flashsale <span>console</span></p>
      <nav aria-label="Views">${VIEWS.map(
        ([one, title]) => html`
        <a href="#/${one}" aria-current=${one === view[0] ? "page" : null}>${title}
          ${one === "letters" && letters > 0 && html`<span class="count">${letters}</span>`}</a>`,
      )}</nav>
      <${Fresh} /><${Alarm} />
      <p class="who"><span><b>${who?.username}</b> <span class="hint">${who?.role}</span></span>
        <button type="button" class="link" title="Ends every session of this account, also elsewhere"
          onClick=${signOutEverywhere}>Sign out</button></p>
      ${whyNot() && html`<p class="read-only" id="why-not">${whyNot()}</p>`}</header>
    <main id="main" tabindex="-1" class=${view[0]}><${Behind} />${view[2](rest)}</main>
    <${Toasts} /><${OpenDialog} />`;
}

/** Follows the address: which sale, and what the tab is called. */
function follow() {
  const { name, rest } = address();
  if (name === "sale") choose(Number(rest) || null);
  const { sale } = live;
  const view = VIEWS.find(([one]) => one === name)?.[1] ?? CONTROL[1];
  const isSale = name === "sale" && sale && isOperator();
  document.title = isSale ? `${sale.phase.toUpperCase()} · ${productName(sale.productId)}` : `${view} · flashsale console`;
}

addEventListener("hashchange", () => {
  close();
  follow();
  scrollTo(0, 0);
});
listen(follow);
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
start();
