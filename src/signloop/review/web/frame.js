// A picture with its boxes and moves of the mouse enter; a view to zoom and pan in, boxes that were drawn or corrected leave.

import { draw, make, set } from "./dom.js";
import { around, beside, fitted, grip, LEAST, moved, sized, spanned, under } from "./geometry.js";

const STEP = 1.5; // of one zoom
const MOST_TURNS = 2.5; // of one move of the wheel, about three times as near: what is looked at stays in sight
const TURN = 70; // px of a wheel for it: a notch, 100 px or more, is nearly twice as near; a trackpad goes in many small parts of it
const PAN = 0.15; // of what is looked at, for one key
const REACH = 9; // px on the screen, around a side that can be dragged
const CLICK = 4; // px on the screen; who moves less does not draw
const HANDLE = 8; // px on the screen
const SMALL = 48; // px on the screen; the handles of a smaller box lie outside of it
const LETTER = 13; // px on the screen
const NEAR = 0.06; // of what is looked at: so far around a place it matters for lightening it, as for a whole picture
const CORNERS = [[0, 1], [2, 1], [0, 3], [2, 3]];
const AWAY = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** One picture on the screen; its element is reused for all frames. */
export class Frame {
  static #made = 0;
  #svg = draw("svg", { "aria-hidden": "true" });
  #image = draw("image", { preserveAspectRatio: "none" });
  #layer = draw("g");
  #lift = document.querySelector("#lift").cloneNode(true);
  #missing = make("p", { className: "missing", hidden: true, textContent: "The picture of this frame is not stored (yet)." });
  #frame = { width: 1, height: 1 };
  #view = { x: 0, y: 0, w: 1, h: 1 };
  #marks = [];
  #edited = null; // {xyxy, changed}
  #drag = null;
  #isGrabbed = false; // dragging moves the view, whatever else it does
  #mouse = null; // where it is over the picture, px of the screen
  #widths = new Map(); // of labels, px on the screen
  #drawn = null;
  #picked = null;
  #shown = null;
  element = make("div", { className: "frame", role: "img" }, this.#svg, this.#missing);

  /**
   * `onShown` runs once the picture is loaded; `onDrawn(xyxy)` makes dragging draw a box, otherwise it moves the view; with it,
   * `onPicked(marks)` is told of a click: on which boxes, the smallest first.
   */
  constructor({ onShown = () => {}, onDrawn = null, onPicked = () => {} } = {}) {
    this.#drawn = onDrawn;
    this.#picked = onPicked;
    this.#shown = onShown;
    this.element.classList.toggle("draws", onDrawn !== null);
    this.#svg.append(this.#lift, this.#image, this.#layer);
    this.#lift.id = `lift-${++Frame.#made}`;
    this.#lift.removeAttribute("primitiveUnits"); // units of the frame
    this.#image.style.setProperty("--lift", `url("#${this.#lift.id}")`);
    this.#image.addEventListener("load", () => this.#shown());
    this.#image.addEventListener("error", () => (this.#missing.hidden = false));
    this.#svg.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.#svg.addEventListener("pointerdown", (event) => this.#down(event));
    this.#svg.addEventListener("pointermove", (event) => this.#move(event));
    this.#svg.addEventListener("pointerup", (event) => this.#up(event));
    this.#svg.addEventListener("pointercancel", () => (this.#drag = null));
    this.#svg.addEventListener("pointerleave", () => (this.#mouse = null));
    this.#svg.addEventListener("contextmenu", (event) => event.preventDefault()); // the right button moves the view
    addEventListener("keyup", (event) => event.key === " " && this.#grab(false));
    addEventListener("keyup", (event) => event.key.toLowerCase() === "h" && this.#bare(false));
    addEventListener("pointerup", () => this.#bare(false));
    addEventListener("blur", () => {
      this.#grab(false);
      this.#bare(false);
    });
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

  /** Move the view to a box that is not all in sight. */
  reveal([x1, y1, x2, y2]) {
    const { x, y, w, h } = this.#view;
    if (x1 < x || y1 < y || x2 > x + w || y2 > y + h) this.#look({ x: (x1 + x2 - w) / 2, y: (y1 + y2 - h) / 2, w });
  }

  /** Look at the whole frame. */
  whole() {
    this.#look({ x: 0, y: 0, w: Infinity });
  }

  /** Zoom in by steps (out: less than 0) at a point of the frame; without one at the box it is about, else at the mouse, else in the middle. */
  zoom(steps, point = null) {
    const factor = STEP ** -steps;
    const { x, y, w, h } = this.#view;
    const middle = { x: x + w / 2, y: y + h / 2 };
    const about = this.#edited ?? this.#marks.find(({ kind }) => kind === "own");
    if (about && !point) {
      const [x1, y1, x2, y2] = about.xyxy;
      this.#look({ x: (x1 + x2 - w * factor) / 2, y: (y1 + y2 - h * factor) / 2, w: w * factor });
    } else {
      const at = point ?? (this.#mouse && this.#at(...this.#mouse)) ?? middle;
      this.#look({ x: at.x - (at.x - x) * factor, y: at.y - (at.y - y) * factor, w: w * factor });
    }
  }

  /** Move the view by an arrow key. */
  pan(key) {
    const [right, down] = AWAY[key];
    const { x, y, w, h } = this.#view;
    this.#look({ x: x + right * PAN * w, y: y + down * PAN * h, w });
  }

  /** Let dragging move the view as long as Space is held. */
  grab() {
    this.#grab(true);
  }

  /** Leave out all boxes but the corrected one as long as H, or the mouse, is held. */
  bare() {
    this.#bare(true);
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
    const [dx, dy] = AWAY[key.replace("Shift+", "")];
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
    set(this.#lift.firstElementChild, { stdDeviation: NEAR * this.#view.w }); // one of the whole frame would take seconds where it is zoomed
    this.#paint();
  }

  #correct(xyxy) {
    this.#edited.xyxy = xyxy.map((value) => Math.round(value * 10) / 10);
    this.#edited.changed(this.#edited.xyxy);
    this.#paint();
  }

  #paint() {
    const isDrawing = Boolean(this.#drag?.spanned);
    const edited = this.#drag?.spanned ?? this.#edited?.xyxy;
    const outlines = this.#marks.flatMap(({ xyxy, kind }) => outline(xyxy, kind));
    const parts = [...outlines, ...this.#labels(edited ? [edited] : [])];
    if (edited) parts.push(...outline(edited, this.#isSmall(edited) ? "edited small" : "edited"), ...(isDrawing ? [] : this.#handles()));
    this.#layer.replaceChildren(...parts);
  }

  /** Labels beside their boxes, inside of what is seen of the picture. */
  #labels(others) {
    const named = this.#marks.filter(({ label }) => label);
    if (!named.length) return [];
    const { x, y, w, h } = this.#view;
    const [left, top] = [Math.max(x, 0), Math.max(y, 0)];
    const area = { x: left, y: top, w: Math.min(x + w, this.#frame.width) - left, h: Math.min(y + h, this.#frame.height) - top };
    const unit = this.#unit;
    const widest = area.w / unit;
    const texts = named.map(({ label }) => this.#fitting(label, widest));
    const sizes = texts.map((text) => ({ w: Math.min(this.#width(text), widest) * unit, h: LETTER * 1.25 * unit }));
    const spots = beside(named.map(({ xyxy }) => xyxy), sizes, area, 3 * unit, others);
    return spots.flatMap((spot, k) => {
      if (!spot) return [];
      const size = { "font-size": LETTER * unit, "stroke-width": (LETTER / 4) * unit };
      const text = draw("text", { x: spot.x + 2 * unit, y: spot.y + LETTER * unit, ...size });
      text.textContent = texts[k];
      return [text];
    });
  }

  /** A label, cut where it would not fit. */
  #fitting(label, widest) {
    const width = this.#width(label);
    return width <= widest ? label : `${label.slice(0, Math.floor((label.length * widest) / width) - 2)}…`;
  }

  #width(label) {
    if (!this.#widths.has(label)) {
      const pen = document.createElement("canvas").getContext("2d");
      pen.font = `600 ${LETTER}px ${getComputedStyle(this.#svg).fontFamily}`;
      this.#widths.set(label, pen.measureText(label).width + 4);
    }
    return this.#widths.get(label);
  }

  #handles() {
    const { xyxy } = this.#edited;
    const side = HANDLE * this.#unit;
    const out = this.#isSmall(xyxy) ? (side + this.#unit) / 2 : 0;
    return CORNERS.map(([h, v]) => {
      const [x, y] = [xyxy[h] + (h === 0 ? -out : out), xyxy[v] + (v === 1 ? -out : out)];
      return draw("rect", { x: x - side / 2, y: y - side / 2, width: side, height: side, class: "handle" });
    });
  }

  #isSmall([x1, y1, x2, y2]) {
    return Math.min(x2 - x1, y2 - y1) < SMALL * this.#unit;
  }

  #grab(isGrabbed) {
    this.#isGrabbed = isGrabbed;
    this.element.classList.toggle("grabbed", isGrabbed);
  }

  #bare(isBare) {
    this.element.classList.toggle("bare", isBare);
  }

  #at(clientX, clientY) {
    const area = this.#svg.getBoundingClientRect();
    return { x: this.#view.x + (clientX - area.left) * this.#unit, y: this.#view.y + (clientY - area.top) * this.#unit };
  }

  #wheel(event) {
    event.preventDefault();
    this.zoom(Math.max(-MOST_TURNS, Math.min(MOST_TURNS, -event.deltaY / TURN)), this.#at(event.clientX, event.clientY));
  }

  /** Sides of the corrected box that a point would drag, "" for all of it; null for none. */
  #grip(point) {
    return this.#edited && grip(this.#edited.xyxy, point, REACH * this.#unit);
  }

  #down(event) {
    if (event.button > 2 || this.#drag) return;
    const screen = [event.clientX, event.clientY];
    const from = this.#at(...screen);
    const sides = this.#grip(from);
    const isMoving = event.button !== 0 || this.#isGrabbed;
    const kind = isMoving ? "pan" : sides !== null ? "correct" : this.#drawn ? "draw" : "pan";
    this.#drag = { kind, sides, from, box: this.#edited?.xyxy, view: this.#view, screen };
    this.#svg.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  #move(event) {
    this.#mouse = [event.clientX, event.clientY];
    const to = this.#at(...this.#mouse);
    if (!this.#drag) {
      this.#svg.dataset.grip = this.#grip(to) ?? "none";
      return;
    }
    const { kind, sides, from, box, view, screen } = this.#drag;
    const { width, height } = this.#frame;
    const isClick = Math.hypot(event.clientX - screen[0], event.clientY - screen[1]) < CLICK;
    if (kind === "correct") {
      const change = [to.x - from.x, to.y - from.y, width, height];
      this.#correct(sides ? sized(box, sides, ...change) : moved(box, ...change));
    } else if (kind === "draw") {
      this.#drag.spanned = isClick ? null : spanned(from, to, width, height);
      this.#paint();
    } else {
      this.#look({ x: view.x - (event.clientX - screen[0]) * this.#unit, y: view.y - (event.clientY - screen[1]) * this.#unit, w: view.w });
    }
  }

  #up() {
    const isDrawing = this.#drag?.kind === "draw";
    const box = isDrawing && this.#drag.spanned;
    const hit = isDrawing && !box ? under(this.#marks.map(({ xyxy }) => xyxy), this.#drag.from) : null;
    this.#drag = null;
    if (hit) return this.#picked(hit.map((k) => this.#marks[k]));
    if (box && box[2] - box[0] >= LEAST && box[3] - box[1] >= LEAST) this.#drawn(box.map((value) => Math.round(value * 10) / 10));
    else this.#paint();
  }
}

function outline([x1, y1, x2, y2], kind) {
  const place = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
  return [draw("rect", { ...place, class: `halo ${kind}` }), draw("rect", { ...place, class: `box ${kind}` })];
}
