/** What became of a shopper's attempts: found by the shopper's number, name or e-mail address, or by an attempt's id. */

import { html, useEffect } from "../vendor/preact-htm.js";
import { moment, productName } from "./format.js";
import { Act, Ask, Field, Missing, Notice, show, Status } from "./parts.js";
import { useAnswer } from "./question.js";
import { change } from "./session.js";

/** @type {Record<string, [shape: string, words: string]>} */
const OUTCOMES = {
  ORDERED: ["good", "got an order"],
  SOLD_OUT: ["idle", "no unit was left"],
  ALREADY_ORDERED: ["idle", "had an order already"],
  NO_ACCOUNT: ["bad", "the account is gone"],
  REJECTED: ["bad", "rejected"],
};

/** @param {Admin.Attempt} attempt @param {() => void} onDone */
function cancelOrder({ attemptId, productId, userId }, onDone) {
  const name = productName(productId);
  show(
    () => html`<${Ask} key=${attemptId} title="Cancel the order: ${name}" verb="Cancel the order" done="The order is cancelled."
    says="The shopper is told so, and may buy again."
    lines=${(/** @type {Admin.Values} */ { restock }) => [
      ["Shopper", "", userId],
      ["Order", "stands", "ended"],
      ["Its unit", "sold", restock === "yes" ? "on sale again" : "out of the sale"],
    ]}
    typed=${() => name}
    fields=${html`<${Field} name="restock" label="Its unit" options=${[["yes", "goes on sale again"], ["no", "leaves the sale"]]} />
      <${Field} name="reason" label="Reason" hint="For the action log; may be empty" maxlength="500" />`}
    send=${async (/** @type {Admin.Values} */ { restock, reason }, /** @type {any} */ { key }) => {
      const answer = await change(`orders/${attemptId}/cancel`, { restock: restock === "yes", reason: reason || null }, { key });
      onDone();
      return answer;
    }} />`,
  );
}

/** From the press to what the shopper is told. @param {{attempt: Admin.Attempt, onChange: () => void}} props */
function History({ attempt, onChange }) {
  const { attemptId, settled, logged, order, releasedAt, told, saleId, userId } = attempt;
  // Both are missing while no worker has settled it.
  const [shape, words] = settled ? (OUTCOMES[settled.outcome] ?? ["idle", settled.outcome]) : ["busy", "reserved"];
  return html`<article class="card">
    <div class="head"><h2>${productName(attempt.productId)}</h2><${Status} is=${shape}>${words}<//></div>
    <p class="hint">Attempt <code>${attemptId}</code>, <a href="#/sale/${saleId}">sale ${saleId}</a>,
      shopper <a href="#/shoppers/${userId}">${userId}</a></p>
    <ol class="steps">
      <li><b>Reserved</b> ${moment(attempt.reservedAt)}</li>
      <li><b>Logged</b> ${logged ? html`<span class="numbers">${logged.topic} ${logged.partition}:${logged.offset ?? "?"}</span>` : "not known yet"}</li>
      <li><b>Settled</b> ${settled ? html`${moment(settled.at)}${settled.cause && `: ${settled.cause}`}` : "not yet"}</li>
      <li><b>Order</b> ${order ? html`<code>${order.orderId}</code> ${order.status === "SUCCESS" ? "stands" : "has ended"}` : "none"}
        ${releasedAt && `, released ${moment(releasedAt)}`}</li>
      <li><b>Told</b> ${told ?? html`<a href="#/shoppers/${attemptId}">Look up what the shopper is told now</a>`}</li>
    </ol>
    ${
      order?.status === "SUCCESS" &&
      html`<div class="row">
      <${Act} kind="quiet risky" onAct=${() => cancelOrder(attempt, onChange)}>Cancel the order<//></div>`
    }</article>`;
}

/** What a search may be for, besides an attempt. @typedef {"id" | "email" | "username"} Kind */

/** @type {Record<Kind, string>} */
const KINDS = { id: "number or user name", email: "e-mail address", username: "user name" };

/** An account by one of its marks. @param {Kind} kind @param {string | null} query `null`: nothing is asked */
function useAccount(kind, query) {
  const path = query === null ? null : `users?${kind}=${encodeURIComponent(query)}`;
  const [{ data, error }, ask] = useAnswer(path);
  useEffect(() => void ask(), [path]);
  // What cannot be such a mark, as a number that is too large, is nobody's.
  const isNobody = error?.status === 400 || data?.items.length === 0;
  return { account: data?.items[0], isNobody, error: isNobody ? undefined : error };
}

/** @param {{query: string}} props */
export function Shoppers({ query }) {
  const isAttempt = /^[0-9a-f-]{36}$/i.test(query);
  /** @type {Kind} */
  const kind = query.includes("@") ? "email" : /^\d+$/.test(query) ? "id" : "username";
  const isAccount = query !== "" && !isAttempt;
  // A user name may be of digits alone: what is nobody's number is looked up as a name.
  const first = useAccount(kind, isAccount ? query : null);
  const second = useAccount("username", isAccount && kind === "id" && first.isNobody ? query : null);
  const account = first.account ?? second.account;
  const isNoAccount = first.isNobody && (kind !== "id" || second.isNobody);
  const path = isAttempt ? `attempts/${query.toLowerCase()}` : account ? `users/${account.userId}/attempts?limit=100` : null;
  const [{ data, error }, ask] = useAnswer(path);
  useEffect(() => void ask(), [path]);

  /** @param {any} event */
  const search = (event) => {
    event.preventDefault();
    location.hash = `#/shoppers/${encodeURIComponent(event.currentTarget.elements.query.value.trim())}`;
  };
  const attempts = data && (isAttempt ? [data] : data.items);
  const results = () => {
    if (!query) {
      return html`<p class="empty">What became of a press: when a unit was reserved, where it is in the log, how it was settled,
        and what the shopper was told.</p>`;
    }
    if (isAttempt && (error?.status === 404 || error?.status === 400))
      return html`<${Notice} is="idle">No attempt has the id ${query}. An attempt is found once a worker has settled it.<//>`;
    if (isAccount && isNoAccount) return html`<${Notice} is="idle">There is no account with the ${KINDS[kind]} “${query}”.<//>`;
    if (!attempts) return html`<${Missing} what="The attempts" failure=${first.error ?? second.error ?? error} />`;
    if (attempts.length === 0)
      return html`<${Notice} is="idle">The account ${account?.userId} (${account?.username}) exists and has no attempts. An attempt is
        found once a worker has settled it.<//>`;
    return html`<div class="stack">${attempts.map(
      (/** @type {Admin.Attempt} */ attempt) => html`<${History} key=${attempt.attemptId} attempt=${attempt} onChange=${ask} />`,
    )}</div>`;
  };
  return html`<h1>Shoppers</h1>
    <form class="search" role="search" onSubmit=${search} key=${query}>
      <${Field} name="query" label="Shopper or attempt" value=${query} required autocomplete="off"
        hint="The shopper’s number, user name or e-mail address, or the id of an attempt" />
      <button class="button">Search</button></form>
    <div aria-live="polite">${results()}</div>`;
}
