// The classes that are proposed enter; the list at the left of a sheet, with what is open in each, and the class that comes next leave.

import { get } from "./api.js";
import { picturedClass, setFace } from "./chooser.js";
import { make } from "./dom.js";
import { className } from "./words.js";

/** The list of classes; `onChosen(classId)`. Its order stays while the page is open, so that nothing jumps. */
export class Sheets {
  #rows = [];
  #list = make("ul");
  #onChosen;
  #isPictured = false;
  element = make("nav", { className: "sheets", "aria-label": "Proposed classes" }, make("h2", { textContent: "Proposed classes" }), this.#list);

  constructor(onChosen) {
    this.#onChosen = onChosen;
  }

  /** Read the counts anew. */
  async load() {
    const sheets = await get("/api/sheets");
    sheets.sort((a, b) => (a.class_id === null) - (b.class_id === null)); // those without a class come last
    for (const { class_id, open, odd } of sheets) {
      const row = this.#rows.find((one) => one.id === class_id) ?? this.#add(class_id);
      Object.assign(row, { open, odd });
      this.#tell(row);
    }
  }

  /** Show the classes' pictures: only once the first sheet has its crops, which matter more. */
  picture() {
    if (this.#isPictured) return;
    this.#isPictured = true;
    for (const { id, face } of this.#rows) setFace(face, id);
  }

  /** Mark the class that is shown. */
  point(id) {
    for (const row of this.#rows) {
      if (row.id === id) {
        row.link.setAttribute("aria-current", "true");
        row.link.scrollIntoView({ block: "nearest" });
      } else row.link.removeAttribute("aria-current");
    }
  }

  /** Some of a class were decided, some put aside. */
  less(id, decided, aside) {
    const row = this.#rows.find((one) => one.id === id);
    if (!row) return;
    row.open = Math.max(0, row.open - decided);
    row.odd = Math.min(row.open, row.odd + aside);
    this.#tell(row);
  }

  /** Classes that have cards, in the order of the list, those behind `id` first, `id` itself last. */
  after(id) {
    const at = this.#rows.findIndex((row) => row.id === id) + 1;
    return [...this.#rows.slice(at), ...this.#rows.slice(0, at)].filter((row) => row.open > row.odd).map((row) => row.id);
  }

  /** The class above (-1) or below (1) in the list. */
  beside(id, step) {
    const at = this.#rows.findIndex((row) => row.id === id);
    return this.#rows[(at + step + this.#rows.length) % this.#rows.length]?.id;
  }

  #add(id) {
    const count = make("span", { className: "count" });
    const face = picturedClass(this.#isPictured ? id : null);
    const link = make("button", { type: "button" }, face, make("span", { className: "name", textContent: className(id) }), count);
    const row = { id, open: 0, odd: 0, link, count, face };
    link.addEventListener("click", () => this.#onChosen(id));
    this.#rows.push(row);
    this.#list.append(make("li", {}, link));
    return row;
  }

  #tell({ open, odd, link, count }) {
    count.textContent = open === 0 ? "✓ done" : open === odd ? `${odd} aside` : String(open - odd);
    link.classList.toggle("done", open === odd);
  }
}
