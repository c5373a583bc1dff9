// Open signs of one sheet enter, most of them called the same class, one act with an answer for each of them leaves: the odd ones are marked, or named, one key accepts the rest.

import { get } from "./api.js";
import { Place } from "./card.js";
import { picturedClass, setFace } from "./chooser.js";
import { button, make } from "./dom.js";
import { isName, Marks } from "./marks.js";
import { NamePanel } from "./name.js";
import { Peek } from "./peek.js";
import { cutOuts } from "./pictures.js";
import { classOf, MIXED, sheetName, Sheets, UNKNOWN } from "./sheets.js";
import { state } from "./state.js";
import { say } from "./toast.js";
import { many, notOne, one, origin } from "./words.js";

const MOST = 60; // cards on a screen
const ENOUGH = 30; // crops get as large as so many allow
const SIDES = [80, 240]; // px of a crop, least and most
const AROUND = [10, 30]; // px that a card needs beside its crop
const GAP = 6;
const PADDING = 3;
const AHEAD = 4; // sheets that are loaded before they are shown: some seconds of work even for who only presses Enter

/** The sheet view. `shared`: queue, clock, go(view, id). */
export class SheetView {
  #shared;
  #sheets = new Sheets((id) => this.#shared.go("sheet", id));
  #marks = new Marks();
  #peek = new Peek();
  #naming = new NamePanel((id, places) => this.#named(id, places));
  #places = Array.from({ length: MOST }, () => this.#place());
  #grid = make(
    "div", { className: "grid", role: "listbox", "aria-multiselectable": "true", "aria-label": "Crops" },
    ...this.#places.map((place) => place.element),
  );
  #face = picturedClass(null);
  #title = make("h1");
  #about = make("p");
  #accept = button("", "Enter", () => this.#answer(), "main");
  #allOdd = button("all odd", "⇧O", () => this.#rest("odd"));
  #allNothing = button(`rest: ${notOne()}`, "⇧X", () => this.#rest("nothing"));
  #name = button("name it", "/", () => this.#ask());
  #facts = make("p", { className: "facts" });
  #empty = make("div", { className: "empty", hidden: true });
  #sheet = undefined; // its name
  #shown = { id: undefined, cards: [] }; // the sheet that was shown last
  #cards = []; // of it, that are not answered
  #side = SIDES[0];
  #columns = 1;
  #fit = MOST;
  #at = 0;
  #hovered = null;
  #coming = []; // sheets that come next; their pictures are here, or on their way
  #filling = null;
  #course = 0; // changes when other sheets come next than those that were looked for
  #turn = 0;
  element = make(
    "section", { className: "sheet" }, this.#sheets.element,
    make(
      "div", { className: "work" },
      make("div", { className: "head" }, this.#face, make("div", {}, this.#title, this.#about), make("div", { className: "also" }, this.#name, this.#allOdd, this.#allNothing), this.#accept),
      this.#grid, this.#empty, this.#facts,
    ),
    ...this.#peek.elements, this.#naming.element,
  );
  bindings = [
    { keys: ["Enter"], text: "answer all cards of the sheet, and show the next sheet", run: () => this.#answer() },
    { keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], text: "go to another card", again: true, run: (key) => this.#walk(key) },
    { keys: ["o", "Space"], text: "mark the card as odd, or not: it is looked at one by one later (or click it)", run: () => this.#toggle("odd") },
    { keys: ["x"], text: `mark the card as ${notOne()} (or Shift+click, right click)`, run: () => this.#toggle("nothing") },
    { keys: ["/"], text: "name the card you are on; / once more: all that are marked odd, at once", run: () => this.#ask() },
    { keys: ["Shift+o"], text: "mark all unmarked cards as odd, where few are right: O takes the mark from these", run: () => this.#rest("odd") },
    { keys: ["Shift+x"], text: `mark all unmarked cards as ${notOne()}`, run: () => this.#rest("nothing") },
    { keys: ["f"], text: "see the whole frame of the card", run: () => this.#cards[this.#at] && this.#peek.whole(this.#cards[this.#at]) },
    { keys: ["[", "PageUp"], text: "the class above in the list", run: () => this.#beside(-1) },
    { keys: ["]", "PageDown"], text: "the class below in the list", run: () => this.#beside(1) },
  ];

  constructor(shared) {
    this.#shared = shared;
    let waiting = 0;
    new ResizeObserver(() => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.#measure() && this.#cards.length && this.element.isConnected && this.open(this.#sheet), 200);
    }).observe(this.#grid);
  }

  /** Show a sheet; undefined: the first that is open. */
  async open(id) {
    const turn = this.#begin();
    this.#measure();
    await this.#shared.queue.idle();
    await this.#sheets.load();
    if (turn !== this.#turn) return;
    const open = this.#sheets.after(undefined);
    const last = open.filter((one) => one === this.#sheet); // the person comes back to it
    for (const one of this.#sheets.has(id) ? [id] : new Set([...last, ...open])) {
      const cards = await this.#read(one, []);
      if (turn !== this.#turn) return;
      if (cards.length || one === id) return this.#show(this.#sheetOf(one, cards));
    }
    this.#show(this.#sheetOf(undefined, []));
  }

  close() {
    this.#begin();
    this.#peek.leave();
    this.#naming.close();
  }

  /** Take the last mark on this sheet back, or make it again; false if there is none. */
  unmark(again) {
    const ids = this.#marks.back(again);
    const changed = this.#places.filter((place) => ids.includes(place.card?.item_id));
    for (const place of changed) this.#tell(place);
    if (changed.length) this.#point(this.#places.indexOf(changed[0]));
    return changed.length > 0;
  }

  /** Something was taken back or done again: show where. */
  changed(detail) {
    this.open(detail?.card.sheet ?? this.#sheet);
  }

  /** Crops that fit: as large as possible, but enough of them. */
  #measure() {
    const [wide, high] = [this.#grid.clientWidth - 2 * PADDING, this.#grid.clientHeight - 2 * PADDING];
    const before = this.#fit;
    const fits = (all, one) => Math.max(1, Math.floor((all + GAP) / (one + GAP)));
    const rows = (side) => fits(high, side + AROUND[1]);
    this.#side = SIDES[1];
    while (this.#side > SIDES[0] && fits(wide, this.#side + AROUND[0]) * rows(this.#side) < ENOUGH) this.#side -= 2;
    this.#columns = fits(wide, this.#side + AROUND[0]);
    this.#fit = Math.min(MOST, this.#columns * rows(this.#side));
    this.#grid.style.setProperty("--side", `${this.#side}px`);
    return before !== this.#fit;
  }

  /** Side of a crop as it is sent, px. */
  get #sent() {
    return this.#side > 160 ? 320 : 160;
  }

  /** Another sheet is shown than the one that would come next. */
  #begin() {
    this.#coming = [];
    this.#filling = null;
    this.#course++;
    return ++this.#turn;
  }

  /** Read the cards of a sheet behind those that are known, but what is answered and perhaps not stored yet. */
  async #read(id, known) {
    const { queue } = this.#shared;
    const since = queue.moment;
    const behind = known.length ? `&after=${known.at(-1).item_id}` : "";
    const cards = await get(`/api/sheet?name=${id}&size=${this.#fit}&side=${this.#sent}${behind}`);
    const without = new Set(known.map((card) => card.item_id));
    return cards.filter((card) => !without.has(card.item_id) && !queue.said(card.item_id, since));
  }

  /** Cards of a sheet whose pictures are on their way, the second ones behind all first ones; `pictures` and `seconds`, once they are there. */
  #sheetOf(id, cards) {
    const sheet = { id, cards, pictures: null, seconds: null };
    sheet.loading = cutOuts(cards, "index", this.#sent).then((pictures) => (sheet.pictures = pictures));
    sheet.whole = sheet.loading.then(() => cutOuts(cards, "contrary", this.#sent)).then((seconds) => (sheet.seconds = seconds));
    return sheet;
  }

  #show(sheet) {
    const { id, cards } = sheet;
    this.#shown = sheet;
    this.#sheet = id;
    this.#cards = cards;
    this.#peek.leave();
    this.#naming.close();
    this.#shared.clock.take();
    this.#shared.place("sheet", id);
    this.#sheets.point(id);
    this.#marks.begin(cards.map((card) => card.item_id));
    this.#places.forEach((place, k) => {
      place.show(cards[k] ?? null, cards[k] !== undefined && cards[k].class_id !== classOf(id));
      if (cards[k]) this.#tell(place);
    });
    if (sheet.pictures) this.#paint(sheet);
    else sheet.loading.then(() => this.#cards === cards && this.#paint(sheet));
    if (sheet.seconds) this.#add(sheet);
    else sheet.whole.then(() => this.#cards === cards && this.#add(sheet));
    this.#grid.scrollTop = 0;
    this.#point(0);
    this.#head();
    this.#blank();
    sheet.loading.then(() => {
      this.#sheets.picture(); // what is shown now comes first
      if (cards.length && this.#shown === sheet) this.#fill();
    });
  }

  #paint({ cards, pictures }) {
    cards.forEach((card, k) => {
      if (card.index !== null) this.#places[k].paint(pictures.get(card.item_id));
      this.#tell(this.#places[k]);
    });
  }

  /** Show the second pictures, of cards that have one. */
  #add({ cards, seconds }) {
    cards.forEach((card, k) => {
      this.#places[k].add(seconds.get(card.item_id));
      this.#tell(this.#places[k]);
    });
    this.#inform();
  }

  /** Find the sheets that come next, one after the other, and load their pictures; resolves once there is one more, or none. */
  #fill() {
    if (this.#filling || this.#coming.length >= AHEAD) return this.#filling;
    const course = this.#course;
    this.#filling = this.#after(course).then((next) => {
      if (course !== this.#course) return;
      this.#filling = null;
      if (!next) return;
      this.#coming.push(next);
      this.#fill();
    });
    return this.#filling;
  }

  /** The sheet behind the last one that is known; null if there is none. */
  async #after(course) {
    const known = [this.#shown, ...this.#coming];
    const { id } = known.at(-1);
    const cardsOf = (one) => known.filter((sheet) => sheet.id === one).flatMap((sheet) => sheet.cards);
    const more = await this.#read(id, cardsOf(id));
    if (more.length) return this.#sheetOf(id, more);
    const counted = this.#shared.queue.idle().then(() => this.#sheets.load());
    for (const wait of [null, counted]) { // what is counted here is enough, unless something was asked anew
      await wait;
      for (const other of this.#sheets.after(id)) {
        if (course !== this.#course) return null;
        const cards = await this.#read(other, cardsOf(other));
        if (cards.length) return this.#sheetOf(other, cards);
      }
    }
    return null;
  }

  async #answer() {
    const cards = this.#cards;
    if (!cards.length) return this.#empty.hidden ? undefined : this.#onward(); // the next sheet is on its way
    const loading = this.#places.filter((place) => place.isLoading).length;
    if (loading) return say(`${loading} pictures are still loading: nothing was answered`, true);
    const answers = this.#places.slice(0, cards.length).map((place) => this.#answerOf(place));
    const seen = Object.fromEntries(cards.map((card) => [card.item_id, card.version]));
    this.#shared.queue.act({ act: "decide", view: "sheet", answers }, seen, this.#shared.clock.take());
    const aside = answers.filter((answer) => answer.verdict === "odd").length;
    this.#sheets.less(this.#sheet, answers.length - aside, aside);
    this.#marks.end();
    this.#cards = [];
    const turn = ++this.#turn; // a sheet that was asked for before is not shown any more
    if (!this.#coming.length) await this.#fill();
    if (turn !== this.#turn) return;
    const next = this.#coming.shift();
    if (next) this.#show(next);
    else await this.open(undefined);
  }

  #answerOf(place) {
    const { item_id, class_id } = place.card;
    const mark = this.#marks.has(item_id) ? this.#marks.get(item_id) : (class_id ?? "odd");
    const isSign = isName(mark); // an unmarked one has the name that is proposed
    return { item_id, verdict: isSign ? "sign" : mark, class_id: isSign ? mark : null, seen: place.seen };
  }

  /** Nothing is open here: go where something is. */
  #onward() {
    const [next] = this.#others();
    this.#shared.go(this.#where(next), next);
  }

  /** The view in which something waits, if `next` is the sheet that comes next. */
  #where(next) {
    const { signs_open, frames_open } = state.progress;
    return next !== undefined ? "sheet" : signs_open ? "single" : frames_open ? "sweep" : "report";
  }

  /** Other sheets that have cards. */
  #others() {
    return this.#sheets.after(this.#sheet).filter((id) => id !== this.#sheet);
  }

  #head() {
    setFace(this.#face, classOf(this.#sheet));
    const name = make("strong", { textContent: sheetName(this.#sheet) });
    const titles = { [UNKNOWN]: ["No class known: what are these?"], [MIXED]: ["Is each of these what is written under it?"] };
    this.#title.replaceChildren(...(titles[this.#sheet] ?? ["Are all of these ", name, "?"]));
    this.#title.title = this.#title.textContent;
    const odd = `(or arrow keys and O): it comes one by one later, or / names it now. X: ${notOne()}. Enter accepts all others.`;
    const words = {
      [UNKNOWN]: `Pick those that are alike (click, or arrow keys and O), then / names them all. X: ${notOne()}. Enter: the rest is named one by one later.`,
      [MIXED]: `Click what is wrong ${odd}`,
    };
    this.#about.textContent = words[this.#sheet] ?? `Click what is odd ${odd}`;
    this.#count();
  }

  #count() {
    const marks = this.#cards.map((card) => this.#marks.get(card.item_id));
    const [odd, nothing] = ["odd", "nothing"].map((mark) => marks.filter((one) => one === mark).length);
    const named = marks.filter(isName).length;
    const rest = marks.length - odd - nothing - named;
    const isUnknown = this.#sheet === UNKNOWN;
    const aside = odd + (isUnknown ? rest : 0);
    const parts = [
      !isUnknown && `Accept ${rest}`,
      (aside > 0 || isUnknown) && `${aside} aside`,
      named > 0 && `${named} named`,
      nothing > 0 && `${nothing} ${notOne()}`,
    ];
    this.#accept.firstElementChild.textContent = parts.filter(Boolean).join(", ");
    this.#accept.hidden = !marks.length;
    this.#name.hidden = !marks.length;
    this.#allOdd.disabled = this.#allNothing.disabled = !rest;
    this.#allOdd.hidden = !marks.length || isUnknown;
    this.#allNothing.hidden = !marks.length || !isUnknown;
  }

  #blank() {
    this.#empty.hidden = this.#cards.length > 0;
    if (this.#cards.length) return;
    const [next] = this.#others();
    this.#title.textContent = this.#sheet === undefined ? "All sheets are done" : `${sheetName(this.#sheet)}: nothing is open on this sheet`;
    const { signs_open, frames_open } = state.progress;
    const words = {
      sheet: `Next: ${sheetName(next)}`,
      single: `Look one by one at what is open: ${signs_open}`,
      sweep: `Search for missed ${many()}`,
      report: "See the report",
    };
    this.#about.textContent = `Open in all: ${signs_open} ${many()}, ${frames_open} frames to be searched.`;
    this.#empty.replaceChildren(button(words[this.#where(next)], "Enter", () => this.#onward(), "main"));
    this.#facts.textContent = "";
  }

  #place() {
    const place = new Place();
    const { element } = place;
    const at = () => this.#places.indexOf(place);
    element.addEventListener("click", (event) => {
      this.#point(at());
      if (event.shiftKey) this.#toggle("nothing");
      else this.#click();
    });
    element.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      this.#point(at());
      this.#toggle("nothing");
    });
    element.addEventListener("pointermove", (event) => {
      if (this.#hovered === place || !(event.movementX || event.movementY)) return; // cards that change under a resting mouse do not count
      this.#hovered = place;
      this.#point(at());
      this.#peek.enter(place.card);
    });
    element.addEventListener("pointerleave", () => {
      this.#hovered = null;
      this.#peek.leave();
    });
    return place;
  }

  /** Show a card's mark; one without a picture cannot be accepted unseen. */
  #tell(place) {
    const { item_id } = place.card;
    if (place.isMissing && !this.#marks.has(item_id)) this.#marks.set([[item_id, "odd"]]);
    place.mark(this.#marks.get(item_id), this.#sheet === UNKNOWN ? "picked" : "odd");
    this.#count();
  }

  #click() {
    this.#marks.click(this.#cards[this.#at].item_id);
    this.#tell(this.#places[this.#at]);
  }

  #toggle(mark) {
    if (!this.#cards.length) return;
    this.#marks.toggle(this.#cards[this.#at].item_id, mark);
    this.#tell(this.#places[this.#at]);
  }

  #rest(mark) {
    this.#change(this.#places.slice(0, this.#cards.length).filter(({ card }) => !this.#marks.has(card.item_id)), () => mark);
  }

  /** Ask what the card is that the person is on; where none has a class, all that are picked. None that has not been seen. */
  #ask() {
    if (!this.#cards.length) return;
    const at = this.#places[this.#at];
    const odd = this.#places.slice(0, this.#cards.length).filter(({ card }) => this.#marks.get(card.item_id) === "odd");
    const marked = odd.filter((place) => place.isShown);
    const isAll = marked.length > 0 && this.#sheet === UNKNOWN;
    const places = isAll ? marked : [at, ...marked.filter((place) => place !== at)].filter((place) => place.isShown);
    if (!places.length || !(isAll || at.isShown)) return say("What has no picture here cannot be named yet", true);
    this.#peek.leave();
    this.#point(this.#at); // where the keyboard comes back to
    const together = this.#marks.get(at.card.item_id) === "nothing" && marked.length ? marked : places;
    this.#naming.open(places, isAll ? places : [at], together);
  }

  /** Cards are of a class, as the person says; that which is proposed is no other name. */
  #named(id, places) {
    this.#change(places, ({ card }) => (id === card.class_id ? "" : id));
  }

  /** Mark some cards in one step. */
  #change(places, markOf) {
    this.#marks.change(places.map((place) => [place.card.item_id, markOf(place)]));
    for (const place of places) this.#tell(place);
  }

  #point(k) {
    const card = this.#cards[k];
    if (!card) return;
    this.#places[this.#at].element.tabIndex = -1;
    this.#places[this.#at].element.classList.remove("at");
    this.#at = k;
    const { element } = this.#places[k];
    element.tabIndex = 0;
    element.classList.add("at");
    element.focus({ preventScroll: true });
    this.#inform();
  }

  /** Tell of the card that the person is on. */
  #inform() {
    const { card, hasTwo } = this.#places[this.#at];
    if (!card) return;
    const two = make("strong", { className: "two", textContent: `Two pictures at two times: not the same ${one()} in both? Then O; no ${one()} in either: X. ` });
    this.#facts.replaceChildren(...(hasTwo && this.#sheet !== UNKNOWN ? [two] : []), `${origin(card)} · ${card.reason}`);
    this.#facts.title = this.#facts.textContent; // a long one is cut
  }

  #walk(key) {
    this.#peek.leave();
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns }[key];
    if (this.#cards[this.#at + step]) this.#point(this.#at + step);
  }

  #beside(step) {
    const id = this.#sheets.beside(this.#sheet, step);
    if (id !== undefined) this.#shared.go("sheet", id);
  }
}
