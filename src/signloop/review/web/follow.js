// A box that was drawn and named in one frame enters; that box, and those of the frames around in which the person sees the same thing, leave.

import { find } from "./api.js";
import { button, make } from "./dom.js";
import { nameOf } from "./keys.js";
import { region } from "./pictures.js";
import { moment, one } from "./words.js";

const SIDE = 96; // px of a crop as it is sent
const SHOWN = 76; // px on the screen; with twelve in a row, as in style.css
const LARGE = 160; // px, of the drawn box that all are compared with

/** The strip of crops to confirm; what is kept is one run around the drawn box. */
export class FollowPanel {
  #places = []; // {box, element, image, mark}
  #own = 0;
  #first = 0;
  #last = 0;
  #at = 0;
  #answer = null; // boxes to keep, once the person has said which
  #drawn = null;
  #isLost = false; // it was looked for, and not found
  #picture = make("img", { alt: "", width: LARGE, height: LARGE, draggable: false });
  #title = make("h1", { tabIndex: -1 });
  #words = make("p", { role: "status" });
  #strip = make("div", { className: "strip", role: "group", "aria-label": `The same ${one()} in the frames around` });
  #take = button("", "Enter", () => this.#done(), "main");
  #buttons = make(
    "div", { className: "buttons" },
    this.#take, button("only in this frame", "O", () => this.close()), button("back, add nothing yet", "Esc", () => this.element.close()),
  );
  element = make(
    "dialog", { className: "follow", "aria-label": "The frames around" },
    make("figure", {}, this.#picture, make("figcaption", { textContent: "what you drew" })),
    make("div", {}, this.#title, this.#words, this.#strip, this.#buttons),
  );

  constructor() {
    addEventListener("keydown", (event) => this.element.open && this.#key(event)); // wherever the focus is after a click
  }

  /** Whether the box that was asked for last was looked for in vain: then the person was not asked. */
  get isLost() {
    return this.#isLost;
  }

  /** Look for a box in the frames around and ask the person; resolves with the boxes to keep, the drawn one among them; null: none yet.
   * `advice` is said before what can be done. */
  async ask({ recording_id, index }, xyxy, name, advice = "") {
    const drawn = { index, xyxy, seen: true };
    this.#drawn = drawn;
    const left = new Promise((resolve) => this.element.addEventListener("close", () => resolve(null), { once: true }));
    this.#begin(name, region(recording_id, index, xyxy, LARGE));
    const [x1, y1, x2, y2] = xyxy;
    const found = await Promise.race([find(`/api/follow/${recording_id}/${index}?x1=${x1}&y1=${y1}&x2=${x2}&y2=${y2}`), left]);
    if (!this.element.open) return this.#answer; // the person did not wait
    this.#isLost = !found || found.length < 2;
    if (this.#isLost) this.close();
    else this.#show(recording_id, found, drawn, advice);
    await left;
    return this.#answer;
  }

  /** Leave; the drawn box alone is kept. */
  close() {
    if (!this.element.open) return;
    this.#answer = [this.#drawn];
    this.element.close();
  }

  get #kept() {
    return this.#places.slice(this.#first, this.#last + 1);
  }

  #begin(name, url) {
    this.#places = [];
    this.#answer = null;
    this.#isLost = false;
    this.#picture.src = url;
    this.#title.replaceChildren("Is this the same ", make("strong", { textContent: name }), " in all pictures?");
    this.#words.textContent = "Looking for it in the frames around …";
    this.#strip.replaceChildren();
    this.#take.hidden = true;
    this.element.showModal();
    this.#title.focus();
  }

  #show(recordingId, boxes, drawn, advice) {
    this.#places = boxes.map((box, k) => this.#place(recordingId, box.index === drawn.index ? { ...box, xyxy: drawn.xyxy } : box, k));
    this.#own = boxes.findIndex((box) => box.index === drawn.index);
    [this.#first, this.#last] = [0, boxes.length - 1];
    this.#strip.replaceChildren(...this.#places.map((place) => place.element));
    this.#take.hidden = false;
    this.#words.textContent = `${advice}Where it is another one, or the box is off: click the picture, or ← → and X. Those beyond it go too.`;
    this.#paint();
    this.#point(this.#own);
  }

  #place(recordingId, box, k) {
    const image = make("img", { alt: "", width: SHOWN, height: SHOWN, draggable: false, src: region(recordingId, box.index, box.xyxy, SIDE) });
    const mark = make("span", { className: "mark" });
    const element = make("button", { type: "button", tabIndex: -1 }, image, mark);
    element.addEventListener("click", () => {
      this.#point(k);
      this.#drop(k);
    });
    element.addEventListener("focus", () => (this.#at = k));
    return { box, element, image, mark };
  }

  #paint() {
    this.#places.forEach(({ box, element, mark }, k) => {
      const isKept = k >= this.#first && k <= this.#last;
      const said = k === this.#own ? "drawn" : isKept ? "" : "not";
      element.dataset.mark = said;
      mark.textContent = { drawn: "drawn", not: "✕ left out", "": moment(box.time_s) }[said];
      element.ariaLabel = [`frame at ${moment(box.time_s)}`, { drawn: "drawn", not: "left out", "": "" }[said]].filter(Boolean).join(", ");
      element.ariaPressed = String(isKept);
    });
    const { length } = this.#kept;
    this.#take.firstElementChild.textContent = length === this.#places.length ? `yes, in all ${length}` : `take ${length} of ${this.#places.length}`;
  }

  /** Leave out a crop and all beyond it; one that is left out comes back, with all up to it. */
  #drop(k) {
    if (k === this.#own) this.#words.textContent = "This is the one that you drew. To change or remove it, go back with Escape.";
    else if (k > this.#own) this.#last = k <= this.#last ? k - 1 : k;
    else this.#first = k >= this.#first ? k + 1 : k;
    this.#paint();
  }

  #point(k) {
    const place = this.#places[k];
    if (!place) return;
    this.#places[this.#at]?.element.setAttribute("tabindex", "-1");
    place.element.tabIndex = 0;
    place.element.focus();
    this.#at = k;
  }

  #key(event) {
    const pressed = nameOf(event);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[pressed];
    if (step) this.#point(this.#at + step);
    else if (pressed === "x" && this.#places.length) !event.repeat && this.#drop(this.#at);
    else if (pressed === "o") this.close();
    else if (pressed === "Enter" && !this.#buttons.contains(event.target)) !event.repeat && this.#done();
    else return;
    event.preventDefault();
  }

  #done() {
    if (!this.#places.length) return;
    const loading = this.#kept.filter(({ image }) => !image.complete).length;
    if (loading) {
      this.#words.textContent = `${loading} pictures are still loading: nothing was taken yet.`;
      return;
    }
    this.#answer = this.#kept.map(({ box, image }) =>
      box.index === this.#drawn.index ? this.#drawn : { index: box.index, xyxy: box.xyxy, seen: isShown(image) },
    );
    this.element.close();
  }
}

const isShown = (image) => image.complete && image.naturalWidth > 0;
