/** What several views are made of: words of state, buttons that say why they are off, tables, and the dialog that asks before a change. */

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { differences, moment, recent, sentence } from "./format.js";
import { identity, mayChange, newKey } from "./session.js";
import { live, publish, refresh, tell } from "./store.js";

/** @type {(() => any) | null} */
let dialog = null;

/** Opens a dialog, or with `null` closes it. @param {(() => any) | null} content */
export function show(content) {
  dialog = content;
  publish();
}

export const close = () => show(null);

/** The open dialog, made anew with every second's figures. */
export const OpenDialog = () => dialog?.();

/** @param {{is: string, children?: any}} props */
export const Status = ({ is, children }) => html`<span class="status" data-status=${is}>${children}</span>`;

/** @param {{is: string, children?: any, role?: string}} props */
export const Notice = ({ is, role, children }) => html`<div class="notice" data-status=${is} role=${role}>${children}</div>`;

/** What went wrong, for people. @param {any} error */
export const words = (error) =>
  error.code === "timeout" ? "No answer came." : error.isUnanswered ? "The server cannot be reached." : error.message;

/** In the place of what is not there yet. @param {{what: string, failure?: Error | null}} props */
export const Missing = ({ what, failure }) =>
  failure
    ? html`<${Notice} is="bad">${what} cannot be read. ${words(failure)}<//>`
    : html`<p class="empty" role="status">Loading ${what.toLowerCase()} …</p>`;

/** Why the account may change nothing; for buttons, and once in words on the page. */
export const whyNot = () => (mayChange() ? "" : `You are signed in as ${identity()?.role}: you can look at everything and change nothing.`);

/** A button for a change. Where it may not be pressed it keeps its focus and says why. @param {Admin.ActProps} props */
export function Act({ kind = "quiet", onAct, why = whyNot(), children }) {
  return html`<button type="button" class="button ${kind}" title=${why || null} aria-disabled=${why ? "true" : null}
    aria-describedby=${whyNot() ? "why-not" : null} onClick=${why ? null : onAct}>${children}</button>`;
}

/** @param {Admin.TableProps} props */
export const Table = ({ name, head, rows, empty }) =>
  rows.length
    ? html`<div class="table-frame" role="region" aria-label=${name} tabindex="0"><table class="table">
      <thead><tr>${head.map((text) => html`<th scope="col">${text}</th>`)}</tr></thead>
      <tbody>${rows.map(
        (cells) =>
          html`<tr>${cells.map(
            (cell, at) => html`<td class=${/^[\d–]/.test(String(cell)) ? "numbers" : ""} data-head=${head[at]}><div>${cell}</div></td>`,
          )}</tr>`,
      )}</tbody>
    </table></div>`
    : html`<p class="empty">${empty}</p>`;

/** before → after @param {{lines: Admin.Difference[]}} props */
export const Differences = ({ lines }) =>
  lines.length
    ? html`<dl class="differences">${lines.map(
        ([name, before, after]) => html`<div><dt>${name}</dt>
      <dd>${before && html`<s><span class="visually-hidden">before: </span>${before}</s><i aria-hidden="true">→</i>`}
        <b><span class="visually-hidden">after: </span>${after}</b></dd></div>`,
      )}</dl>`
    : null;

/** An entry of the action log. @param {{action: Admin.Action, isBrief?: boolean}} props */
export const Entry = ({ action, isBrief }) => html`<p class="entry"><b>${sentence(action)}</b>
    <span class="hint numbers">${isBrief ? recent(action.at) : moment(action.at)} · ${action.role}${action.reason && ` · “${action.reason}”`}</span></p>
  ${!isBrief && html`<${Differences} lines=${differences(action.before, action.after)} />`}`;

/** A label, its input, and a hint. @param {Admin.FieldProps} props */
export function Field({ label, name, hint, options, area, value, ...rest }) {
  // `value` is what the field begins with: as a property it would be set again whenever the view is drawn, over what was typed meanwhile.
  const begins = options ? {} : { defaultValue: value };
  const attributes = { ...rest, ...begins, id: `field-${name}`, name, "aria-describedby": hint ? `hint-${name}` : null };
  const tag = options ? "select" : area ? "textarea" : "input";
  return html`<div class="field"><label for="field-${name}">${label}</label>
    <${tag} ...${attributes}>${options?.map(
      ([choice, text]) => html`<option value=${choice} selected=${String(choice) === String(value)}>${text}</option>`,
    )}<//>
    ${hint && html`<span class="hint" id="hint-${name}">${hint}</span>`}</div>`;
}

/** Who changed the same thing meanwhile, and what. @param {Admin.ConflictProps} props */
function Conflict({ seen, now, onKeep }) {
  const theirs = (live.actions ?? []).filter(({ target, after }) => target === seen.target && after?.version > seen.version);
  return html`<${Notice} is="warn" role="alert"><h3>Somebody changed it meanwhile</h3>
    ${
      theirs.length
        ? theirs.map((action) => html`<${Entry} action=${action} />`)
        : html`<p>The action log has no entry: it was changed by a statement in the database.</p>
          <${Differences} lines=${now ? differences(seen.record, now) : []} />`
    }
    <p>Only the fields that you changed are sent.</p>
    <div class="row"><button type="button" class="button quiet" onClick=${onKeep}>Make my change on top of it</button>
      <button type="button" class="button quiet" onClick=${close}>Leave it as it is</button></div><//>`;
}

/**
 * Whether a change may have been made although its answer is an error. Being signed out, refused or put off says nothing of a request
 * that was sent before.
 * @param {any} error @param {boolean} wasOpen whether it was so before
 */
function mayBeMade({ status, code }, wasOpen) {
  if (status === 0 || status >= 500 || code === "outcome_unknown" || code === "request_in_progress") return true;
  return wasOpen && [401, 403, 408, 429].includes(status);
}

/**
 * Whether the log has this change as this account's own, made of this version: then only its answer was lost.
 * @param {string} target @param {number} version @param {Record<string, any>} patch
 */
function isMade(target, version, patch) {
  const me = `user:${identity()?.userId}`;
  return live.actions?.some(
    (action) =>
      action.target === target &&
      action.actor === me &&
      action.after?.version === version + 1 &&
      Object.entries(patch).every(([field, value]) => (action.after?.[field === "units" ? "initialStock" : field] ?? null) === value),
  );
}

/** The dialog of every change: its fields, before → after, the name to be typed, and what went wrong. @param {Admin.AskProps} props */
export function Ask({ title, verb, says, lines, typed, fields, seen, now, patch, send, done }) {
  /** @type {{current: any}} */
  const box = useRef(null);
  const key = useRef(newKey());
  const [values, setValues] = useState(/** @type {Record<string, string>} */ ({}));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [isBusy, setBusy] = useState(false);
  const [version, setVersion] = useState(seen?.version);
  useEffect(() => {
    box.current.showModal();
    collect();
    return () => box.current?.close();
  }, []);
  const collect = () => setValues(/** @type {any} */ (Object.fromEntries(new FormData(box.current.querySelector("form")))));
  const name = typed?.(values);
  // While the first request may have been carried out, it alone is sent again, with its key.
  const [isOpen, setOpen] = useState(false);
  const isStale = error?.code === "stale" || (!isOpen && !isBusy && (now?.version ?? 0) > (version ?? Infinity));
  const isMine = () => seen && version && patch && isMade(seen.target, version, patch(values));
  useEffect(() => {
    if (isOpen && !isBusy && isMine()) finish(done);
  });

  /** @param {string} text */
  function finish(text) {
    close();
    tell({ text });
  }

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (isBusy || isStale) return;
    if (name && squeezed(values.typedName ?? "") !== squeezed(name)) {
      return setError({ message: `Type “${name}” to confirm. What you typed is another name.` });
    }
    setBusy(true);
    try {
      const answer = await send(values, { key: key.current, version });
      finish(answer?.applied === false || answer?.complete === false ? `${done} The gate has it within two seconds.` : done);
      await refresh();
    } catch (caught) {
      const problem = /** @type {any} */ (caught);
      if (problem.code === "stale") {
        await refresh();
        if (isMine()) return finish(done);
      }
      const wasMade = mayBeMade(problem, isOpen);
      setOpen(wasMade);
      if (!wasMade) key.current = newKey();
      setError(problem);
      setBusy(false);
    }
  }

  return html`<dialog ref=${box} class="dialog" aria-labelledby="dialog-title" onClose=${close}>
    <header><h2 id="dialog-title">${title}</h2></header>
    <form onSubmit=${submit} onInput=${collect}>
      ${says && html`<p>${says}</p>`}
      ${
        isStale &&
        html`<${Conflict} seen=${{ ...seen, version }} now=${now}
        onKeep=${() => {
          setVersion(now?.version);
          setError(null);
        }} />`
      }
      ${
        error &&
        !isStale &&
        html`<${Notice} is="bad" role="alert">${words(error)}${isOpen && " It may have been done. Send it again: it is made once."}<//>`
      }
      <fieldset disabled=${isOpen}>${fields}
        <${Differences} lines=${lines?.(values) ?? []} />
        ${name && html`<${Field} name="typedName" label="To confirm, type: ${name}" autocomplete="off" spellcheck="false" required />`}
      </fieldset>
      <div class="actions"><button type="button" class="button quiet" onClick=${close}>Cancel</button>
        <button class="button ${name ? "danger" : ""}" disabled=${isStale} aria-busy=${isBusy}>${isBusy ? "Sending …" : verb}</button></div>
    </form></dialog>`;
}

/** @param {string} text */
const squeezed = (text) => text.trim().replace(/\s+/g, " ");
