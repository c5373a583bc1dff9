// Moments of input enter, seconds of work leave: a stretch without input counts ten seconds at most, a hidden tab not at all.

const LONGEST_MS = 10000;

/** A clock that runs from one act to the next. */
export class Clock {
  #total = 0;
  #last = performance.now();
  #hidden = document.hidden;

  constructor() {
    for (const name of ["keydown", "pointermove", "pointerdown", "wheel"]) {
      addEventListener(name, () => this.#count(), { capture: true, passive: true });
    }
    document.addEventListener("visibilitychange", () => {
      this.#count();
      this.#hidden = document.hidden;
    });
  }

  #count() {
    const now = performance.now();
    if (!this.#hidden) this.#total += Math.min(now - this.#last, LONGEST_MS);
    this.#last = now;
  }

  /** Return the seconds since the last call, and begin anew. */
  take() {
    this.#count();
    const seconds = Math.round(this.#total) / 1000;
    this.#total = 0;
    return seconds;
  }
}
