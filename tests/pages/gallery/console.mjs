/** The states of the operator console, each with fixed answers of the API: for the check of every state, and for the screenshots. */

const HOUR = 3_600_000;
/** The sale of the pictures opened so long ago. */
const OPEN_FOR_SECS = 170;
const UNITS = 60_000;

/** What it took in each second since it opened: many at noon, fewer later. */
const acceptedAt = (secs) =>
  secs < 0 ? 0 : Math.round(560 * Math.exp(-secs / 90) * (1 + 0.12 * Math.sin(secs * 1.7) + 0.06 * Math.sin(secs * 0.37)));
const acceptedUntil = (secs) =>
  Array.from({ length: Math.max(0, Math.floor(secs)) }, (_, at) => acceptedAt(at)).reduce((sum, each) => sum + each, 0);

const iso = (millis) => new Date(millis).toISOString();
const error = (status, code, message = code) => ({ status, body: { success: false, error: "", message, code } });

/** A token as the API's, but signed by nobody. */
function token(role) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part({ userId: "7", username: { support: "sue" }[role] ?? "ada", role })}.none`;
}

const PRODUCTS = [
  {
    id: 1,
    sku: "SHOE-7-BLACK",
    name: "Trail shoe, black",
    description: "Waterproof, 280 g",
    imageUrl: null,
    priceCents: 9900,
    currency: "EUR",
    priorPriceCents: 14900,
  },
  {
    id: 2,
    sku: "HEAD-1",
    name: "Wireless headphones",
    description: "Noise-cancelling",
    imageUrl: null,
    priceCents: 19900,
    currency: "EUR",
    priorPriceCents: null,
  },
  {
    id: 3,
    sku: "WATCH-3",
    name: "Smart watch",
    description: "Steel, 42 mm",
    imageUrl: null,
    priceCents: 29900,
    currency: "EUR",
    priorPriceCents: 34900,
  },
].map((product) => ({ ...product, version: 2, createdAt: iso(Date.UTC(2030, 10, 1)), updatedAt: iso(Date.UTC(2030, 10, 20)) }));

/** As long as the API allows, without a space to break at. */
const longWinded = (product) => ({
  ...product,
  name: `${product.name} ${"Extraordinarily".repeat(15)}`.slice(0, 255),
  sku: "LONG-".repeat(20),
  description: "Waterproofandlight".repeat(40),
});

/** The sales: the one that is shown, and two others. */
function sales(now, { phase = "open", note = "Newsletter of 27 November" } = {}) {
  const start = { draft: 26 * HOUR, scheduled: 754_000 }[phase] ?? (phase === "ended" ? -3 * HOUR : -OPEN_FOR_SECS * 1000);
  const pausedAt = phase === "paused" ? iso(now - 40_000) : null;
  const common = { version: 4, createdAt: iso(now - 9 * 24 * HOUR), updatedAt: iso(now - HOUR), note: "", pausedAt: null };
  return [
    {
      ...common,
      id: 3,
      productId: 3,
      phase: "draft",
      startTime: iso(now + 50 * HOUR),
      endTime: iso(now + 52 * HOUR),
      units: 500,
      remaining: 500,
      note: "Waits for the picture",
    },
    {
      ...common,
      id: 2,
      productId: 1,
      phase,
      pausedAt,
      startTime: iso(now + start),
      endTime: iso(now + start + 2 * HOUR),
      units: UNITS,
      remaining: 21_000,
      note,
    },
    {
      ...common,
      id: 1,
      productId: 2,
      phase: "ended",
      startTime: iso(now - 75 * HOUR),
      endTime: iso(now - 74 * HOUR),
      units: 2000,
      remaining: 0,
    },
  ];
}

function balance(secs, { phase = "open", soldOut = false, drift = 0, gateDown = false }) {
  if (gateDown) return { source: "ledger", total: UNITS, available: 21_000, pending: 0, held: 0, sold: 39_000, withdrawn: 0, drift: 0 };
  if (phase === "draft" || phase === "scheduled")
    return {
      source: phase === "draft" ? "ledger" : "gate",
      total: UNITS,
      available: UNITS,
      pending: 0,
      held: 0,
      sold: 0,
      withdrawn: 0,
      drift: 0,
    };
  const pending = phase === "open" && !soldOut ? 140 : 0;
  const sold = soldOut ? UNITS : acceptedUntil(secs) - pending;
  return { source: "gate", total: UNITS, available: UNITS - sold - pending - drift, pending, held: 0, sold, withdrawn: 0, drift };
}

const outcomes = (accepted, soldOut, share) =>
  Object.fromEntries(
    Object.entries({
      accepted,
      alreadyHeld: accepted * 0.11,
      soldOut,
      notOpen: accepted ? 0 : 35,
      limited: accepted * 0.03,
      unavailable: 0,
      unknown: 0,
    }).map(([name, value]) => [name, Math.round(value * share)]),
  );

/** The figures of the cluster at a second since the opening. */
function overview(now, secs, { phase = "open", soldOut = false, trouble = false, gateDown = false, letters = 0 }) {
  const accepted = phase === "open" && !soldOut ? acceptedAt(secs) : 0;
  const refused = soldOut ? 5200 * Math.exp(-secs / 200) : 0;
  const latencyMillis = { p50: 1.1 + accepted / 900, p99: 6 + accepted / 90 + 2 * Math.abs(Math.sin(secs * 1.3)) };
  const startedAt = iso(now - 30 * HOUR);
  const lagSecs = accepted ? 0.08 + 0.05 * Math.abs(Math.sin(secs)) + accepted / 6000 : 0;
  const api = (id, share, more) => ({
    id,
    kind: "api",
    version: "0.1.0",
    startedAt,
    ageMillis: 400,
    status: "ready",
    attemptsPerSec: outcomes(accepted, refused, share),
    latencyMillis,
    connections: Math.round(9000 * share),
    listeners: Math.round(6200 * share),
    ...more,
  });
  const worker = (id, partitions, more) => ({
    id,
    kind: "worker",
    version: "0.1.0",
    startedAt,
    ageMillis: 300,
    status: "ready",
    ordersPerSec: Math.round(accepted / 2),
    failedPerSec: 0,
    partitions,
    lagRecords: Math.round(lagSecs * accepted),
    lagSecs,
    ...more,
  });
  return {
    at: iso(now),
    nodes: [
      api("api-7f3c9d2a", 0.52),
      api("api-b01e77c4", 0.48, trouble ? { ageMillis: 6200, status: "not_ready" } : {}),
      worker("worker-2c91aa05", [0, 1, 2]),
      worker("worker-90d4fe11", trouble ? [3, 4] : [3, 4, 5], trouble ? { status: "draining" } : {}),
    ],
    totals: {
      attemptsPerSec: outcomes(accepted, refused, 1),
      latencyMillis,
      ordersPerSec: accepted,
      failedPerSec: 0,
      lagRecords: Math.round(lagSecs * accepted),
      lagSecs,
      connections: 9000,
      listeners: 6200,
    },
    servers: [
      { name: "gate", status: gateDown ? "down" : "up", text: gateDown ? "Redis does not answer" : "Redis answers" },
      { name: "log", status: trouble ? "down" : "up", text: trouble ? "Kafka: no leader for partition 5" : "Kafka answers" },
      { name: "ledger", status: "up", text: "PostgreSQL answers" },
    ],
    leases: [0, 1, 2, 3, 4, 5].map((partition) => ({
      partition,
      owner: partition < 3 ? "worker-2c91aa05" : trouble && partition === 5 ? null : "worker-90d4fe11",
    })),
    deadLetters: letters,
  };
}

const entry = (id, now, agoSecs, action, saleId, actor, more = {}) => ({
  id,
  at: iso(now - agoSecs * 1000),
  action,
  saleId,
  target: saleId ? `sale:${saleId}` : "product:3",
  actor,
  role: "operator",
  address: "203.0.113.5",
  reason: "",
  before: null,
  after: null,
  ...more,
});

const log = (now) => [
  entry(9, now, 640, "add_units", 2, "user:8", {
    reason: "A pallet was found",
    before: { initialStock: 55_000 },
    after: { initialStock: UNITS, version: 4 },
  }),
  entry(8, now, 3900, "edit_sale", 2, "user:7", {
    before: { endTime: iso(now + HOUR) },
    after: { endTime: iso(now + 2 * HOUR), version: 3 },
  }),
  entry(7, now, 7300, "publish_sale", 2, "user:7", { before: { state: "DRAFT" }, after: { state: "LIVE", version: 2 } }),
  entry(6, now, 90_000, "create_product", null, "user:8", {
    after: { name: "Smart watch", sku: "WATCH-3", priceCents: 29_900, currency: "EUR", version: 1 },
  }),
];

export const LETTERS = [
  {
    id: "0:17",
    cause: "there is no sale 99",
    buriedAt: iso(Date.UTC(2030, 10, 29, 11, 2, 9)),
    partition: 3,
    offset: 4711,
    attemptId: "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11",
    saleId: 99,
    userId: "412",
    value: '{"v":1,"sale":99}',
    decision: null,
  },
  {
    id: "0:18",
    cause: "the record is not JSON",
    buriedAt: iso(Date.UTC(2030, 10, 29, 11, 2, 11)),
    partition: 1,
    offset: 812,
    attemptId: null,
    saleId: null,
    userId: null,
    value: "garbage",
    decision: null,
  },
];

const attempt = (now, outcome, attemptId, order) => ({
  attemptId,
  saleId: 2,
  productId: 1,
  userId: "412",
  reservedAt: iso(now - 90_000),
  logged: { topic: "flashsale.attempts", partition: 3, offset: 4711 },
  settled: { at: iso(now - 89_700), outcome, cause: null },
  told: order ? "SUCCESS" : null,
  order,
  releasedAt: null,
});

const AUDIT = {
  clean: true,
  sales: [{ id: 2, productId: 1, initial: UNITS, sold: 38_000, remaining: 22_000, notSettled: 0, findings: [] }],
  actionLog: { entries: 9, broken: null },
};
const DOCTOR = [
  { verdict: "ok", area: "redis", name: "maxmemory-policy", found: "noeviction" },
  {
    verdict: "warning",
    area: "kafka",
    name: "replication",
    found: "1 replica",
    advice: "Use a replication factor of 3 with min.insync.replicas=2",
  },
  { verdict: "ok", area: "sales", name: "stock", found: "sale 2 of Trail shoe, black: 22000 of 60000 units left" },
];

const press = (name) => async (page) => {
  await page.getByRole("button", { name, exact: true }).first().click();
  await page.locator("dialog[open]").waitFor();
};

/**
 * By name: `role` of the account, or `null`: nobody is signed in; `view`; `phase`, `soldOut`, `drift`, `trouble`, `gateDown`, `letters`,
 * `longNames`: what the API answers; `isFull`: with five minutes of figures; `act`: what is done on the page; `shows`: what is waited
 * for, then.
 * @type {Record<string, any>}
 */
export const STATES = {
  "sign-in": { role: null, shows: ".sign-in" },
  "sign-in-failed": {
    role: null,
    shows: "[role=alert]",
    act: async (page) => {
      await page.getByLabel("User name").fill("ada");
      await page.getByLabel("Password").fill("not hers");
      await page.getByRole("button", { name: "Sign in" }).click();
    },
  },
  open: { isFull: true },
  "sold-out": { soldOut: true, isFull: true },
  paused: { phase: "paused" },
  scheduled: { phase: "scheduled" },
  draft: { phase: "draft" },
  ended: { phase: "ended" },
  cancelled: { phase: "cancelled" },
  "read-only": { role: "support" },
  drift: { drift: 3, shows: ".wrong" },
  trouble: { trouble: true, view: "servers", letters: 2 },
  "gate-down": { gateDown: true, shows: ".alarm p" },
  stale: { cutsOff: true, shows: ".stale:not(:empty)" },
  empty: { isEmpty: true, view: "sale", shows: ".start" },
  loading: { isSilent: true, shows: ".control .empty" },
  told: { told: true, shows: ".toast" },
  "dialog-publish": { phase: "draft", act: press("Publish") },
  "dialog-edit-draft": { phase: "draft", act: press("Edit") },
  "dialog-pause": { act: press("Pause") },
  "dialog-resume": { phase: "paused", act: press("Resume") },
  "dialog-units": {
    act: async (page) => {
      await press("Take units away")(page);
      await page.getByLabel("How many").fill("500");
    },
  },
  "dialog-end": { act: press("End now") },
  "dialog-sale": { view: "sales", act: press("New sale") },
  "dialog-product": { view: "products", act: press("New product") },
  "dialog-edit-product": {
    view: "products",
    act: async (page) => {
      await press("Edit")(page);
      await page.getByLabel("Price", { exact: true }).fill("89");
    },
  },
  "dialog-replay": { view: "letters", letters: 2, act: press("Replay") },
  "dialog-discard": { view: "letters", letters: 2, act: press("Discard") },
  "changed-meanwhile": {
    shows: "dialog [role=alert]",
    act: async (page) => {
      await press("Change the end")(page);
      await page.getByRole("button", { name: "+ 30 min" }).click();
      await page.getByRole("button", { name: "Save", exact: true }).click();
    },
  },
  "long-names": { longNames: true },
  "long-names-sales": { longNames: true, view: "sales" },
  "long-names-products": { longNames: true, view: "products" },
  "long-names-log": { longNames: true, view: "log" },
  "long-names-dialog": { longNames: true, act: press("End now") },
  sales: { view: "sales" },
  products: { view: "products" },
  servers: { view: "servers" },
  letters: { view: "letters", letters: 2 },
  "letters-none": { view: "letters" },
  shoppers: { view: "shoppers/412", shows: "article" },
  log: { view: "log" },
  checks: {
    view: "checks",
    shows: ".notice",
    act: async (page) => {
      for (const button of await page.getByRole("button", { name: "Check now" }).all()) await button.click();
    },
  },
};

/** Lets time pass faster in a page, until `window.atItsPace()`. */
function hurry(pace) {
  const now = performance.now.bind(performance);
  const later = setTimeout;
  let [from, base] = [now(), now()];
  performance.now = () => base + (now() - from) * pace;
  window.setInterval = (act, millis) => {
    const again = () => {
      act();
      later(again, millis / pace);
    };
    later(again, millis / pace);
    return 0;
  };
  window.atItsPace = () => {
    [base, from] = [performance.now(), now()];
    pace = 1;
  };
}

/**
 * Brings a page, not opened yet, into a state.
 * @param page of playwright
 * @param {string} base where the files are served
 * @param {string} name
 */
export async function enter(page, base, name) {
  const state = STATES[name];
  const { role = "operator", view = "sale/2", act, shows, isFull, isSilent, isEmpty, cutsOff } = state;
  const begun = Date.now();
  const pace = isFull ? 30 : 1;
  /** Milliseconds since 1970, and seconds since the opening, on the page's clock. */
  const clock = () => {
    const passed = isFull ? Math.min((Date.now() - begun) * pace, OPEN_FOR_SECS * 1000 + 120_000) - 120_000 : OPEN_FOR_SECS * 1000;
    return { now: begun - OPEN_FOR_SECS * 1000 + passed, secs: passed / 1000 };
  };
  let isCut = false;
  let reads = 0;
  if (role) await page.addInitScript((text) => sessionStorage.setItem("flashsale.console.token", JSON.stringify(text)), token(role));
  if (isFull) await page.addInitScript(hurry, pace);
  await page.route("**/api/**", async (route) => {
    const request = route.request();
    const path = new URL(request.url()).pathname.replace(/.*\/api\//, "").replace("admin/", "");
    const answer = ({ status = 200, body }) => route.fulfill({ status, contentType: "application/json", body: JSON.stringify(body) });
    const data = (value) => answer({ body: { success: true, data: value } });
    const page = (items) => data({ items: isEmpty ? [] : items, next: null });
    const { now, secs } = clock();
    if (path === "auth/login") return answer(error(401, "invalid_credentials"));
    if (isSilent) return undefined;
    if (isCut) return route.abort("connectionrefused");
    if (request.method() === "PATCH") return answer(error(412, "stale"));
    if (path === "overview") return data(overview(now, secs, state));
    if (path === "sales") return page(sales(begun, state));
    if (path === "sales/2") return data({ ...sales(begun, state)[1], balance: { ...balance(secs, state), at: iso(now) } });
    if (path === "products") return page(state.longNames ? PRODUCTS.map(longWinded) : PRODUCTS);
    if (path === "actions") {
      const paused = entry(10, begun, 40, "pause_sale", 2, "user:8", {
        reason: "The payment provider is down",
        before: { pausedAt: null },
        after: { pausedAt: iso(begun - 40_000), version: 5 },
      });
      const edited = entry(10, begun, 2, "edit_sale", 2, "user:8", {
        before: { note: "" },
        after: { note: "Newsletter of 27 November", version: 5 },
      });
      if (state.told && reads++ > 0) return page([paused, ...log(begun)]);
      return page([...(state.phase === "paused" ? [paused] : name === "changed-meanwhile" && reads++ > 0 ? [edited] : []), ...log(begun)]);
    }
    if (path === "dead-letters") return page(state.letters ? LETTERS : []);
    if (path === "audits") return data(AUDIT);
    if (path === "doctor") return data(DOCTOR);
    if (path === "users") return page([{ userId: "412", username: "grace" }]);
    if (/^users\/\d+$/.test(path)) return data({ userId: path.slice(6), username: path === "users/7" ? "ada" : "grace" });
    if (path === "users/412/attempts") {
      const order = { orderId: "0190b6a4-6a2b-7d11-8f0e-1c2d3e4f5a6b", status: "SUCCESS", createdAt: iso(now), updatedAt: iso(now) };
      return page([
        attempt(begun, "ORDERED", "0190b6a4-5f1e-7c3a-9d52-3f6f0c2b8e11", order),
        attempt(begun, "SOLD_OUT", "0190b6a3-11aa-7c3a-8d52-aa6f0c2b8e27", null),
      ]);
    }
    return answer(error(404, "not_found", "There is nothing at this path."));
  });
  await page.goto(`${base}/admin#/${view}`);
  if (isFull) {
    await page.waitForFunction(() => performance.now() > 290_000, undefined, { timeout: 60_000 });
    await page.evaluate(() => window.atItsPace());
  }
  if (role && !isSilent) await page.locator(".clock .status", { hasText: "live" }).waitFor();
  if (!isSilent && !isEmpty && view === "sale/2" && role) await page.locator(".figures").waitFor();
  isCut = Boolean(cutsOff);
  await act?.(page);
  await page
    .locator(shows ?? "main .card")
    .first()
    .waitFor();
  await page.evaluate(() => document.fonts.ready);
}

/** States that are pictured at every width. */
export const thorough = ["open", "paused", "sales", "servers", "dialog-sale"];
