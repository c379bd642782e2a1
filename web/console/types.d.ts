// Types of what the console reads from `/api/admin`. For the type checker alone: no page loads this file.
declare namespace Admin {
  type Role = "admin" | "operator" | "support" | "auditor" | "service" | "user";
  type Phase = "draft" | "scheduled" | "open" | "paused" | "ended" | "cancelled";

  /** Whom a token speaks for, from its claims. The server decides; the page only shows it. */
  interface Identity { userId: string; username: string; role: Role }



  interface Outcomes {
    accepted: number; alreadyHeld: number; soldOut: number; notOpen: number;
    limited: number; unavailable: number; unknown: number;
  }
  interface Latency { p50: number | null; p99: number | null }
  interface Node {
    id: string; kind: "api" | "worker" | "embedded"; version: string; startedAt: string; ageMillis: number;
    status: "ready" | "not_ready" | "draining";
    attemptsPerSec?: Outcomes; latencyMillis?: Latency; connections?: number; listeners?: number;
    ordersPerSec?: number; failedPerSec?: number; partitions?: number[]; lagRecords?: number; lagSecs?: number;
  }
  interface Totals {
    attemptsPerSec: Outcomes; latencyMillis: Latency; ordersPerSec: number; failedPerSec: number;
    lagRecords: number; lagSecs: number; connections: number; listeners: number;
  }
  interface Overview {
    at: string; nodes: Node[]; totals: Totals;
    servers: { name: string; status: string; text: string }[];
    leases: { partition: number; owner: string | null }[];
    deadLetters: number | null;
  }

  interface Balance {
    source: "gate" | "ledger"; total: number; available: number; pending: number; held: number; sold: number;
    withdrawn: number; drift: number; at: string;
  }
  interface Sale {
    id: number; productId: number; phase: Phase; startTime: string; endTime: string; units: number; remaining: number;
    pausedAt: string | null; note: string; version: number; createdAt: string; updatedAt: string; balance?: Balance;
  }
  interface Product {
    id: number; sku: string; name: string; description: string; imageUrl: string | null; priceCents: number;
    currency: string; priorPriceCents: number | null; version: number; createdAt: string; updatedAt: string;
  }
  interface Action {
    id: number; at: string; action: string; saleId: number | null; target: string; actor: string; role: string;
    address: string | null; reason: string; before: Record<string, any> | null; after: Record<string, any> | null;
  }
  interface Letter {
    id: string; cause: string; buriedAt: string; partition: number; offset: number; attemptId: string | null;
    saleId: number | null; userId: string | null; value: string | null; omittedBytes?: number | null;
    decision: { verdict: string; by: string; at: string; reason: string | null } | null;
  }
  interface Attempt {
    attemptId: string; saleId: number; productId: number; userId: string; reservedAt: string;
    logged: { topic: string; partition: number; offset: number | null };
    settled: { at: string; outcome: string; cause: string | null };
    told: string | null; releasedAt: string | null;
    order: { orderId: string; status: string; createdAt: string; updatedAt: string } | null;
  }
  interface User { userId: string; username: string; role?: string }
  interface Page<T> { items: T[]; next: string | null }

  /** One second of the charts. `null`: no figures came in that second. */
  interface Sample { at: number; totals: Totals | null }

  /** A line of "before → after". */
  type Difference = [name: string, before: string, after: string];

  /** What is read beside the figures, each by itself. */
  type Part = "sale" | "sales" | "actions";

  /** All that the views show. */
  interface Live {
    overview: Overview | null; sales: Sale[] | null; sale: Sale | null; saleId: number | null;
    products: Map<number, Product>; actions: Action[] | null; samples: Sample[];
    names: Map<string, string>;
    /** When the newest figures were asked for, on `performance.now()`. */
    askedAt: number;
    /** Why the figures could not be read. */
    failure: Error | null;
    /** Why each other part could not be read. */
    missing: Partial<Record<Part, Error>>;
  }

}

// Properties of components.
declare namespace Admin {
  type Values = Record<string, string>;
  interface ActProps { kind?: string; onAct: () => void; why?: string; children?: any }
  interface TableProps { name: string; head: any[]; rows: any[][]; empty?: any }
  interface FieldProps { label: any; name: string; hint?: any; options?: [string | number, string][]; area?: boolean; [attribute: string]: any }
  /** What an edit began from. */
  interface Seen { version: number; target: string; record: any }
  interface ConflictProps { seen: Seen; now?: { version: number }; onKeep: () => void }
  interface AskProps {
    title: any; verb: string; says?: any; fields?: any; done: string;
    /** before → after, by what is in the fields now. */
    lines?: (values: Values) => Difference[];
    /** The name to be typed, if this is dangerous. */
    typed?: (values: Values) => string | false | undefined;
    seen?: Seen; now?: { version: number };
    /** Of an edit: the fields that it changes. */
    patch?: (values: Values) => Record<string, any>;
    send: (values: Values, options: { key: string; version?: number }) => Promise<any>;
  }
  /** What a button of a sale does. */
  interface Change {
    verb: string; done: string; says: string; lines: (sale: Sale) => Difference[];
    /** It cannot be undone. */
    isDangerous?: boolean;
  }
  interface Line { name: string; color: string; value: (totals: Totals) => number | null | undefined }
  interface ChartProps { title: string; unit: string; lines: Line[]; isStacked?: boolean; figure: (totals: Totals) => any; note?: any }
  interface Plot {
    times: number[]; values: (number | null)[][]; colors: string[]; from: number; to: number; isStacked?: boolean;
    pointed: number | null; label: (value: number) => string; ink: string; line: string;
  }
  /** What was asked of the server, and what came of it. */
  interface Question { path?: string; data?: any; error?: any; isBusy?: boolean }
  interface Toast { id: number; text?: string; action?: Action }
}
