// Cards of a sheet enter, the one class that the person gives to all of them leaves: by 1 to 5 from what the models say of them, or by name.

import { Chooser } from "./chooser.js";
import { make } from "./dom.js";
import { nameOf } from "./keys.js";
import { Proposals } from "./proposals.js";
import { state } from "./state.js";

const MOST = 5; // likeliest classes, on the keys 1 to 5
const SHOWN = 8; // crops in the row
const SIDE = 76; // px of each

/** The panel to name cards; `onChosen(classId, places)`. */
export class NamePanel {
  #places = [];
  #onChosen;
  #title = make("h1", { tabIndex: -1 });
  #words = make("p");
  #row = make("div", { className: "row", ariaHidden: "true" });
  #proposals = new Proposals((id) => this.#choose(id));
  #chooser = new Chooser((id) => this.#choose(id), () => this.close());
  element = make(
    "dialog", { className: "name-cards" }, this.#title, this.#words, this.#row,
    make("div", { className: "lists" }, this.#proposals.element, this.#chooser.element),
  );

  constructor(onChosen) {
    this.#onChosen = onChosen;
    addEventListener("keydown", (event) => this.element.open && !event.defaultPrevented && this.#key(event)); // wherever the focus is after a click
  }

  /** Ask what the cards in these places are, all of them `proposed` as one class (null: none). */
  open(places, question, proposed) {
    this.#places = places;
    this.#title.textContent = question;
    this.element.setAttribute("aria-label", question);
    const likely = likeliest(places.map((place) => place.card), proposed);
    const digits = likely.length > 1 ? `1–${likely.length}` : "1";
    const ways = likely.length ? `Press ${digits}, or type a name and Enter.` : "The models know no other class here: type a name and Enter.";
    const all = places.length > 1 ? ` All ${places.length} get the same name.` : "";
    this.#words.textContent = `${ways}${all} Escape names nothing.`;
    this.#row.replaceChildren(...places.slice(0, SHOWN).map((place) => place.copy(SIDE)));
    if (places.length > SHOWN) this.#row.append(make("span", { textContent: `and ${places.length - SHOWN} more` }));
    this.#proposals.show(likely, null);
    this.#chooser.clear();
    this.element.showModal();
    if (likely.length) this.#title.focus(); // no button: a key pressed too late must name nothing
    else this.#chooser.open();
  }

  close() {
    this.element.close();
  }

  #key(event) {
    if (event.target.matches("input") || event.isComposing) return;
    const pressed = nameOf(event);
    if (/^[1-5]$/.test(pressed)) !event.repeat && this.#proposals.choose(pressed);
    else if (pressed === "/") this.#chooser.open();
    else {
      if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey) this.#chooser.open(); // and the letter goes there
      return;
    }
    event.preventDefault();
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
