/** Signing up and logging in, in one dialog; the token stays in this browser until the shopper logs out. */

import { ApiError, request, store } from "../shared/api.js";
import { say, sayError } from "../shared/text.js";
import { element } from "./view.js";

/** @typedef {{token: string, userId: string, username: string}} Session */

/** The answer to a form where the shop has a login of its own. */
export const ELSEWHERE = { code: "local_accounts_off", message: "" };
const FIELDS = ["username", "email", "password"];
/** Words of the server's sentences about a field that have a text of their own. */
const REASONS = ["reserved", "guessed", "invisible"];

/**
 * The one field that a refusal is about, and the text for it; `null`: it is about the whole form.
 * @param {import("../shared/text.js").Language} language @param {{code: string, message: string}} error
 */
export function complaintOf(language, error) {
  const isInvalid = error.code === "validation_failed";
  const about = (isInvalid ? error.message : error.code).toLowerCase();
  const [field, ...others] = FIELDS.filter((name) => about.includes(name));
  if (!field || others.length) return null;
  const reason = REASONS.find((word) => about.includes(word));
  return { field, text: isInvalid ? say(language, reason ?? `wrong_${field}`) : sayError(language, error) };
}

/** Fires `change` when somebody has logged in or out. */
export class Account extends EventTarget {
  #memory = store("localStorage", "flashsale:");
  #tab = store("sessionStorage", "flashsale:");
  /** Whether nobody can sign up or log in here: the shop has a login of its own. Only the answer to a form says so. */
  isElsewhere = this.#tab.get("elsewhere") === true;
  /** @type {Session | null} */
  session;
  /** Whether the server ended the session, and nobody has logged in or out since. */
  wasEnded = false;
  /** @type {import("../shared/text.js").Language} */
  language;
  /** @type {"logIn" | "signUp"} */
  #mode = "signUp";
  #dialog = element("account", HTMLDialogElement);
  #form = element("account-form", HTMLFormElement);
  #problem = element("account-error", HTMLElement);
  /** What to do once somebody is logged in. @type {(() => void) | null} */
  #then = null;

  /** @param {import("../shared/text.js").Language} language */
  constructor(language) {
    super();
    this.language = language;
    this.session = this.#memory.get("session");
    if (this.session) this.#memory.set("username", this.session.username);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    element("account-swap", HTMLButtonElement).addEventListener("click", () => this.#show(this.#mode === "logIn" ? "signUp" : "logIn"));
    element("account-close", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    element("log-in", HTMLButtonElement).addEventListener("click", () => this.ask("logIn"));
    element("log-out", HTMLButtonElement).addEventListener("click", () => this.#logOut());
    this.#dialog.addEventListener("close", () => (this.#then = null));
    // Another tab has logged in or out.
    window.addEventListener("storage", ({ key }) => key === "flashsale:session" && this.#take(this.#memory.get("session")));
  }

  /**
   * Opens the dialog.
   * @param {"logIn" | "signUp" | null} mode null: what fits somebody who was logged in here before, or was not
   * @param {(() => void) | null} [then] what to do afterwards
   * @param {string} [why] an error code to be told
   */
  ask(mode, then = null, why = "") {
    const known = this.#memory.get("username");
    this.#then = then;
    this.#show(mode ?? (known ? "logIn" : "signUp"));
    if (known && this.#mode === "logIn") element("username", HTMLInputElement).value = known;
    if (why && !this.isElsewhere) this.#tell(new ApiError(why, why));
    if (!this.#dialog.open) this.#dialog.showModal();
    if (this.isElsewhere) return;
    const isFilled = this.#mode === "logIn" && element("username", HTMLInputElement).value !== "";
    element(isFilled ? "password" : "username", HTMLInputElement).focus();
  }

  /** Forgets a token that the server does not accept. */
  forget() {
    if (this.session) this.#take(null, true);
  }

  /** The texts in another language. */
  retranslate() {
    if (this.#dialog.open) this.#show(this.#mode);
  }

  /** @param {"logIn" | "signUp"} mode */
  #show(mode) {
    this.#mode = mode;
    const { isElsewhere } = this;
    const signUp = mode === "signUp";
    /** @param {string} key */
    const text = (key) => say(this.language, key);
    element("account-title", HTMLElement).textContent = text(isElsewhere ? "logIn" : signUp ? "signUpTitle" : "logInTitle");
    element("account-submit", HTMLElement).textContent = text(mode);
    element("account-swap-text", HTMLElement).textContent = text(signUp ? "haveAccount" : "noAccount");
    element("account-swap", HTMLElement).textContent = text(signUp ? "logIn" : "signUp");
    element("email-field", HTMLElement).hidden = !signUp;
    element("email", HTMLInputElement).disabled = !signUp;
    element("password-hint", HTMLElement).hidden = !signUp;
    element("password", HTMLInputElement).autocomplete = signUp ? "new-password" : "current-password";
    this.#form.classList.toggle("elsewhere", isElsewhere);
    this.#problem.hidden = !isElsewhere;
    this.#problem.dataset.status = isElsewhere ? "" : "bad";
    this.#problem.textContent = sayError(this.language, ELSEWHERE);
    for (const field of FIELDS) this.#mark(field, "");
  }

  async #submit() {
    this.#problem.hidden = true;
    const wrong = FIELDS.filter((field) => !this.#isGood(field));
    if (wrong[0]) return element(wrong[0], HTMLInputElement).focus();
    /** @param {string} id */
    const value = (id) => element(id, HTMLInputElement).value;
    const [username, password] = [value("username").trim(), value("password")];
    const submit = element("account-submit", HTMLButtonElement);
    submit.disabled = true;
    try {
      if (this.#mode === "signUp") {
        await request("api/auth/register", { method: "POST", body: { username, email: value("email").trim(), password } });
        // Should the log-in fail now, the account is there.
        this.#show("logIn");
      }
      const { data } = await request("api/auth/login", { method: "POST", body: { username, password } });
      const then = this.#then;
      element("password", HTMLInputElement).value = "";
      this.#dialog.close();
      this.#take({ token: data.token, userId: data.userId, username });
      then?.();
    } catch (error) {
      this.#tell(/** @type {ApiError} */ (error));
    } finally {
      submit.disabled = false;
    }
  }

  /** @param {ApiError} error */
  #tell(error) {
    if (error.code === ELSEWHERE.code) {
      this.isElsewhere = true;
      this.#tab.set("elsewhere", true);
      this.#show(this.#mode);
      element("account-close", HTMLElement).focus();
      this.dispatchEvent(new Event("change"));
      return;
    }
    const complaint = complaintOf(this.language, error);
    if (complaint) {
      this.#mark(complaint.field, complaint.text);
      element(complaint.field, HTMLInputElement).focus();
      return;
    }
    this.#problem.textContent = sayError(this.language, error);
    this.#problem.hidden = false;
  }

  /** @param {string} field */
  #isGood(field) {
    const input = element(field, HTMLInputElement);
    // A name that already exists may be shorter than those that are made now.
    const { valueMissing } = input.validity;
    const isGood = input.disabled || (this.#mode === "logIn" ? !valueMissing : input.validity.valid);
    this.#mark(field, isGood ? "" : say(this.language, valueMissing ? "missing" : `wrong_${field}`));
    return isGood;
  }

  /** @param {string} field @param {string} problem */
  #mark(field, problem) {
    const input = element(field, HTMLInputElement);
    element(`${field}-error`, HTMLElement).textContent = problem;
    if (problem) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }

  async #logOut() {
    const token = this.session?.token;
    this.#take(null);
    element("log-in", HTMLButtonElement).focus();
    // The tokens end on the server as well, if it can be reached.
    if (token) await request("api/auth/logout", { method: "POST", token }).catch(() => undefined);
  }

  /** @param {Session | null} session */
  #take(session, wasEnded = false) {
    this.session = session;
    this.wasEnded = wasEnded;
    this.#memory.set("session", session);
    if (session) this.#memory.set("username", session.username);
    this.dispatchEvent(new Event("change"));
  }
}
