/** The operator's session: a token in this tab's storage, whom it speaks for, and requests that carry it in their header. */

import { ApiError, request, store } from "../shared/api.js";

const storage = store("sessionStorage", "flashsale.console.");

/** @returns {string | undefined} */
const token = () => storage.get("token") ?? undefined;

/** Whom the token speaks for, as it says itself. The server decides what the account may do. @returns {Admin.Identity | null} */
export function identity() {
  try {
    const claims = (token()?.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(claims), (char) => char.charCodeAt(0));
    const { userId, username, role = "user" } = JSON.parse(new TextDecoder().decode(bytes));
    return { userId: String(userId), username, role };
  } catch {
    return null;
  }
}

export const isOperator = () => ["admin", "operator", "support", "auditor"].includes(identity()?.role ?? "");

export const mayChange = () => ["admin", "operator"].includes(identity()?.role ?? "");

/** @param {string} username @param {string} password */
export async function signIn(username, password) {
  const { data } = await request("api/auth/login", { method: "POST", body: { username, password } });
  storage.set("token", data.token);
  if (isOperator()) return;
  signOut();
  throw new ApiError("forbidden", "This is a shopper’s account. The console is for operators. Nothing was loaded.", 403);
}

export const signOut = () => storage.set("token", null);

/** Ends every session of the account on the server. A page that is left does not wait longer for it. */
export const endSessions = () => request("api/auth/logout", { method: "POST", token: token(), timeoutMs: 3000 });

/** @param {string} path below `api/admin/` @param {number} [timeoutMs] @returns {Promise<any>} */
export async function read(path, timeoutMs = 10_000) {
  return (await request(`api/admin/${path}`, { token: token(), timeoutMs })).data;
}

/**
 * Makes a change. `key`: it is made once, however often it is sent. `version`: the one that the operator saw.
 * @param {string} path @param {unknown} body @param {{key?: string, version?: number}} [options]
 */
export async function change(path, body, { key, version } = {}) {
  /** @type {Record<string, string>} */
  const headers = key ? { "Idempotency-Key": key } : {};
  if (version !== undefined) headers["If-Match"] = `"v${version}"`;
  const method = version === undefined ? "POST" : "PATCH";
  return (await request(`api/admin/${path}`, { method, body, headers, token: token() })).data;
}

/** A key for one change. (`randomUUID` is missing where a page does not come over HTTPS or from localhost.) */
export const newKey = () => [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(16)).join("-");

/** Saves all orders of a sale as a file. The token goes into the header, so that no link carries it. @param {number} sale */
export async function saveOrders(sale) {
  const answer = await fetch(`api/admin/sales/${sale}/orders`, { headers: { accept: "text/csv", authorization: `Bearer ${token()}` } });
  if (!answer.ok) throw new ApiError("unavailable", `The orders could not be read (${answer.status}).`, answer.status);
  // A file that breaks off in the middle rejects here, and nothing is saved.
  const url = URL.createObjectURL(await answer.blob());
  const link = Object.assign(document.createElement("a"), { href: url, download: `orders-of-sale-${sale}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
