/** Client of the flashsale API: sales, presses, results. README.md has a complete example. */
export { FlashSale, type Account, type CallOptions, type Options, type Session } from "./client.js";
export { ServerClock } from "./clock.js";
export { FlashSaleError, type ClientCode, type Code, type ServerCode } from "./errors.js";
export type { BuyOptions, Purchase, PurchaseState } from "./purchase.js";
export type { Result } from "./results.js";
export type { Sale } from "./sales.js";
export type { components, paths } from "./generated/schema.js";
