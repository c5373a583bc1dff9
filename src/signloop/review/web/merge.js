// One sign and those that are near it enter; the one that is the same physical thing, as the person says, leaves.

import { make } from "./dom.js";
import { nameOf } from "./keys.js";
import { crop } from "./pictures.js";
import { className, one, person, sureness, moment, verdict } from "./words.js";

const SIDE = 160; // px of a crop as it is sent
const LARGE = 320;

/** The panel to choose what is merged; `onChosen(card)`. */
export class MergePanel {
  #cards = [];
  #onChosen;
  #title = make("h1", { tabIndex: -1 });
  #image = make("img", { alt: "", width: LARGE, height: LARGE });
  #words = make("p");
  #list = make("ol");
  element = make(
    "dialog", { className: "merge" }, this.#title,
    make("p", { textContent: "Press its number, or click it: both are one then. Escape: none of them." }),
    make("div", { className: "lists" }, make("div", { className: "shown" }, this.#image, this.#words), this.#list),
  );

  constructor(onChosen) {
    this.#onChosen = onChosen;
    this.#title.textContent = `Which of these is the same ${one()}?`;
    this.element.setAttribute("aria-label", this.#title.textContent);
    addEventListener("keydown", (event) => this.element.open && this.#key(event)); // wherever the focus is after a click
  }

  /** Show a sign and its neighbours, the nearest first. */
  open(card, near) {
    this.#cards = near;
    setPicture(this.#image, card, LARGE);
    this.#words.textContent = `This one: ${className(card.class_id)}, at ${moment(card.time_s)}`;
    this.#list.replaceChildren(...near.map((other, k) => make("li", {}, this.#place(card, other, k))));
    this.element.showModal();
    this.#title.focus(); // no button: a key pressed too late must not merge
  }

  close() {
    this.element.close();
  }

  #place(card, other, k) {
    const image = make("img", { alt: "", width: SIDE, height: SIDE, draggable: false });
    setPicture(image, other, SIDE);
    const given = other.answers.map((answer) => `${person(answer.annotator)}: ${verdict(answer)}`).join("; ");
    const texts = [sureness(other), `${moment(other.time_s)}${apart(card, other)}`, other.index === null ? "no picture" : given];
    const [name, ...facts] = texts.filter(Boolean).map((text) => make("span", { textContent: text }));
    name.className = "name";
    const words = make("span", { className: "words" }, make("kbd", { textContent: String(k + 1) }), name, ...facts);
    const element = make("button", { type: "button" }, image, words);
    element.addEventListener("click", () => this.#choose(k));
    return element;
  }

  #key(event) {
    const pressed = nameOf(event);
    if (/^[1-9]$/.test(pressed)) this.#cards[pressed - 1] && !event.repeat && this.#choose(pressed - 1);
    else if (pressed === "m") !event.repeat && this.close();
    else return;
    event.preventDefault();
  }

  #choose(k) {
    this.close();
    this.#onChosen(this.#cards[k]);
  }
}

function setPicture(image, card, side) {
  if (card.index === null) image.removeAttribute("src");
  else image.src = crop(card, card.index, side);
}

/** How much later or earlier the other is seen, in words. */
function apart(card, other) {
  if (card.time_s === null || other.time_s === null) return "";
  const seconds = other.time_s - card.time_s;
  if (Math.abs(seconds) < 0.05) return ", same time";
  return `, ${Math.abs(seconds).toFixed(1)} s ${seconds > 0 ? "later" : "earlier"}`;
}
