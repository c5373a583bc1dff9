// The classes that the models find likeliest enter; their list, with the keys 1 to 5, and the class that the person means leave.

import { picturedClass, setFace } from "./chooser.js";
import { make } from "./dom.js";
import { className, percent } from "./words.js";

const MOST = 5;

/** The list of the likeliest classes; `onChosen(classId)`. */
export class Proposals {
  #ids = [];
  #onChosen;
  #places = Array.from({ length: MOST }, (_, k) => this.#place(k));
  element = make("ol", { className: "proposals", "aria-label": "Likeliest classes" }, ...this.#places.map((place) => make("li", {}, place.element)));

  constructor(onChosen) {
    this.#onChosen = onChosen;
  }

  /** Show classes, [{class_id, confidence}]; no confidence: not from the models. */
  show(classes, proposed) {
    this.#ids = classes.slice(0, MOST).map((one) => one.class_id);
    this.#places.forEach((place, k) => {
      const one = classes[k];
      place.element.classList.toggle("none", !one);
      place.element.disabled = !one;
      setFace(place.face, one?.class_id ?? null);
      place.name.textContent = one ? className(one.class_id) : "";
      place.sure.textContent = one?.confidence === undefined ? "" : percent(one.confidence);
      place.note.textContent = one && one.class_id === proposed ? "proposed" : "";
    });
  }

  /** Choose by key. */
  choose(key) {
    const id = this.#ids[Number(key) - 1];
    if (id !== undefined) this.#onChosen(id);
  }

  #place(k) {
    const [face, name] = [picturedClass(null), make("span", { className: "name" })];
    const [sure, note] = [make("span", { className: "sure" }), make("span", { className: "note" })];
    const element = make("button", { type: "button" }, make("kbd", { textContent: String(k + 1) }), face, name, note, sure);
    element.addEventListener("click", () => this.choose(k + 1));
    return { element, face, name, sure, note };
  }
}
