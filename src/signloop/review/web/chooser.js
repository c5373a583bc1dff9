// Letters of a name enter, the class that the person means leaves: a field and a list of all classes with their pictures.

import { make } from "./dom.js";
import { face } from "./pictures.js";
import { state } from "./state.js";
import { percent } from "./words.js";

const STEM = 4; // letters that the forms of a word have in common

/** Search by name; `onChosen(classId)`, `onLeft()` when the person gives up. */
export class Chooser {
  #onChosen;
  #onLeft;
  #input = make("input", {
    type: "text", autocomplete: "off", spellcheck: false, role: "combobox",
    "aria-label": "Search a class by name", "aria-controls": "classes", "aria-expanded": "true", "aria-autocomplete": "list",
  });
  #list = make("ul", { id: "classes", role: "listbox", "aria-label": "Classes" });
  #rows; // in the order of the taxonomy
  #shown; // those that fit, the best first
  #current = null;
  #first = []; // ids of those that stand first among classes that fit as well
  #none = make("p", { role: "status", textContent: "No class has these letters in its name, nor begins like it." });
  element = make("div", { className: "chooser" }, this.#input, this.#none, this.#list);

  constructor(onChosen, onLeft, placeholder = "Search by name  ( / )") {
    this.#input.placeholder = placeholder;
    this.#onChosen = onChosen;
    this.#onLeft = onLeft;
    this.#rows = state.about.classes.map((one) => this.#row(one));
    this.#filter();
    this.#input.addEventListener("input", () => {
      this.#filter();
      this.#point(this.#shown[0]);
    });
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#input.addEventListener("blur", () => this.#point(null));
  }

  /** Let the person type. `likely`: [{class_id, confidence}], shown first as long as nothing is typed. */
  open(likely = []) {
    this.clear();
    this.again(likely);
  }

  /** Let the person type on; what was typed stays. */
  again(likely) {
    this.#first = likely.map((one) => one.class_id);
    const sure = new Map(likely.map((one) => [one.class_id, percent(one.confidence)]));
    for (const row of this.#rows) row.sure.textContent = sure.get(row.id) ?? "";
    this.#filter();
    this.#input.focus();
    this.#point(this.#shown[0]);
  }

  /** Forget what was typed. */
  clear() {
    if (this.#input.value) {
      this.#input.value = "";
      this.#filter();
    }
    this.#point(null);
    this.#list.scrollTop = 0;
  }

  #row(one) {
    const picture = picturedClass(one.id);
    const sure = make("span", { className: "sure" });
    const node = make("li", { id: `class-${one.id}`, role: "option", ariaSelected: "false" }, picture, make("span", { textContent: one.name }), sure);
    node.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the keyboard
    node.addEventListener("click", () => this.#choose(one.id));
    return { node, sure, id: one.id, name: one.name.toLowerCase(), more: `${one.also} ${one.group}`.toLowerCase() };
  }

  /** Show the classes that fit what is typed, those whose name fits best first. */
  #filter() {
    const typed = this.#input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const all = (fit) => this.#rows.filter((row) => typed.every((word) => fit(`${row.name} ${row.more}`, word)));
    const exact = all((text, word) => text.includes(word));
    const fits = exact.length ? exact : all(isAlike); // nothing has these letters: perhaps another form of the word does
    const place = ({ id }) => (this.#first.includes(id) ? this.#first.indexOf(id) : this.#first.length);
    this.#shown = fits.sort((a, b) => misfit(a, typed) - misfit(b, typed) || place(a) - place(b));
    this.#list.replaceChildren(...this.#shown.map((row) => row.node));
    this.#none.hidden = this.#shown.length > 0;
  }

  #point(row) {
    if (this.#current) this.#current.node.ariaSelected = "false";
    this.#current = row ?? null;
    this.#input.setAttribute("aria-activedescendant", row?.node.id ?? "");
    if (!row) return;
    row.node.ariaSelected = "true";
    row.node.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      const to = this.#shown.indexOf(this.#current) + step;
      this.#point(this.#shown[Math.min(Math.max(to, 0), this.#shown.length - 1)]);
    } else if (event.key === "Enter" && this.#current && !event.repeat) this.#choose(this.#current.id);
    else if (event.key === "Escape") {
      this.#leave();
      this.#onLeft();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #choose(id) {
    this.#leave();
    this.#onChosen(id);
  }

  #leave() {
    this.clear();
    this.#input.blur();
  }
}

/** Whether a text has another form of a word: one that begins with the same letters. */
const isAlike = (text, word) => word.length >= STEM && words(text).some((part) => part.startsWith(word.slice(0, STEM)));

const words = (text) => text.split(/[^\p{L}\p{N}]+/u);

/** How far a class's name is from what was typed: it is that, begins so, has a word that begins so, holds it, or only other words for it do. */
function misfit({ name }, typed) {
  const text = typed.join(" ");
  if (name === text) return 0;
  if (name.startsWith(text)) return 1;
  if (typed.every((word) => words(name).some((part) => part.startsWith(word)))) return 2;
  return typed.every((word) => name.includes(word)) ? 3 : 4;
}

/** A class's picture; an empty place of the same size if it has none. */
export function picturedClass(id) {
  // Lazy: a list that nobody has opened yet would ask for all classes, before what is shown has its pictures.
  const image = make("img", { className: "face", alt: "", draggable: false, loading: "lazy" });
  setFace(image, id);
  return image;
}

/** Show a class in a place made by `picturedClass`. */
export function setFace(image, id) {
  if (state.classes.get(id)?.has_picture) image.src = face(id);
  else image.removeAttribute("src");
}
