/** The states of the shopper page, each with fixed answers of the API: for the check of every state, and for the screenshots. */

const HOUR = 3_600_000;
const token = "of-nobody";

export const PRODUCTS = {
  phone: {
    id: 1,
    name: "Premium Smartphone",
    description: "Latest model smartphone with advanced features",
    imageUrl: "assets/latest/shop/pictures/smartphone.svg",
    priceCents: 99_900,
    currency: "USD",
  },
  headphones: {
    id: 2,
    name: "Wireless Headphones",
    description: "Noise-cancelling headphones with a long-lasting battery",
    imageUrl: "assets/latest/shop/pictures/headphones.svg",
    priceCents: 19_900,
    currency: "USD",
    priorPriceCents: 24_900,
  },
  watch: {
    id: 3,
    name: "Smart Watch",
    description: "Fitness tracking and notifications on the wrist",
    imageUrl: "assets/latest/shop/pictures/watch.svg",
    priceCents: 29_900,
    currency: "USD",
  },
};

/** A sale that opens in `startsIn` milliseconds. */
function sale(
  startsIn,
  { phase = startsIn > 0 ? "scheduled" : "open", stock = "plenty", product = PRODUCTS.phone, lasts = 4 * HOUR } = {},
) {
  const start = Date.now() + startsIn;
  const times = { startTime: new Date(start).toISOString(), endTime: new Date(start + lasts).toISOString() };
  return { id: product.id, phase, stock, product, ...times };
}

const press = (page) => page.locator("#buy").click();
const error = (status, code, message = code) => ({ status, body: { success: false, error: "", message, code } });

async function signUp(page) {
  await press(page);
  await page.locator("#username").fill("user1");
  await page.locator("#email").fill("user1@example.com");
  await page.locator("#password").fill("password1");
  await page.locator("#account-submit").click();
}

const accepted = { status: 200, body: { success: true, data: { attemptId: "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11", status: "PENDING" } } };

/**
 * By name: `sales` as the list answers them, or `null`: no answer; `attempt`: the answer to a press, `"cut"` or `"none"`; `result`: of the
 * shopper; `loggedOut`; `login`, `register`: the answers to the forms; `act`: what is done on the page; `state`: that of the button, then; `shows`: what is waited for instead.
 * @type {Record<string, any>}
 */
export const STATES = {
  closed: { sales: () => [sale(53 * HOUR)] },
  counting: { sales: () => [sale(5 * HOUR + 754_000)] },
  "counting-soon": { sales: () => [sale(299_000)], state: "counting" },
  "counting-logged-out": { sales: () => [sale(754_000)], loggedOut: true, state: "counting" },
  armed: { sales: () => [sale(42_000)], act: press },
  open: { sales: () => [sale(-60_000)] },
  "open-few": { sales: () => [sale(-60_000, { stock: "few", product: PRODUCTS.headphones })], state: "open" },
  "open-logged-out": { sales: () => [sale(-60_000)], loggedOut: true, state: "open" },
  several: {
    sales: () => [
      sale(-60_000, { product: PRODUCTS.headphones }),
      sale(-2 * HOUR, { stock: "none" }),
      sale(3 * HOUR, { product: PRODUCTS.watch }),
    ],
    state: "open",
  },
  asking: { sales: () => [sale(-60_000)], attempt: "none", act: press },
  busy: { sales: () => [sale(-60_000)], attempt: error(503, "busy"), act: press, state: "asking" },
  unavailable: { sales: () => [sale(-60_000)], attempt: error(503, "unavailable"), act: press, state: "asking" },
  "logged-out": {
    sales: () => [sale(-60_000)],
    result: "ended",
    state: "open",
    act: async (page) => {
      await page.locator("#hint", { hasText: /logged out|خروجك/ }).waitFor();
    },
  },
  checking: { sales: () => [sale(-60_000)], attempt: "cut", act: press },
  accepted: { sales: () => [sale(-60_000)], attempt: accepted, act: press },
  bought: { sales: () => [sale(-60_000)], attempt: accepted, result: "SUCCESS", act: press },
  failed: { sales: () => [sale(-60_000, { stock: "none" })], result: "FAILED" },
  again: { sales: () => [sale(-60_000)], result: "FAILED" },
  paused: { sales: () => [sale(-60_000, { phase: "paused" })] },
  "paused-armed": { sales: () => [sale(-60_000, { phase: "paused" })], act: press, state: "pausedArmed" },
  "sold-out": { sales: () => [sale(-60_000, { stock: "none" })], state: "soldOut" },
  ended: { sales: () => [sale(-5 * HOUR, { phase: "ended", stock: "none" })] },
  cancelled: { sales: () => [sale(2 * HOUR, { phase: "cancelled" })] },
  offline: {
    sales: () => [sale(-60_000)],
    act: async (page) => {
      await page.context().setOffline(true);
    },
  },
  "no-picture": {
    sales: () => [sale(-60_000, { product: { ...PRODUCTS.phone, imageUrl: null, priorPriceCents: 119_900 } })],
    state: "open",
  },
  "long-description": {
    sales: () => [
      sale(-60_000, {
        product: {
          ...PRODUCTS.phone,
          name: `Premium Smart${"phone".repeat(20)}`,
          description: `${"Waterproof".repeat(30)} ${"Light, and made to last. ".repeat(100)}`,
        },
      }),
    ],
    state: "open",
  },
  "next-year": { sales: () => [sale(400 * 24 * HOUR)], state: "closed" },
  "sign-up": { sales: () => [sale(-60_000)], loggedOut: true, act: press, shows: "#account[open]" },
  "log-in-failed": {
    sales: () => [sale(-60_000)],
    loggedOut: true,
    login: error(401, "invalid_credentials"),
    act: async (page) => {
      await page.locator("#log-in").click();
      await page.locator("#username").fill("user1");
      await page.locator("#password").fill("not it");
      await page.locator("#account-submit").click();
    },
    shows: "#account-error:not([hidden])",
  },
  "sign-up-refused": {
    sales: () => [sale(-60_000)],
    loggedOut: true,
    register: error(400, "validation_failed", "Password is one of the first that are guessed; choose another one"),
    act: signUp,
    shows: "#password-error:not(:empty)",
  },
  elsewhere: {
    sales: () => [sale(-60_000)],
    loggedOut: true,
    register: error(403, "local_accounts_off"),
    act: signUp,
    shows: "#account[open] .elsewhere",
  },
  "elsewhere-closed": {
    sales: () => [sale(-60_000)],
    loggedOut: true,
    register: error(403, "local_accounts_off"),
    state: "open",
    act: async (page) => {
      await signUp(page);
      await page.locator("#account[open] .elsewhere").waitFor();
      await page.locator("#account-close").click();
    },
  },
  empty: { sales: () => [], shows: "#empty" },
  trouble: { sales: null, shows: "#trouble" },
  loading: { sales: "none", state: "loading", shows: "[data-view=loading] #buy-label:not(:empty)" },
};

/**
 * Brings a page, not opened yet, into a state.
 * @param page of playwright
 * @param {string} base where the files are served
 * @param {string} name
 */
export async function enter(page, base, name, language = "en") {
  const { sales, attempt, result, loggedOut, login, register, act, state = name, shows } = STATES[name];
  const list = typeof sales === "function" ? sales() : sales;
  await page.context().addInitScript(
    ([session, language]) => {
      localStorage.setItem("flashsale:language", JSON.stringify(language));
      if (session) localStorage.setItem("flashsale:session", JSON.stringify(session));
    },
    [loggedOut ? null : { token, userId: "7", username: "user1" }, language],
  );
  let pressed = act === undefined;
  await page.route("**/api/**", async (route) => {
    const path = new URL(route.request().url()).pathname;
    const answer = ({ status = 200, body }) => route.fulfill({ status, contentType: "application/json", body: JSON.stringify(body) });
    const data = (value) => answer({ body: { success: true, data: value } });
    if (list === null) return route.abort("connectionrefused");
    if (path.endsWith("/api/time")) return data({ now: new Date().toISOString(), epochMillis: Date.now() });
    if (path.endsWith("/events")) return answer(result === "ended" ? error(401, "token_invalid") : error(404, "not_found"));
    if (list === "none") return undefined;
    if (path.endsWith("/api/flash-sales")) return data(list);
    if (path.includes("/attempt/")) {
      pressed = true;
      return attempt === "cut" ? route.abort("connectionreset") : attempt === "none" ? undefined : answer(attempt);
    }
    if (path.endsWith("/orders/results")) {
      const [first] = list;
      const results = result && pressed ? [{ saleId: first.id, productId: first.product.id, status: result }] : [];
      return answer({ body: { success: true, data: results, sales: list.map(({ id }) => id) } });
    }
    if (path.endsWith("/login")) return answer(login);
    if (path.endsWith("/register")) return answer(register);
    return answer(error(404, "not_found"));
  });
  await page.goto(`${base}/`);
  if (act) {
    await page.locator("#buy[data-state]").waitFor();
    await act(page);
  }
  await page
    .locator(shows ?? `#buy[data-state="${state}"]`)
    .first()
    .waitFor();
  await page.evaluate(async () => {
    await document.fonts.ready;
    const pictures = [...document.images].filter((image) => image.src && !image.hidden);
    await Promise.all(pictures.map((image) => image.decode().catch(() => undefined)));
  });
}

/** States that are pictured at every width, */
export const thorough = ["counting", "open", "several", "sign-up", "sign-up-refused", "elsewhere", "empty"];
/** and in these languages besides English. */
export const languages = ["ar"];
