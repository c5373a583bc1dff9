// Clicks and keys on a sheet enter, which of its cards are marked leaves; marks survive a reload of the page.

import { keep, kept, state } from "./state.js";

const WORDS = ["odd", "nothing"];

/** Marks of the cards on the screen: item -> "odd", "nothing", or the id of the class that it is named. */
export class Marks {
  #of = new Map();
  #before = new Map();

  /** Other cards come: marks that were made on them before a reload or an undo come back. */
  begin(ids) {
    const known = new Map([...this.#before, ...Object.entries(kept("marks", {}))]);
    this.#of = new Map(ids.filter((id) => isMark(known.get(id))).map((id) => [id, known.get(id)]));
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

  has(id) {
    return this.#of.has(id);
  }

  /** What a click does: mark as odd, or take whatever mark there is away. */
  click(id) {
    this.set(id, this.has(id) ? "" : "odd");
  }

  /** Mark, or take the same mark away; where a card is named, "odd" takes the name away. */
  toggle(id, mark) {
    const now = this.get(id);
    this.set(id, now === mark || (isName(now) && mark === "odd") ? "" : mark);
  }

  set(id, mark) {
    if (mark !== "") this.#of.set(id, mark);
    else this.#of.delete(id);
    this.#keep();
  }

  #keep() {
    keep("marks", Object.fromEntries(this.#of));
  }
}

/** Whether a mark is the class that a card is named. */
export const isName = (mark) => typeof mark === "number";

const isMark = (value) => WORDS.includes(value) || state.classes.has(value); // what was kept may be of other classes than there are now
