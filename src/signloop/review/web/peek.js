// A card enters; the sign large, beside all cards so that it hides none of them, and the whole frame with its box leave.

import { find } from "./api.js";
import { make } from "./dom.js";
import { Frame } from "./frame.js";
import { crop, frame } from "./pictures.js";
import { origin, sureness } from "./words.js";

const WAIT_MS = 300; // of the pointer, before the sign is shown large
const LARGE = 320;
const SECOND = 160;

/** What is shown of a card on hover, and with a key. */
export class Peek {
  #image = make("img", { alt: "", width: LARGE, height: LARGE });
  #second = make("img", { alt: "", width: SECOND, height: SECOND });
  #words = make("p");
  #small = new Frame();
  #near = make("aside", { className: "peek", hidden: true, ariaHidden: "true" }, this.#image, this.#second, this.#small.element, this.#words);
  #large = new Frame();
  #title = make("h2", { tabIndex: -1 });
  #dialog = make("dialog", { className: "whole" }, this.#title, this.#large.element);
  #timer = 0;
  #card = null;
  elements = [this.#near, this.#dialog];

  constructor() {
    this.#dialog.addEventListener("keydown", (event) => {
      const direction = { "+": 1, "-": -1 }[event.key];
      if (direction) this.#large.zoom(direction);
      else if (event.key === "f") this.#dialog.close();
      else return;
      event.preventDefault();
    });
  }

  /** The pointer came onto a card. */
  enter(card) {
    this.leave();
    this.#card = card;
    this.#timer = setTimeout(() => this.#showNear(card), WAIT_MS);
  }

  /** It went away. */
  leave() {
    clearTimeout(this.#timer);
    this.#card = null;
    this.#near.hidden = true;
  }

  /** Show the whole frame at full size. */
  async whole(card) {
    this.leave();
    const boxed = await boxOf(card);
    if (!boxed) return;
    this.#title.textContent = `${sureness(card)} · ${origin(card)} · Escape or F closes, + and - zoom`;
    this.#dialog.showModal();
    this.#title.focus();
    showIn(this.#large, card, boxed);
  }

  async #showNear(card) {
    const boxed = await boxOf(card);
    if (!boxed || this.#card !== card) return;
    this.#image.src = crop(card, card.index, LARGE);
    this.#second.hidden = card.contrary === null;
    if (card.contrary !== null) this.#second.src = crop(card, card.contrary, SECOND);
    this.#words.textContent = `${origin(card)} · ${card.reason}`;
    this.#near.hidden = false;
    showIn(this.#small, card, boxed);
  }
}

async function boxOf(card) {
  const detail = card.index === null ? null : await find(`/api/signs/${card.item_id}`);
  const box = detail?.boxes.find((one) => one.index === card.index);
  return box ? { detail, box } : null;
}

function showIn(view, card, { detail, box }) {
  view.show(frame(card.recording_id, card.index), detail.width, detail.height, [{ xyxy: box.xyxy, kind: "own" }], `the frame of ${origin(card)}`);
  view.whole();
}
