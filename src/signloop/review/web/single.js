// Signs that need a look of their own enter, one answer (or correction) for each leaves; the next one is on the screen at once.

import { find, get } from "./api.js";
import { Chooser } from "./chooser.js";
import { button, make } from "./dom.js";
import { Filmstrip, loadStrip } from "./filmstrip.js";
import { Frame } from "./frame.js";
import { isCut } from "./geometry.js";
import { Lane } from "./lane.js";
import { MergePanel } from "./merge.js";
import { frame, loadFrame } from "./pictures.js";
import { Proposals } from "./proposals.js";
import { newId } from "./queue.js";
import { keep, kept, reviewer } from "./state.js";
import { hush, say } from "./toast.js";
import { className, many, notOne, one, origin, person, verdict, when } from "./words.js";

const NEAR = 8; // to choose from for a merge, by the keys 1 to 8
const AHEAD = 3; // whose pictures are loaded
const READ = 8; // at a time
const END = 2 ** 31 - 1; // behind every frame
const REST_MS = 300; // after which the small pictures of the next ones are loaded: they cost the server most

/** The single view. `shared`: queue, clock, go(view, id), place(view, id). */
export class SingleView {
  #shared;
  #lane;
  #timer = 0;
  #parts = 0; // that were split off, and are answered before the way back to a frame
  #frame = new Frame({ onShown: () => this.#shownLarge() });
  #strip = new Filmstrip(() => this.#large());
  #proposals = new Proposals((id) => this.#sign(id));
  #chooser = new Chooser((id) => this.#sign(id), () => {});
  #merge = new MergePanel((other) => this.#merged(other));
  #title = make("h1");
  #facts = make("p", { className: "facts" });
  #answers = make("p", { className: "answers" });
  #accept = button("", "Enter", () => (this.#frame.edited ? this.#fixed() : this.#propose()), "main");
  #later = button("later", "N", () => this.#skip());
  #return = button("back to the frame", "F", () => this.#toFrame());
  #empty = make("div", { className: "empty", hidden: true });
  #work;
  element;
  bindings;

  constructor(shared) {
    this.#shared = shared;
    this.#lane = new Lane(shared, READ, {
      idOf: (detail) => detail.card.item_id,
      find: async (id) => {
        const detail = await find(`/api/signs/${id}`);
        return detail?.merged_into ? null : detail;
      },
      read: (after) => get(`/api/single?size=${READ}${after ? `&after=${after}` : ""}`),
      show: (detail) => this.#show(detail),
      ahead: (details) => this.#load(details),
    });
    const buttons = [
      button(`${notOne()}`, "X", () => this.#answer("nothing")),
      button("cannot tell", "U", () => this.#answer("unsure")),
      this.#later,
      button("back", "⌫", () => this.#goBack()),
      button("merge …", "M", () => this.#near()),
      this.#return,
    ];
    const ofPicture = [
      button("begins here", "⇧E", () => this.#dropBefore()),
      button("gone here", "E", () => this.#dropFrom()),
      button(`another ${one()} from here`, "S", () => this.#split(), "split"),
      button("not in this one", "D", () => this.#dropOne()),
      button("fix the box", "B", () => this.#fix()),
    ];
    this.#work = make(
      "div", { className: "work" },
      make(
        "div", { className: "left" },
        make("div", { className: "head" }, this.#title, this.#facts, this.#answers), this.#frame.element, this.#strip.element,
        make("div", { className: "of-picture" }, make("span", { textContent: "Not in all pictures? In the blue one it:" }), ...ofPicture),
      ),
      make(
        "div", { className: "right" },
        this.#accept, this.#proposals.element, this.#chooser.element, make("div", { className: "buttons" }, ...buttons),
      ),
    );
    this.element = make("section", { className: "single" }, this.#work, this.#empty, this.#merge.element);
    this.bindings = this.#keys();
  }

  /** The sign on the screen. */
  get #now() {
    return this.#lane.now;
  }

  #keys() {
    const editing = (run, otherwise) => (key) => (this.#frame.edited ? run(key) : otherwise(key));
    return [
      { keys: ["Enter", "a"], text: "accept as proposed (or keep the corrected box)", run: editing(() => this.#fixed(), () => this.#propose()) },
      { keys: ["1", "2", "3", "4", "5"], text: "it is this one of the likeliest classes", run: (key) => this.#proposals.choose(key) },
      { keys: ["/"], text: "search another class by name; Enter takes it", run: () => this.#now && this.#chooser.open() },
      { keys: ["x"], text: `it is ${notOne()}`, run: () => this.#answer("nothing") },
      { keys: ["u"], text: "cannot tell", run: () => this.#answer("unsure") },
      { keys: ["n"], text: "later: go on without an answer, or past one that is given", run: () => this.#skip() },
      { keys: ["Backspace"], text: "back to the one before", run: () => this.#goBack() },
      {
        keys: ["ArrowLeft", "ArrowRight"],
        text: "an earlier or later picture",
        again: true,
        run: editing((key) => this.#frame.nudge(key), (key) => this.#strip.step(key === "ArrowLeft" ? -1 : 1)),
      },
      { keys: ["Home", "End"], text: "the first or the last picture", run: editing(() => {}, (key) => this.#strip.jump(key === "Home" ? -1 : 1)) },
      { keys: ["+", "-"], text: "zoom (or the wheel; drag moves)", again: true, run: (key) => this.#frame.zoom(key === "+" ? 1 : -1) },
      { keys: ["0"], text: "the whole frame", run: () => this.#frame.whole() },
      {
        keys: ["b"],
        text: "fix the box: drag its sides, or arrow keys move it, Shift+arrow keys size it, Enter keeps it, Escape does not",
        run: () => this.#fix(),
      },
      {
        keys: ["ArrowUp", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowDown"],
        again: true,
        run: editing((key) => this.#frame.nudge(key), () => {}),
      },
      { keys: ["d"], text: `take the box of this picture off: no ${one()} is in it, not even a part`, run: () => this.#dropOne() },
      { keys: ["e"], text: `the ${one()} is gone, all of it: take the box of this picture and the later ones off`, run: () => this.#dropFrom() },
      { keys: ["Shift+e"], text: `the ${one()} begins with this picture: take the earlier boxes off`, run: () => this.#dropBefore() },
      { keys: ["Escape"], run: () => this.#now && this.#show(this.#now, this.#strip.box?.index) },
      { keys: ["f"], text: `back to the frame in which this ${one()} was chosen (in Missed)`, run: () => this.#toFrame() },
      { keys: ["s"], text: `split: from this picture on it is another ${one()}`, run: () => this.#split() },
      { keys: ["m"], text: `merge: choose by 1–8 which one near it is the same ${one()}`, run: () => this.#near() },
    ];
  }

  /** Show one sign; undefined: the first that waits. */
  open(id) {
    this.#parts = 0;
    return this.#lane.open(id);
  }

  close() {
    this.#lane.close();
    this.#chooser.clear();
    this.#merge.close();
  }

  /** Something was taken back or done again: show it. */
  changed(detail) {
    this.open(detail?.card.item_id);
  }

  #show(detail, index = detail?.card.index) {
    keep("single", detail?.card.item_id ?? null);
    this.#shared.place("single", undefined);
    this.#work.hidden = !detail;
    this.#empty.hidden = detail !== null;
    this.#return.hidden = !kept("from", null);
    if (!detail) return this.#blank();
    this.#strip.show(detail, index);
    this.#words(detail);
    this.#large();
  }

  #words({ card, classes, boxes }) {
    const proposed = this.#proposed;
    const unknown = proposed === null;
    const name = make("strong", { textContent: className(proposed) });
    const pictures = boxes.filter((box) => box.stored).length;
    const where = pictures > 1 ? ` in all ${pictures} pictures?` : "?";
    this.#ask(...(unknown ? [`What ${one()} is this${where}`] : ["Is this ", name, where]));
    const answers = card.answers.filter((answer) => answer.verdict !== "odd"); // what was put aside is not answered
    const given = answers.map((answer) => `${person(answer.annotator)}: ${verdict(answer)} (${when(answer.at)})`);
    this.#later.firstElementChild.textContent = given.length ? "go on" : "later";
    this.#answers.textContent = given.length ? `Answered already. ${given.join("; ")}` : "";
    this.#accept.firstElementChild.textContent = unknown ? "press 1–5, or / to search" : `yes, ${className(proposed)}`;
    this.#accept.disabled = unknown;
    this.#proposals.show(classes, proposed);
    this.#chooser.clear();
  }

  /** The class that Enter gives: as the person has answered already, else as the models say; null if nobody knows. */
  get #proposed() {
    const { class_id, answers } = this.#now.card;
    return answers.find((one) => one.annotator === reviewer() && one.verdict === "sign")?.class_id ?? class_id;
  }

  /** Set the title; a long name in it is cut. */
  #ask(...parts) {
    this.#title.replaceChildren(...parts);
    this.#title.title = this.#title.textContent;
  }

  #large() {
    if (!this.#now) return;
    const { card, width, height } = this.#now;
    const { box } = this.#strip;
    this.#facts.textContent = `${origin(box ? { ...card, time_s: box.time_s } : card)} · ${card.reason}`;
    this.#facts.title = this.#facts.textContent; // a long one is cut
    const marks = box ? [{ xyxy: box.xyxy, kind: "own" }] : [];
    this.#frame.show(box ? frame(card.recording_id, box.index) : null, width, height, marks, `${className(card.class_id)} in ${origin(card)}`);
    if (box) this.#frame.zoomTo(box.xyxy);
  }

  #shownLarge() {
    if (this.#strip.box) this.#strip.see(this.#strip.box.index);
  }

  #blank() {
    this.#empty.replaceChildren(
      make("h1", { textContent: `No ${one()} waits for an answer` }),
      make("p", { textContent: `Now look whether the models missed any ${many()}, or see how the review went.` }),
      button(`Search for missed ${many()}`, "Shift+3", () => this.#shared.go("sweep"), "main"),
      button("See the report", "Shift+4", () => this.#shared.go("report")),
    );
  }

  #sign(id) {
    this.#answer("sign", id);
  }

  #propose() {
    if (!this.#now) return this.#empty.hidden ? undefined : this.#shared.go("sweep"); // or the next one is on its way
    if (this.#proposed === null) say("No class is proposed: press 1 to 5, or / to search by name", true);
    else this.#sign(this.#proposed);
  }

  #answer(verdict, classId = null) {
    if (!this.#now || this.#isFixing()) return;
    const { card } = this.#now;
    const answer = { item_id: card.item_id, verdict, class_id: classId, seen: this.#strip.seen };
    hush(); // what was said was of this one
    this.#shared.queue.act({ act: "decide", view: "single", answers: [answer] }, { [card.item_id]: card.version }, this.#shared.clock.take());
    this.#leave();
  }

  #skip() {
    if (this.#now && !this.#isFixing()) this.#leave();
  }

  /** Go on to the next one; from one that was chosen in a frame, and its parts, back to that frame. */
  #leave() {
    if (kept("from", null) && this.#parts === 0) return this.#shared.go("sweep", kept("from"));
    this.#parts = Math.max(0, this.#parts - 1);
    this.#lane.leave();
  }

  #goBack() {
    if (!this.#isFixing()) this.#lane.back();
  }

  /** Go back to the frame that was left for a sign in it. */
  #toFrame() {
    if (this.#isFixing()) return;
    if (kept("from", null)) this.#shared.go("sweep", kept("from"));
    else say("You did not come here from a frame in Missed");
  }

  /** A box that is being fixed is not lost by a key for something else. */
  #isFixing() {
    if (this.#frame.edited) say("First keep the box with Enter, or leave it as it was with Escape", true);
    return this.#frame.edited !== null;
  }

  #load(next) {
    const coming = next.slice(0, AHEAD);
    for (const { card } of coming) if (card.index !== null) loadFrame(frame(card.recording_id, card.index));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => coming.forEach(loadStrip), REST_MS);
  }

  #fix() {
    const { box } = this.#strip;
    if (!this.#now || !box) return;
    this.#frame.mark([]);
    this.#frame.zoomTo(box.xyxy, 3);
    this.#frame.edit(box.xyxy);
    this.#ask("Fix the box: drag its sides, or arrow keys (Shift sizes). Escape leaves it as it was.");
    this.#accept.firstElementChild.textContent = "keep this box";
    this.#accept.disabled = false;
  }

  async #fixed() {
    if (!this.#now) return;
    const { item_id, version } = this.#now.card;
    const { box } = this.#strip;
    const isSame = this.#frame.edited.every((side, k) => Math.abs(side - box.xyxy[k]) < 0.01); // px
    if (isSame) {
      this.#show(this.#now, box.index);
      return say("The box is as it was");
    }
    box.xyxy = this.#frame.edited;
    const act = { act: "fix", item_id, index: box.index, xyxy: box.xyxy };
    const done = this.#shared.queue.act(act, { [item_id]: version }, this.#shared.clock.take());
    this.#show(this.#now, box.index);
    if (await done) this.#again(item_id, "The box is corrected; those of the frames around follow");
  }

  #dropOne() {
    const { box } = this.#strip;
    if (box) this.#drop(box.index, box.index + 1);
  }

  #dropFrom() {
    const { box } = this.#strip;
    if (box) this.#drop(box.index, END);
  }

  #dropBefore() {
    const { box } = this.#strip;
    if (box) this.#drop(0, box.index);
  }

  /** Take the boxes of some frames off: they lie on something else. */
  async #drop(first, end) {
    if (!this.#now || this.#isFixing()) return;
    const { card, boxes } = this.#now;
    const gone = boxes.filter(({ index }) => first <= index && index < end);
    const goes = gone.length;
    const isPart = gone.some(({ xyxy }) => isCut(xyxy, this.#now));
    if (goes === 0) return say("No box is before this picture", true);
    if (goes === boxes.length) return say(`No box would be left. If this is ${notOne()}: X`, true);
    const act = { act: "drop", item_id: card.item_id, first, end, seen: this.#strip.seen };
    if (!(await this.#shared.queue.act(act, { [card.item_id]: card.version }, this.#shared.clock.take()))) return;
    const back = isPart ? `Was a part of the ${one()} in sight at the edge? Then Z: a box around that part is right` : "Z takes it back";
    const pictures = gone.filter(({ stored }) => stored).length;
    const what = goes === 1 ? "1 box" : pictures === goes ? `${goes} boxes` : `The boxes of ${pictures} pictures and ${goes - pictures} frames between`;
    this.#again(card.item_id, `${what} taken off: no ${one()} is there. ${back}`);
  }

  async #split() {
    const { box } = this.#strip;
    if (!this.#now || !box || this.#isFixing()) return;
    const { item_id, version, answers } = this.#now.card;
    if (box.index === this.#now.boxes[0].index) return say(`Choose the first picture of the other ${one()}: with → go to a later one`, true);
    const act = { act: "split", item_id, index: box.index, new_id: newId() };
    if (!(await this.#shared.queue.act(act, { [item_id]: version }, this.#shared.clock.take()))) return;
    const other = await find(`/api/signs/${act.new_id}`);
    if (other) {
      this.#lane.next.unshift(other);
      this.#parts += 1;
    }
    const lost = answers.some(({ verdict }) => verdict !== "odd") ? ", its answer is taken away" : "";
    this.#again(item_id, `Split${lost}: this is the first part; the second one comes next`);
  }

  /** Let the person choose what is the same thing. */
  async #near() {
    if (!this.#now || this.#frame.edited) return;
    const { card } = this.#now;
    await this.#shared.queue.idle();
    const near = await find(`/api/signs/${card.item_id}/near?size=${NEAR}`);
    if (this.#now?.card.item_id !== card.item_id || this.#frame.edited || document.querySelector("dialog[open]")) return;
    if (near?.length) this.#merge.open(this.#now.card, near);
    else say(`No other ${one()} is near this one: nothing to merge`, true);
  }

  async #merged(other) {
    const { item_id, version } = this.#now.card;
    const act = { act: "merge", item_id, other_id: other.item_id };
    const seen = { [item_id]: version, [other.item_id]: other.version };
    if (!(await this.#shared.queue.act(act, seen, this.#shared.clock.take()))) return;
    this.#lane.forget(other.item_id);
    this.#again(item_id, `Merged: both are one ${one()} now, answer it as one`);
  }

  /** Read the sign that is shown anew. */
  async #again(itemId, words) {
    const detail = await find(`/api/signs/${itemId}`);
    say(words);
    if (!detail || this.#now?.card.item_id !== itemId || this.#frame.edited) return;
    this.#lane.now = detail;
    this.#show(detail, this.#strip.box?.index);
  }
}
