// Clicks and keys on a sheet enter, which of its cards are marked leaves; marks survive a reload of the page.

import { keep, kept } from "./state.js";

const NEXT = { "": "odd", odd: "", nothing: "" };

/** Marks of the cards on the screen: item -> "odd" or "nothing". */
export class Marks {
  #of = new Map();
  #before = new Map();

  /** Other cards come: marks that were made on them before a reload or an undo come back. */
  begin(ids) {
    const known = new Map([...this.#before, ...Object.entries(kept("marks", {}))]);
    this.#of = new Map(ids.filter((id) => known.has(id)).map((id) => [id, known.get(id)]));
    this.#keep();
  }

  /** The cards are answered; an undo brings the marks back. */
  end() {
    this.#before = this.#of;
    this.#of = new Map();
    this.#keep();
  }

  get(id) {
    return this.#of.get(id) ?? "";
  }

  /** What a click does: mark as odd, or take whatever mark there is away. */
  click(id) {
    this.set(id, NEXT[this.get(id)]);
  }

  /** Mark, or take the same mark away. */
  toggle(id, mark) {
    this.set(id, this.get(id) === mark ? "" : mark);
  }

  set(id, mark) {
    if (mark) this.#of.set(id, mark);
    else this.#of.delete(id);
    this.#keep();
  }

  #keep() {
    keep("marks", Object.fromEntries(this.#of));
  }
}
