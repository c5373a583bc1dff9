// One sign enters, its place on a sheet leaves: crop, confidence and mark. Places are made once and reused for all sheets.

import { picturedClass, setFace } from "./chooser.js";
import { make } from "./dom.js";
import { isName } from "./marks.js";
import { className, inFrames, notOne, percent, sureness } from "./words.js";

const SECOND = 0.45; // of the side: how large the second picture is in a copy

/** A place on a sheet. */
export class Place {
  card = null;
  #image = make("canvas");
  #drawing = this.#image.getContext("bitmaprenderer");
  #contrary = make("canvas", { className: "contrary", hidden: true });
  #name = make("span", { className: "name" });
  #isNamed = false; // whether its class is told on it
  #face = picturedClass(null);
  #mark = make("span", { className: "mark" });
  #sure = make("span", { className: "sure" });
  #state = "empty"; // of the picture: empty, loading, shown, missing
  element = make("div", { className: "card", role: "option", tabIndex: -1, hidden: true }, this.#image, this.#contrary, this.#face, this.#name, this.#mark, this.#sure);

  /** Show a sign (null: the place stays empty), without its pictures as yet; what is shown already stays. `isNamed`: tell its class. */
  show(card, isNamed) {
    const isSame = card !== null && this.isShown && card.item_id === this.card.item_id && card.version === this.card.version;
    this.card = card;
    this.element.hidden = card === null;
    this.element.dataset.item = card?.item_id ?? "";
    if (!isSame) {
      this.#picture(card === null ? "empty" : card.index === null ? "missing" : "loading", null);
      this.#contrary.hidden = true;
    }
    this.#isNamed = isNamed;
    this.element.classList.toggle("named", isNamed);
    this.#name.textContent = isNamed ? className(card.class_id) : "";
    const parts = card === null ? [] : [inFrames(card), card.class_id === null ? "" : percent(card.confidence)];
    this.#sure.replaceChildren(...parts.filter(Boolean).map((text) => make("span", { textContent: text })));
  }

  /** Show the sign's picture; undefined: it cannot be had. */
  paint(bitmap) {
    this.#picture(bitmap ? "shown" : "missing", bitmap ?? null);
  }

  /** Show the picture in which the models see something else; undefined: there is none. */
  add(contrary) {
    this.#contrary.hidden = !contrary;
    this.#contrary.getContext("bitmaprenderer").transferFromImageBitmap(contrary ?? null);
  }

  #picture(state, bitmap) {
    this.#state = state;
    this.element.dataset.picture = state;
    this.#drawing.transferFromImageBitmap(bitmap);
  }

  /** Show how the person marked it, `odd`: what that mark is called here, and on a sheet of several classes what it is called. */
  mark(mark, odd) {
    const isNamed = isName(mark);
    const said = isNamed ? `→ ${className(mark)}` : { "": "", odd: `◆ ${odd}`, nothing: `✕ ${notOne()}` }[mark];
    const missing = this.#state === "missing" ? "no picture" : "";
    setFace(this.#face, isNamed ? mark : this.#isNamed ? this.card.class_id : null);
    this.element.dataset.mark = isNamed ? "named" : mark;
    this.element.ariaSelected = String(mark !== "");
    this.#mark.textContent = [missing, said].filter(Boolean).join(", ");
    const contrary = this.hasTwo ? "perhaps another thing at another time" : "";
    this.element.ariaLabel = [sureness(this.card), contrary, missing, said].filter(Boolean).join(", ");
  }

  /** A small copy of its picture, with the second one in a corner. */
  copy(side) {
    const canvas = make("canvas", { width: side, height: side });
    const drawing = canvas.getContext("2d");
    drawing.drawImage(this.#image, 0, 0, side, side);
    if (this.hasTwo) drawing.drawImage(this.#contrary, side * (1 - SECOND), side * (1 - SECOND), side * SECOND, side * SECOND);
    return canvas;
  }

  get isLoading() {
    return this.#state === "loading";
  }

  get isShown() {
    return this.#state === "shown";
  }

  get isMissing() {
    return this.#state === "missing";
  }

  /** Whether a second picture is there, of what may be another thing. */
  get hasTwo() {
    return !this.#contrary.hidden;
  }

  /** Frames in which the person has seen it. */
  get seen() {
    const { index, contrary } = this.card;
    return this.isShown ? [index, ...(this.hasTwo ? [contrary] : [])] : [];
  }
}
