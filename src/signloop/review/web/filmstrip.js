// The boxes of one sign over time enter, the frame that the person chose and the frames that were on the screen leave.

import { make } from "./dom.js";
import { isCut } from "./geometry.js";
import { crop, isLoaded, loadCrop } from "./pictures.js";
import { moment, one } from "./words.js";

const MOST = 36; // crops on the screen
const WIDTH = 864; // px of a row of them
const ROOM = 10; // px around a crop
const LARGEST = 86; // px of a crop on the screen
const SMALLEST = 40; // px; where even these take more than a row, there are two
const LEGIBLE = 70; // px that a note on a crop needs
const SIDE = 96; // px of a crop as it is sent
const REST_MS = 150; // a person who is faster than this does not look at it

/** Crops of one sign; `onChosen(box)` runs when another frame is chosen. Only frames whose picture is stored are shown. */
export class Filmstrip {
  #card = null;
  #frame = { width: 1, height: 1 };
  #boxes = [];
  #at = 0;
  #from = 0;
  #seen = new Set();
  #timer = 0;
  #onChosen;
  #places = Array.from({ length: MOST }, (_, k) => this.#place(k));
  #before = this.#more("‹", "earlier", () => this.step(this.#from - 1 - this.#at));
  #behind = this.#more("›", "later", () => this.step(this.#from + MOST - this.#at));
  #words = make("p");
  #row = make("div", { className: "places" }, ...this.#places.map((place) => place.element));
  element = make(
    "div", { className: "filmstrip", role: "group", "aria-label": "The same one over time" },
    make("div", {}, this.#before.element, this.#row, this.#behind.element), this.#words,
  );

  constructor(onChosen) {
    this.#onChosen = onChosen;
    this.element.addEventListener("wheel", (event) => this.step(Math.sign(event.deltaY)), { passive: true });
  }

  /** Show a sign, at a frame or, if it has no box there (any more), at the nearest one. */
  show(detail, index) {
    const isOther = detail.card.item_id !== this.#card?.item_id;
    this.#card = detail.card;
    this.#boxes = stored(detail);
    this.#frame = detail;
    if (isOther) this.#seen.clear();
    this.#at = nearest(this.#boxes, index);
    this.#from = first(this.#at, this.#boxes.length);
    this.#paint(isOther);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#paint(), REST_MS);
  }

  /** Choose an earlier (-1) or a later (1) frame. */
  step(by) {
    const to = this.#at + by;
    if (!this.#boxes[to]) return;
    this.#at = to;
    if (to < this.#from) this.#from = to;
    if (to >= this.#from + MOST) this.#from = to - MOST + 1;
    this.#paint();
    this.#onChosen(this.#boxes[to]);
  }

  /** Choose the first (-1) or the last (1) frame. */
  jump(way) {
    this.step(way < 0 ? -this.#at : this.#boxes.length - 1 - this.#at);
  }

  /** The box that is chosen; undefined if no picture is stored. */
  get box() {
    return this.#boxes[this.#at];
  }

  /** Frames that were on the screen. */
  get seen() {
    return [...this.#seen].sort((a, b) => a - b);
  }

  /** The frame was on the screen elsewhere: large. */
  see(index) {
    this.#seen.add(index);
  }

  /** A button to pictures that do not fit on the screen. */
  #more(sign, word, run) {
    const number = make("strong");
    const element = make("button", { type: "button", className: "more none", tabIndex: -1 }, make("span", { textContent: sign }), number, word);
    element.addEventListener("click", run);
    const tell = (left) => {
      number.textContent = String(left);
      element.classList.toggle("none", left <= 0);
    };
    return { element, tell };
  }

  /** What makes a picture doubtful, in words; "" if nothing does. */
  #note({ index, xyxy, guessed }) {
    if (isCut(xyxy, this.#frame)) return "at the edge";
    if (guessed) return "unsure box";
    return index === this.#card.contrary ? "another?" : "";
  }

  #place(k) {
    const image = make("img", { alt: "", draggable: false });
    const element = make("button", { type: "button", tabIndex: -1 }, image, make("span", { className: "gone", textContent: "no picture" }));
    image.addEventListener("error", () => element.classList.add("missing"));
    image.addEventListener("load", () => this.#boxes[this.#from + k] && this.see(this.#boxes[this.#from + k].index));
    element.addEventListener("click", () => this.step(this.#from + k - this.#at));
    return { element, image };
  }

  /** Show the crops; if `atOnce`, only those that are here already. */
  #paint(atOnce = false) {
    const side = sideOf(this.#boxes.length);
    this.#row.style.setProperty("--side", `${side}px`);
    this.#row.classList.toggle("small", side < LEGIBLE);
    this.#places.forEach(({ element, image }, k) => {
      const box = this.#boxes[this.#from + k];
      element.classList.toggle("none", !box);
      element.classList.toggle("at", this.#from + k === this.#at);
      element.classList.toggle("later", this.#at > 0 && this.#from + k >= this.#at);
      element.dataset.note = box ? this.#note(box) : "";
      const url = box && crop(this.#card, box.index, SIDE);
      if (image.getAttribute("src") !== url) element.classList.remove("missing");
      if (!url || (atOnce && !isLoaded(url))) image.removeAttribute("src");
      else if (image.getAttribute("src") !== url) image.src = url;
      element.ariaLabel = box ? `frame at ${moment(box.time_s)}` : "";
      element.disabled = !box;
    });
    this.#before.tell(this.#from);
    this.#behind.tell(this.#boxes.length - this.#from - MOST);
    this.#words.textContent = this.box ? this.#told(this.box) : "No picture is stored (yet).";
  }

  #told(box) {
    const [at, all] = [this.#at + 1, this.#boxes.length];
    const place = `Picture ${at} of ${all} (← →)${box.moved ? ", box corrected" : ""}.`;
    const parts = at > 1 && `Another ${one()} from here on? S splits ${range(1, at - 1)} from ${range(at, all)}.`;
    return [place, TOLD[this.#note(box)], parts].filter(Boolean).join(" ");
  }
}

/** Load the crops that are shown first. */
export function loadStrip(detail) {
  const boxes = stored(detail);
  const at = Math.max(0, boxes.findIndex((box) => box.index === detail.card.index));
  const from = first(at, boxes.length);
  for (const box of boxes.slice(from, from + MOST)) loadCrop(crop(detail.card, box.index, SIDE));
}

const nearest = (boxes, index) => {
  const far = boxes.map((box) => Math.abs(box.index - index));
  return Math.max(0, far.indexOf(Math.min(...far)));
};
/** How large crops are shown (px): all of them are, as long as that tells anything. */
const sideOf = (number) => Math.max(SMALLEST, Math.min(LARGEST, Math.floor(WIDTH / number) - ROOM));
const TOLD = {
  "another?": "The models see something else in this one.",
  "at the edge": "Partly out of view: right if it is still the same.",
  "unsure box": "This box may be wrong: D takes it off, E also all later ones.",
};
const range = (from, to) => (from === to ? `${from}` : `${from}–${to}`);
const stored = (detail) => detail.boxes.filter((box) => box.stored);
const first = (at, number) => Math.max(0, Math.min(at - (MOST >> 1), number - MOST));
