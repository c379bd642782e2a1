/** Texts are complete: both languages of the shopper page, every error that its requests are answered, every entry of the action log. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../harness.mjs";
import { differences, sentence } from "../../../web/console/format.js";
import { complaintOf } from "../../../web/shop/account.js";
import { LANGUAGES } from "../../../web/shop/languages.js";
import { LOOKS } from "../../../web/shop/state.js";

const repository = join(import.meta.dirname, "../../..");
const read = (path) => readFileSync(join(repository, path), "utf8");
const languages = await Promise.all(Object.values(LANGUAGES).map(async ({ load }) => (await load()).default));

/** Whatever is no language's own sentence. */
const isText = (text) => typeof text === "function" || (typeof text === "string" && text.trim() !== "");

/** Fields of the log's entries that never change, or that the sentence of the entry tells. */
const NOT_SHOWN = ["id", "version", "attemptId", "saleId", "userId", "username", "mode", "remainingStock"];

/** Paths of the API in the scripts of the shopper page, as openapi.json may write them: `api/flash-sales/*` and so on. */
function pathsOfPage() {
  const scripts = ["web/shared", "web/shop"].flatMap((folder) =>
    readdirSync(join(repository, folder))
      .filter((name) => name.endsWith(".js"))
      .map((name) => read(join(folder, name))),
  );
  const written = [...scripts.join("\n").matchAll(/["`]api\/([^"`]+)["`]/g)].map(([, path]) => path.replace(/\$\{.*\}/, "*"));
  return new Set(written.map((path) => `/api/${path}`));
}

/** The codes of an operation's errors, also of those that several operations share. */
function codesOf(operation, document) {
  return Object.values(operation.responses).flatMap((response) => {
    const { content } = response.$ref ? document.components.responses[response.$ref.split("/").at(-1)] : response;
    const { examples = {} } = content?.["application/json"] ?? {};
    return Object.values(examples).map(({ value }) => value.code);
  });
}

export const scenarios = {
  "every language has the same texts, and one for every state of the button": async () => {
    assert(languages.length >= 2, `${languages.length} languages`);
    const [first, ...others] = languages;
    for (const kind of ["texts", "errors"]) {
      for (const language of languages) {
        const empty = Object.entries(language[kind]).filter(([, text]) => !isText(text));
        assert(empty.length === 0, `${language.lang}: ${empty.map(([key]) => key)} is empty`);
      }
      for (const language of others) {
        const [wanted, found] = [first, language].map((one) => Object.keys(one[kind]));
        const differing = [...wanted.filter((key) => !found.includes(key)), ...found.filter((key) => !wanted.includes(key))];
        // A title may be that of the button.
        const missing = differing.filter((key) => !key.startsWith("title_"));
        assert(missing.length === 0, `${first.lang} and ${language.lang} differ in ${kind}: ${missing}`);
      }
    }
    for (const [state, { pressable }] of Object.entries(LOOKS)) {
      if (state === "loading") continue;
      const isReady = /armed/i.test(state); // Without an account nothing is armed.
      const keys = [`label_${state}`, `hint_${state}`, ...(pressable && !isReady ? [`hint_${state}_loggedOut`] : [])];
      for (const { lang, texts } of languages) for (const key of keys) assert(key in texts, `${lang} has no ${key}`);
    }
  },

  "every error that the shopper page may be answered has a text in every language": async () => {
    const document = JSON.parse(read("docs/openapi.json"));
    const codes = new Set();
    for (const path of pathsOfPage()) {
      const [, operations] = Object.entries(document.paths).find(([known]) => known.replace(/\{\w+\}/, "*") === path) ?? [];
      assert(operations, `openapi.json has no ${path}`);
      for (const operation of Object.values(operations)) for (const code of codesOf(operation, document)) codes.add(code);
    }
    for (const code of ["sold_out", "local_accounts_off", "method_not_allowed"])
      assert(codes.has(code), `${code} is not among ${[...codes]}`);
    for (const { lang, errors } of languages) {
      const missing = [...codes].filter((code) => !isText(errors[code]));
      assert(missing.length === 0, `${lang} has no text for ${missing}`);
    }
  },

  "every reason why a sign-up is refused is told at its field, in every language": async () => {
    const source = read("src/auth/form.rs");
    const list = source.slice(source.indexOf("pub enum Invalid"), source.indexOf("pub struct RegistrationForm"));
    const ofOtherForms = /^(Login|PasswordChange|Reset)/;
    const reasons = [...list.matchAll(/#\[error\(\s*"([^"]+)"\s*\)\]\s*(\w+),/g)].map(([, message, name]) => ({ message, name }));
    const fields = { Username: "username", Email: "email", Password: "password" };
    /** What its rule says already. */
    const byRule = ["Username", "Email", "PasswordTooShort", "PasswordTooLong"];
    let told = 0;
    for (const { message, name } of reasons.filter(({ name }) => !ofOtherForms.test(name))) {
      const field = fields[name.match(/^(Username|Email|Password)/)?.[1]];
      for (const language of languages) {
        const complaint = complaintOf(language, { code: "validation_failed", message });
        assert(complaint?.field === field, `“${message}” is told at ${complaint?.field}, not at ${field}`);
        if (!field) continue;
        const rule = language.texts[`wrong_${field}`];
        assert(isText(complaint.text), `“${message}” has no text in ${language.lang}`);
        assert((complaint.text === rule) === byRule.includes(name), `“${message}” is told in ${language.lang} as “${complaint.text}”`);
        told++;
      }
    }
    assert(told >= 8 * languages.length, `${told} reasons were found`);
  },

  "every action of the log is told in words, and so is each field of its entries": async () => {
    const source = read("src/port/admin/action.rs");
    const names = new Set([...source.matchAll(/Self::\w+ => "(\w+)",/g)].map(([, name]) => name));
    assert(names.size > 20 && names.has("add_webhook"), `${names.size} actions were found`);
    for (const action of names) {
      const text = sentence({ action, actor: "cli:ada", target: "webhook:3", saleId: null, before: null, after: null });
      assert(!text.includes(action) && !/undefined|null/.test(text), `${action} is told as “${text}”`);
    }
    const changes = ["accesses", "changes"].map((name) => read(`src/rules/action_log/${name}.rs`)).join("\n");
    const fields = new Set([...changes.matchAll(/"(\w+)":|insert\("(\w+)"/g)].map(([, inJson, inserted]) => inJson ?? inserted));
    for (const field of ["url", "replaySale", "priceCents", "role"]) assert(fields.has(field), `${field} is not among ${[...fields]}`);
    for (const field of fields) {
      const isShown = differences({ [field]: 1 }, { [field]: 2 }).length === 1;
      assert(isShown !== NOT_SHOWN.includes(field), `a change of ${field} is ${isShown ? "" : "not "}shown`);
    }
  },
};
