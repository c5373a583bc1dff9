// Cards of a sheet enter, the one class that the person gives to all of them leaves: the likeliest, or one that is searched by name.

import { Chooser } from "./chooser.js";
import { make } from "./dom.js";
import { state } from "./state.js";

const MOST = 5; // likeliest classes, first in the list
const SHOWN = 8; // crops in the row
const SIDE = 76; // px of each

/** The panel to name cards; `onChosen(classId, places)`. */
export class NamePanel {
  #places = [];
  #onChosen;
  #title = make("h1");
  #words = make("p");
  #row = make("div", { className: "row", ariaHidden: "true" });
  #chooser = new Chooser((id) => this.#choose(id), () => this.close());
  element = make("dialog", { className: "name-cards" }, this.#title, this.#words, this.#row, this.#chooser.element);

  constructor(onChosen) {
    this.#onChosen = onChosen;
    // After a click beside the field the keyboard goes there again: a name may begin with any letter or digit.
    addEventListener("keydown", (event) => this.element.open && !event.target.matches("input") && event.key.length === 1 && this.#chooser.again());
  }

  /** Ask what the cards in these places are, all of them `proposed` as one class (null: none). */
  open(places, question, proposed) {
    this.#places = places;
    this.#title.textContent = question;
    this.element.setAttribute("aria-label", question);
    const likely = likeliest(places.map((place) => place.card), proposed);
    const ways = likely.length ? "The likeliest come first: Enter takes the first, ↑ ↓ go to another; or type a name." : "The models know no other class here: type a name, Enter takes the first.";
    const all = places.length > 1 ? ` All ${places.length} get the same name.` : "";
    this.#words.textContent = `${ways}${all} Escape names nothing.`;
    this.#row.replaceChildren(...places.slice(0, SHOWN).map((place) => place.copy(SIDE)));
    if (places.length > SHOWN) this.#row.append(make("span", { textContent: `and ${places.length - SHOWN} more` }));
    this.element.showModal();
    this.#chooser.open(likely);
  }

  close() {
    this.element.close();
  }

  #choose(id) {
    this.close();
    this.#onChosen(id, this.#places);
  }
}

/** What the models say of cards taken together: classes, the likeliest first, with their mean confidence. */
function likeliest(cards, proposed) {
  const sums = new Map();
  for (const { class_id, confidence } of cards.flatMap((card) => card.others)) sums.set(class_id, (sums.get(class_id) ?? 0) + confidence);
  return [...sums]
    .filter(([id]) => id !== proposed && state.classes.has(id))
    .map(([class_id, sum]) => ({ class_id, confidence: sum / cards.length }))
    .sort((one, other) => other.confidence - one.confidence)
    .slice(0, MOST);
}
