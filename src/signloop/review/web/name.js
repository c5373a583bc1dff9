// Cards of a sheet enter, the one class that the person gives to those that are chosen leaves: the likeliest, or one that is searched by name.

import { Chooser } from "./chooser.js";
import { make } from "./dom.js";
import { state } from "./state.js";
import { one } from "./words.js";

const MOST = 5; // likeliest classes, first in the list
const SIDE = 76; // px of a crop in the row

/** The panel to name cards; `onChosen(classId, places)`. */
export class NamePanel {
  #all = [];
  #chosen = new Set();
  #together = []; // that get the name together by one key
  #pictures = new Map(); // place -> its button in the row
  #onChosen;
  #title = make("h1");
  #words = make("p");
  #row = make("div", { className: "row", role: "group", "aria-label": "Cards that get the name" });
  #chooser = new Chooser((id) => this.#choose(id), () => this.close(), "Type a name");
  element = make("dialog", { className: "name-cards" }, this.#title, this.#row, this.#words, this.#chooser.element);

  constructor(onChosen) {
    this.#onChosen = onChosen;
    // After a click beside the field the keyboard goes there again: a name may begin with any letter or digit.
    addEventListener("keydown", (event) => this.element.open && !event.target.matches("input") && event.key.length === 1 && event.key !== " " && this.#chooser.again(this.#likely));
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.target.value) return; // in a name that is being typed it is a letter
      event.preventDefault();
      event.stopPropagation();
      this.#other();
    }, true);
  }

  /** Ask what the chosen ones of these places are; the others may be chosen, too, those of `together` by one key. */
  open(places, chosen, together) {
    this.#all = places;
    this.#together = together;
    this.#chosen = new Set(chosen);
    this.#pictures = new Map(places.map((place) => [place, this.#picture(place)]));
    this.#row.replaceChildren(...this.#pictures.values());
    this.#tell();
    this.element.showModal();
    this.#chooser.open(this.#likely);
  }

  close() {
    this.element.close();
  }

  #picture(place) {
    const element = make("button", { type: "button", tabIndex: -1 }, place.copy(SIDE));
    element.addEventListener("click", () => this.#toggle(place));
    return element;
  }

  #toggle(place) {
    if (!this.#chosen.delete(place)) this.#chosen.add(place);
    if (!this.#chosen.size) this.#chosen.add(place); // one at least is named
    this.#again();
  }

  /** Those that belong together instead of others, or the first one instead of those. */
  #other() {
    if (this.#all.length === 1) return;
    this.#chosen = new Set(this.#isTogether ? this.#all.slice(0, 1) : this.#together);
    this.#again();
  }

  #again() {
    this.#tell();
    this.#chooser.again(this.#likely);
  }

  get #isTogether() {
    return this.#chosen.size === this.#together.length && this.#together.every((place) => this.#chosen.has(place));
  }

  /** Say which cards get the name. */
  #tell() {
    const [some, all] = [this.#chosen.size, this.#all.length];
    this.#title.textContent = some > 1 ? `What are these ${some}? All of them get the same name` : `What ${one()} is this?`;
    this.element.setAttribute("aria-label", this.#title.textContent);
    for (const [place, element] of this.#pictures) element.ariaPressed = String(this.#chosen.has(place));
    const pale = all - some === 1 ? "The pale one gets no name now: click it to add it" : `The ${all - some} pale ones get no name now: click one to add it`;
    const way = this.#together.includes(this.#all[0]) ? "adds all that are marked odd" : "names all that are marked odd instead";
    const others = this.#isTogether ? "/ : only the first one." : `${pale}, / ${way}.`;
    const ways = this.#likely.length ? "The likeliest classes come first: Enter takes the first, ↑ ↓ go to another; or type a name." : "Type a name, Enter takes the first class that fits.";
    const two = [...this.#chosen].some((place) => place.hasTwo) ? `A second picture shows another ${one()}? Then Escape, and O. ` : "";
    this.#words.textContent = `${two}${all > 1 ? `${others} ` : ""}${ways} Escape names nothing.`;
  }

  get #likely() {
    return likeliest([...this.#chosen].map((place) => place.card));
  }

  #choose(id) {
    this.close();
    this.#onChosen(id, [...this.#chosen]);
  }
}

/** What the models say of cards taken together, beside what they propose: classes, the likeliest first, with their mean confidence. */
function likeliest(cards) {
  const sums = new Map();
  for (const { class_id, confidence } of cards.flatMap((card) => card.others)) sums.set(class_id, (sums.get(class_id) ?? 0) + confidence);
  return [...sums]
    .filter(([id]) => state.classes.has(id) && !cards.every((card) => card.class_id === id))
    .map(([class_id, sum]) => ({ class_id, confidence: sum / cards.length }))
    .sort((one, other) => other.confidence - one.confidence)
    .slice(0, MOST);
}
