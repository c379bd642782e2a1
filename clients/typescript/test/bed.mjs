// What the tests of the client stand on: a running `serve --embedded`, its operator, sales and accounts of their own, a proxy that cuts
// connections. FLASHSALE is the program, CLIENT the compiled client, OUT a folder for data and logs; scripts/contract/client.sh sets them.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { createWriteStream, mkdirSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

export { CuttingProxy } from "../../../tests/pages/proxy.mjs";

const { FLASHSALE, CLIENT, OUT } = process.env;
if (!FLASHSALE || !CLIENT || !OUT) throw new Error("FLASHSALE, CLIENT and OUT are set by scripts/contract/client.sh");

export const { FlashSale, FlashSaleError } = await import(pathToFileURL(CLIENT));

/** As many requests as tests like; hashes of passwords cost next to nothing. ATTEMPTS_PER_USER keeps its limit. */
const SETTINGS = {
  LIMIT_REGISTRATIONS_PER_ADDRESS: "0",
  LIMIT_REGISTRATIONS_PER_ACCOUNT: "0",
  LIMIT_LOGINS_PER_ADDRESS: "0",
  LIMIT_FAILED_LOGINS_PER_ACCOUNT: "0",
  PASSWORD_MEMORY_KIB: "64",
  PASSWORD_PASSES: "1",
  // A restart is quick.
  DRAIN_DELAY_SECS: "0",
  SHUTDOWN_TIMEOUT_SECS: "1",
};

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Waits until `condition` answers something true, and answers that. */
export async function until(what, condition, timeoutMs = 15_000) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(20);
  }
}

/** A port below those of outgoing connections, so that it is free for a restart. */
async function freePort() {
  for (let tries = 0; tries < 50; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = net.createServer();
    const isFree = await new Promise((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
  throw new Error("no free port");
}

/** A system in one process that can be stopped and started again on its data. */
export class System {
  #process = null;
  #operator = "";

  static async start(name, settings = {}) {
    const system = new System();
    system.folder = join(OUT, name);
    mkdirSync(system.folder, { recursive: true });
    system.port = await freePort();
    system.base = `http://127.0.0.1:${system.port}`;
    system.settings = settings;
    await system.start();
    return system;
  }

  async start() {
    const log = createWriteStream(join(this.folder, "server.log"), { flags: "a" });
    await new Promise((resolve) => log.once("open", resolve));
    const env = {
      ...process.env,
      ...SETTINGS,
      HOST: "127.0.0.1",
      PORT: String(this.port),
      FLASHSALE_DATA_DIR: join(this.folder, "data"),
      ...this.settings,
    };
    delete env.JWT_SECRET;
    this.#process = spawn(FLASHSALE, ["serve", "--embedded"], { env, stdio: ["ignore", log, log] });
    await until(
      "the server is ready",
      () =>
        fetch(`${this.base}/health/ready`).then(
          (answer) => answer.ok,
          () => false,
        ),
      60_000,
    );
    const { token } = await this.api("POST", "/api/auth/login", { username: "admin", password: "admin123" });
    this.#operator = token;
  }

  /** With SIGKILL as if the machine died. */
  async stop(signal = "SIGTERM") {
    const stopped = this.#process;
    if (stopped === null) return;
    this.#process = null;
    const ended = new Promise((resolve) => stopped.once("exit", resolve));
    stopped.kill(signal);
    await ended;
  }

  /** A request; the answer's `data`. An error names the answer. */
  async api(method, path, body, token, headers = {}) {
    const response = await fetch(`${this.base}${path}`, {
      method,
      headers: { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text).data : null;
  }

  operate(method, path, body, headers) {
    return this.api(method, `/api/admin${path}`, body, this.#operator, headers);
  }

  /** A published sale of a product of its own. `opensInMs` may be negative. */
  async sale({ opensInMs = -60_000, units = 5 } = {}) {
    const product = await this.operate("POST", "/products", {
      sku: randomUUID(),
      name: "Trail shoe",
      description: "",
      priceCents: 9900,
      currency: "EUR",
    });
    const start = Date.now() + opensInMs;
    const times = { startTime: new Date(start).toISOString(), endTime: new Date(Date.now() + 3_600_000).toISOString() };
    const sale = await this.operate("POST", "/sales", { productId: product.id, ...times, units });
    await this.operate("POST", `/sales/${sale.id}/publish`);
    await until("the sale is in the gate", async () => (await this.operate("GET", `/sales/${sale.id}/balance`)).source === "gate");
    await until("the sale is listed", () => fetch(`${this.base}/api/flash-sales/${sale.id}`).then((answer) => answer.ok));
    return sale;
  }

  /** How many orders a sale has. */
  async sold(saleId) {
    return (await this.operate("GET", `/sales/${saleId}/balance`)).sold;
  }

  /** A client of a new account. `base`: of a proxy. `fetch`: see `Wire`. */
  async shopper({ base = this.base, fetch } = {}) {
    const shop = new FlashSale(base, fetch ? { fetch } : {});
    const username = `s${randomUUID().replaceAll("-", "").slice(0, 16)}`;
    const password = "correct horse";
    await shop.register({ username, email: `${username}@example.com`, password });
    await shop.login({ username, password });
    return shop;
  }
}

/** A `fetch` that notes what is asked for, and gives answers of its own where a rule says so. */
export class Wire {
  /** `[method and path, when]` */
  asked = [];
  /** Gets the path; answers a Response, a promise of one, or undefined: the request is sent. */
  rule = () => undefined;

  fetch = async (url, options = {}) => {
    const path = new URL(url).pathname;
    this.asked.push({ path, at: performance.now() });
    return (await this.rule(path, options)) ?? fetch(url, options);
  };

  count(path) {
    return this.asked.filter((request) => request.path === path).length;
  }
}

/** An answer of the API. */
export const answer = (status, body, headers = {}) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
