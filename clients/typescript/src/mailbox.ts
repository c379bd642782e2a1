/** What was told and not read yet: of each key the newest value only, so that a slow reader keeps a bounded number. */

export class Mailbox<K, V> {
  readonly #values = new Map<K, V>();
  #failure: { error: unknown } | null = null;
  #wake: (() => void) | null = null;

  put(key: K, value: V): void {
    // Told again: behind the others.
    this.#values.delete(key);
    this.#values.set(key, value);
    this.#wake?.();
  }

  /** Ends reading with an error, after what is there. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake?.();
  }

  /** The next value; waits for one. For one reader. */
  async take(): Promise<V> {
    for (;;) {
      for (const [key, value] of this.#values) {
        this.#values.delete(key);
        return value;
      }
      if (this.#failure !== null) throw this.#failure.error;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = null;
    }
  }
}
