/** What ends a piece of work from outside: the caller's signal, or a time that is over. */

/** `AbortSignal.any` is newer than Node.js 18. */
export class TimeLimit {
  readonly #ended = new AbortController();
  readonly #outer: AbortSignal;
  readonly #milliseconds: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #abort = (): void => {
    this.#ended.abort();
  };

  constructor(outer: AbortSignal, milliseconds: number) {
    this.#outer = outer;
    this.#milliseconds = milliseconds;
    outer.addEventListener("abort", this.#abort);
    this.restart();
    if (outer.aborted) this.#abort();
  }

  /** Aborted with `outer`, when the time is over, and by `end`. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** The time begins again. */
  restart(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#abort, this.#milliseconds);
  }

  /** Ends the work too, such as an answer that was not read to its end. */
  end(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener("abort", this.#abort);
    this.#abort();
  }
}
