// A picture with its boxes and moves of the mouse enter; a view to zoom and pan in, boxes that were drawn or corrected leave.

import { draw, make, set } from "./dom.js";
import { around, fitted, grip, LEAST, moved, sized, spanned } from "./geometry.js";

const STEP = 1.25; // of one zoom
const REACH = 9; // px on the screen, around a side that can be dragged
const CORNERS = [[0, 1], [2, 1], [0, 3], [2, 3]];

/** One picture on the screen; its element is reused for all frames. */
export class Frame {
  #svg = draw("svg", { "aria-hidden": "true" });
  #image = draw("image", { preserveAspectRatio: "none" });
  #layer = draw("g");
  #missing = make("p", { className: "missing", hidden: true, textContent: "The picture of this frame is not stored (yet)." });
  #frame = { width: 1, height: 1 };
  #view = { x: 0, y: 0, w: 1, h: 1 };
  #marks = [];
  #edited = null; // {xyxy, changed}
  #drag = null;
  #drawn = null;
  #shown = null;
  element = make("div", { className: "frame", role: "img" }, this.#svg, this.#missing);

  /** `onShown` runs once the picture is loaded; `onDrawn(xyxy)` makes dragging draw a box, otherwise it moves the view. */
  constructor({ onShown = () => {}, onDrawn = null } = {}) {
    this.#drawn = onDrawn;
    this.#shown = onShown;
    this.#svg.append(this.#image, this.#layer);
    this.#image.addEventListener("load", () => this.#shown());
    this.#image.addEventListener("error", () => (this.#missing.hidden = false));
    this.#svg.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.#svg.addEventListener("pointerdown", (event) => this.#down(event));
    this.#svg.addEventListener("pointermove", (event) => this.#move(event));
    this.#svg.addEventListener("pointerup", (event) => this.#up(event));
    this.#svg.addEventListener("pointercancel", () => (this.#drag = null));
    new ResizeObserver(() => this.#look(this.#view)).observe(this.#svg);
  }

  /** Show a picture (null: there is none); `marks`: [{xyxy, label, kind}]. */
  show(url, width, height, marks, words) {
    this.element.setAttribute("aria-label", words);
    this.#frame = { width, height };
    this.#edited = null;
    this.#drag = null;
    this.#missing.hidden = url !== null;
    set(this.#image, { width, height });
    if (url === null) this.#image.removeAttribute("href");
    else set(this.#image, { href: url });
    this.mark(marks);
  }

  /** Show other boxes on the same picture. */
  mark(marks) {
    this.#marks = marks;
    this.#paint();
  }

  /** Look at a box with what is around it. */
  zoomTo(xyxy, factor = 5) {
    this.#look(around(xyxy, factor, 120, this.#frame, this.#shape));
  }

  /** Look at the whole frame. */
  whole() {
    this.#look({ x: 0, y: 0, w: Infinity });
  }

  /** Zoom in (1) or out (-1) at a point of the frame, or in the middle. */
  zoom(direction, at = { x: this.#view.x + this.#view.w / 2, y: this.#view.y + this.#view.h / 2 }) {
    const factor = direction > 0 ? 1 / STEP : STEP;
    const { x, y, w } = this.#view;
    this.#look({ x: at.x - (at.x - x) * factor, y: at.y - (at.y - y) * factor, w: w * factor });
  }

  /** Let the person correct a box; `changed(xyxy)` is told of each move. */
  edit(xyxy, changed = () => {}) {
    this.#edited = { xyxy, changed };
    this.#paint();
  }

  /** The box as corrected so far; null if none is. */
  get edited() {
    return this.#edited?.xyxy ?? null;
  }

  /** End correcting. */
  stop() {
    this.#edited = null;
    this.#paint();
  }

  /** Correct the box by an arrow key, with Shift its size. */
  nudge(key) {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key.replace("Shift+", "")];
    const { width, height } = this.#frame;
    const { xyxy } = this.#edited;
    this.#correct(key.startsWith("Shift+") ? sized(xyxy, "rb", dx, dy, width, height) : moved(xyxy, dx, dy, width, height));
  }

  /** A box of fair size in the middle of what is looked at. */
  middle() {
    const { x, y, w, h } = this.#view;
    const half = Math.max(LEAST, Math.min(w, h) / 12);
    return [x + w / 2 - half, y + h / 2 - half, x + w / 2 + half, y + h / 2 + half];
  }

  get #shape() {
    return (this.#svg.clientWidth || 4) / (this.#svg.clientHeight || 3);
  }

  get #unit() {
    return this.#view.w / (this.#svg.clientWidth || 1);
  }

  #look(view) {
    this.#view = fitted(view, this.#frame, this.#shape);
    set(this.#svg, { viewBox: `${this.#view.x} ${this.#view.y} ${this.#view.w} ${this.#view.h}` });
    this.#paint();
  }

  #correct(xyxy) {
    this.#edited.xyxy = xyxy.map((value) => Math.round(value * 10) / 10);
    this.#edited.changed(this.#edited.xyxy);
    this.#paint();
  }

  #paint() {
    const marks = this.#edited ? [...this.#marks, { xyxy: this.#edited.xyxy, kind: "edited" }] : this.#marks;
    this.#layer.replaceChildren(...marks.flatMap((mark) => this.#outline(mark)), ...(this.#edited ? this.#handles() : []));
  }

  #outline({ xyxy: [x1, y1, x2, y2], label, kind }) {
    const place = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
    const parts = [draw("rect", { ...place, class: "halo" }), draw("rect", { ...place, class: `box ${kind}` })];
    if (label) {
      const size = 13 * this.#unit;
      const text = draw("text", { x: x1, y: y1 > size * 1.4 ? y1 - size * 0.4 : y2 + size * 1.1, "font-size": size, "stroke-width": size / 4 });
      text.textContent = label;
      parts.push(text);
    }
    return parts;
  }

  #handles() {
    const side = 9 * this.#unit;
    return CORNERS.map(([h, v]) => {
      const [x, y] = [this.#edited.xyxy[h], this.#edited.xyxy[v]];
      return draw("rect", { x: x - side / 2, y: y - side / 2, width: side, height: side, class: "handle" });
    });
  }

  #at(event) {
    const area = this.#svg.getBoundingClientRect();
    return { x: this.#view.x + (event.clientX - area.left) * this.#unit, y: this.#view.y + (event.clientY - area.top) * this.#unit };
  }

  #wheel(event) {
    event.preventDefault();
    this.zoom(event.deltaY < 0 ? 1 : -1, this.#at(event));
  }

  #down(event) {
    if (event.button !== 0) return;
    const from = this.#at(event);
    const sides = this.#edited && grip(this.#edited.xyxy, from, REACH * this.#unit);
    const kind = this.#edited && sides !== null ? "correct" : this.#drawn && !this.#edited ? "draw" : "pan";
    this.#drag = { kind, sides, from, box: this.#edited?.xyxy, view: this.#view, screen: [event.clientX, event.clientY] };
    this.#svg.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  #move(event) {
    if (!this.#drag) return;
    const { kind, sides, from, box, view, screen } = this.#drag;
    const { width, height } = this.#frame;
    const to = this.#at(event);
    if (kind === "correct") {
      const change = [to.x - from.x, to.y - from.y, width, height];
      this.#correct(sides ? sized(box, sides, ...change) : moved(box, ...change));
    } else if (kind === "draw") {
      this.#drag.spanned = spanned(from, to, width, height);
      this.#paint();
      this.#layer.append(...this.#outline({ xyxy: this.#drag.spanned, kind: "edited" }));
    } else {
      this.#look({ x: view.x - (event.clientX - screen[0]) * this.#unit, y: view.y - (event.clientY - screen[1]) * this.#unit, w: view.w });
    }
  }

  #up() {
    const box = this.#drag?.kind === "draw" && this.#drag.spanned;
    this.#drag = null;
    if (box && box[2] - box[0] >= LEAST && box[3] - box[1] >= LEAST) this.#drawn(box.map((value) => Math.round(value * 10) / 10));
    else this.#paint();
  }
}
