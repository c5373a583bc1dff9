// Clicks and keys on sheets enter, which cards are marked leaves; marks stay until the card is answered, over other sheets, views and a reload.

import { keep, kept, state } from "./state.js";

const WORDS = ["odd", "nothing"];
const REMEMBERED = 2000; // marks of answered cards, for an undo

/** Marks of cards: item -> "odd", "nothing", or the id of the class that it is named. */
export class Marks {
  #of = null; // of cards that are not answered
  #answered = new Map(); // marks that an undo brings back
  #ids = []; // of the cards on the screen
  #past = []; // marks before each step of the person on these cards
  #future = []; // marks after each step that was taken back

  /** Other cards come: marks that were made on them before come back. */
  begin(ids) {
    this.#of ??= new Map(Object.entries(kept("marks", {})).filter(([, mark]) => isMark(mark)));
    for (const id of ids) {
      if (this.#answered.has(id) && !this.#of.has(id)) this.#of.set(id, this.#answered.get(id));
      this.#answered.delete(id);
    }
    this.#ids = ids;
    const isHere = (step) => step.every(([id]) => ids.includes(id)); // the same cards may have been read anew
    this.#past = this.#past.filter(isHere);
    this.#future = this.#future.filter(isHere);
    this.#keep();
  }

  /** The cards on the screen are answered. */
  end() {
    for (const id of this.#ids.filter((one) => this.#of.has(one))) {
      this.#answered.set(id, this.#of.get(id));
      this.#of.delete(id);
    }
    while (this.#answered.size > REMEMBERED) this.#answered.delete(this.#answered.keys().next().value);
    this.begin([]);
  }

  get(id) {
    return this.#of.get(id) ?? "";
  }

  has(id) {
    return this.#of.has(id);
  }

  /** What a click does: mark as odd, or take whatever mark there is away. */
  click(id) {
    this.change([[id, this.has(id) ? "" : "odd"]]);
  }

  /** Mark, or take the same mark away; where a card is named, "odd" takes the name away. */
  toggle(id, mark) {
    const now = this.get(id);
    this.change([[id, now === mark || (isName(now) && mark === "odd") ? "" : mark]]);
  }

  /** Mark some cards, [[item, mark]], in one step that can be taken back. */
  change(marks) {
    const others = marks.filter(([id, mark]) => mark !== this.get(id));
    if (!others.length) return; // a step that changes nothing would be taken back for nothing
    this.#past.push(others.map(([id]) => [id, this.get(id)]));
    this.#future = [];
    this.set(others);
  }

  /** Mark some cards, though not by the person's hand. */
  set(marks) {
    for (const [id, mark] of marks) {
      if (mark !== "") this.#of.set(id, mark);
      else this.#of.delete(id);
    }
    this.#keep();
  }

  /** Take the person's last step on these cards back, or do it again; returns the cards, none if there is no such step. */
  back(again) {
    const [from, to] = again ? [this.#future, this.#past] : [this.#past, this.#future];
    const step = from.pop() ?? [];
    if (!step.length) return [];
    to.push(step.map(([id]) => [id, this.get(id)]));
    this.set(step);
    return step.map(([id]) => id);
  }

  #keep() {
    keep("marks", Object.fromEntries(this.#of));
  }
}

/** Whether a mark is the class that a card is named. */
export const isName = (mark) => typeof mark === "number";

const isMark = (value) => WORDS.includes(value) || state.classes.has(value); // what was kept may be of other classes than there are now
