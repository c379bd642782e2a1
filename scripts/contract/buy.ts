// A purchase by a client whose types are generated from the document, against a running server: node buy.js BASE.
// It has to compile with --strict, and with answers told apart by their types alone.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

declare const process: { argv: string[]; exitCode?: number };

type Code = components["schemas"]["ErrorBody"]["code"];

async function buy(base: string): Promise<string> {
  const api = createClient<paths>({ baseUrl: base });
  const username = `typescript${Date.now()}`;
  const password = "a word of TypeScript";
  const registered = await api.POST("/api/auth/register", { body: { username, email: `${username}@example.com`, password } });
  if (registered.error) throw new Error(registered.error.message);

  const wrong = await api.POST("/api/auth/login", { body: { username, password: "another word" } });
  const code: Code | undefined = wrong.error?.code;
  if (code !== "invalid_credentials") throw new Error(`a wrong password is answered ${code}`);

  const login = await api.POST("/api/auth/login", { body: { username, password } });
  if (!login.data) throw new Error(login.error?.code);
  const headers = { Authorization: `Bearer ${login.data.data.token}` };

  const sale = await api.GET("/api/flash-sale/status", { headers });
  if (!sale.data) throw new Error(sale.error?.code);
  const { id: saleId, productId } = sale.data.data;
  const attempt = await api.POST("/api/flash-sale/attempt/{saleId}", { params: { path: { saleId } }, headers });
  if (!attempt.data) throw new Error(attempt.error?.code);

  const deadline = Date.now() + 30_000;
  for (;;) {
    const order = await api.GET("/api/orders/status/{productId}", { params: { path: { productId } }, headers });
    if (order.data) {
      const status: "SUCCESS" | "FAILED" = order.data.data.status;
      if (status !== "SUCCESS") throw new Error(`the purchase ended as ${status}`);
      return `${username} has bought product ${order.data.data.productId}`;
    }
    if (order.error?.code !== "result_not_found" || Date.now() > deadline) throw new Error(order.error?.code);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

buy(process.argv[2] ?? "").then(
  (told) => console.log(`TypeScript: ${told}`),
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
