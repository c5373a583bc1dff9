// What is proposed enters; the list of sheets at the left, with what is open on each, and the sheet that comes next leave.

import { get } from "./api.js";
import { picturedClass, setFace } from "./chooser.js";
import { make } from "./dom.js";
import { tellCounts } from "./help.js";
import { className } from "./words.js";

export const MIXED = "mixed"; // the sheet of the classes with few signs
export const UNKNOWN = "none"; // that of what the models cannot name

/** The class that is proposed for all on a sheet; undefined: there is no such class. */
export const classOf = (id) => (id === UNKNOWN ? null : /^[0-9]+$/.test(id ?? "") ? Number(id) : undefined);

/** A sheet in words. */
export const sheetName = (id) => (id === MIXED ? "a few of each class" : className(classOf(id) ?? null));

/** The list of sheets; `onChosen(name)`. Its order stays while the page is open, so that nothing jumps. */
export class Sheets {
  #rows = [];
  #list = make("ul");
  #onChosen;
  #isPictured = false;
  #counts = make("p", { className: "counts" });
  element = make("nav", { className: "sheets", "aria-label": "Proposed classes" }, make("h2", { textContent: "Proposed classes" }), this.#list, this.#counts);

  constructor(onChosen) {
    this.#onChosen = onChosen;
    tellCounts(this.#counts);
  }

  /** Read the counts anew. */
  async load() {
    for (const { sheet, open, odd } of await get("/api/sheets")) {
      const row = this.#rows.find((one) => one.id === sheet) ?? this.#add(sheet);
      Object.assign(row, { open, odd });
      this.#tell(row);
    }
  }

  /** Show the classes' pictures: only once the first sheet has its crops, which matter more. */
  picture() {
    if (this.#isPictured) return;
    this.#isPictured = true;
    for (const { id, face } of this.#rows) setFace(face, classOf(id));
  }

  /** Mark the sheet that is shown. */
  point(id) {
    for (const row of this.#rows) {
      if (row.id === id) {
        row.link.setAttribute("aria-current", "true");
        row.link.scrollIntoView({ block: "nearest" });
      } else row.link.removeAttribute("aria-current");
    }
  }

  /** Some of a sheet were decided, some put aside. */
  less(id, decided, aside) {
    const row = this.#rows.find((one) => one.id === id);
    if (!row) return;
    row.open = Math.max(0, row.open - decided);
    row.odd = Math.min(row.open, row.odd + aside);
    this.#tell(row);
  }

  /** Whether there is such a sheet. */
  has(id) {
    return this.#rows.some((row) => row.id === id);
  }

  /** Sheets that have cards, in the order of the list, those behind `id` first, `id` itself last. */
  after(id) {
    const at = this.#rows.findIndex((row) => row.id === id) + 1;
    return [...this.#rows.slice(at), ...this.#rows.slice(0, at)].filter((row) => row.open > row.odd).map((row) => row.id);
  }

  /** The sheet above (-1) or below (1) in the list. */
  beside(id, step) {
    const at = this.#rows.findIndex((row) => row.id === id);
    return this.#rows[(at + step + this.#rows.length) % this.#rows.length]?.id;
  }

  #add(id) {
    const count = make("span", { className: "count" });
    const face = picturedClass(this.#isPictured ? classOf(id) : null);
    const link = make("button", { type: "button" }, face, make("span", { className: "name", textContent: sheetName(id) }), count);
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
