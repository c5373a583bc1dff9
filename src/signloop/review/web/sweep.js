// Frames that nobody has searched enter; boxes of what the models missed, and that nothing (more) is missing, leave.

import { find, get } from "./api.js";
import { Chooser } from "./chooser.js";
import { button, make } from "./dom.js";
import { FollowPanel } from "./follow.js";
import { Frame } from "./frame.js";
import { tellCounts } from "./help.js";
import { Lane } from "./lane.js";
import { frame, loadFrame } from "./pictures.js";
import { Proposals } from "./proposals.js";
import { newId } from "./queue.js";
import { keep, kept } from "./state.js";
import { say } from "./toast.js";
import { className, count, many, moment, one } from "./words.js";

const READ = 4; // frames at a time
const MOST = 50; // frames that are told of, to find those that were not left for later
const KEYS = 5; // classes that were used lately
const UNTOLD = "cannot tell which";

/** The view of missed signs. `shared`: queue, clock, go(view, id), place(view, id). */
export class SweepView {
  #shared;
  #lane;
  #likely = [];
  #frame = new Frame({ onDrawn: (xyxy) => this.#drawn(xyxy) });
  #proposals = new Proposals((id) => this.#name(id));
  #chooser = new Chooser((id) => this.#name(id), () => {});
  #follow = new FollowPanel();
  #title = make("h1");
  #facts = make("p", { className: "facts" });
  #done = button("", "Enter", () => this.#complete(true), "main");
  #hint = make("p");
  #counts = make("p", { className: "counts" });
  #empty = make("div", { className: "empty", hidden: true });
  #work;
  element;
  bindings;

  constructor(shared) {
    this.#shared = shared;
    this.#lane = new Lane(shared, READ, {
      idOf: (detail) => detail.item_id,
      find: (id) => find(`/api/frames/${id}`),
      read: () => get(`/api/frames?size=${MOST}`),
      show: (detail) => this.#show(detail),
      ahead: (details) => details.forEach((one) => one.has_picture && loadFrame(frame(one.recording_id, one.index))),
    });
    const buttons = [
      button("mark a box", "B", () => this.#drawn(this.#frame.middle())),
      button("remove box", "Esc", () => this.#drop()),
      button("cannot tell", "U", () => this.#cannotTell()),
      button("later", "N", () => this.#skip()),
      button("back", "⌫", () => this.#goBack()),
    ];
    this.#work = make(
      "div", { className: "work" },
      make("div", { className: "left" }, make("div", { className: "head" }, this.#title, this.#facts, this.#counts), this.#frame.element),
      make(
        "div", { className: "right" },
        this.#done, this.#hint, this.#proposals.element, this.#chooser.element, make("div", { className: "buttons" }, ...buttons),
      ),
    );
    this.element = make("section", { className: "single" }, this.#work, this.#empty, this.#follow.element);
    tellCounts(this.#counts);
    this.bindings = [
      { keys: ["Enter"], text: "nothing (more) is missing: once all in it is decided, the frame is complete", run: () => this.#complete(true) },
      { keys: ["b"], text: "mark a box in the middle (or drag one with the mouse)", run: () => this.#drawn(this.#frame.middle()) },
      {
        keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"],
        text: "move the marked box, with Shift size it; without one, move a zoomed picture",
        again: true,
        run: (key) => (this.#frame.edited ? this.#frame.nudge(key) : this.#frame.pan(key)),
      },
      {
        keys: ["Shift+ArrowLeft", "Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowDown"],
        again: true,
        run: (key) => this.#frame.edited && this.#frame.nudge(key),
      },
      { keys: ["1", "2", "3", "4", "5"], text: "name the marked box; then confirm it in the frames around", run: (key) => this.#proposals.choose(key) },
      { keys: ["/"], text: "search a name for the marked box", run: () => this.#frame.edited && this.#chooser.open() },
      { keys: ["Escape"], text: "remove the marked box", run: () => this.#drop() },
      {
        keys: ["u"],
        text: `cannot tell which ${one()} is in the marked box: it is kept, to be ignored; without a box, whether one is missing: the frame stays incomplete`,
        run: () => this.#cannotTell(),
      },
      { keys: ["n"], text: "later: go on without an answer", run: () => this.#skip() },
      { keys: ["Backspace"], text: "back to the frame before", run: () => this.#goBack() },
      {
        keys: ["+", "-"],
        text: "zoom at the marked box, else at the mouse (or the wheel)",
        again: true,
        run: (key) => this.#frame.zoom(key === "+" ? 1 : -1),
      },
      {
        keys: ["Space"],
        text: "hold it and drag: move a zoomed picture (or drag with the right or the middle button)",
        again: true,
        run: () => this.#frame.grab(),
      },
      { keys: ["0"], text: "the whole frame", run: () => this.#frame.whole() },
    ];
  }

  /** Show one frame; undefined: the first that waits. */
  async open(id) {
    const opened = this.#lane.open(id);
    this.#likely = (await get("/api/sheets")).filter((sheet) => sheet.class_id !== null).map((sheet) => sheet.class_id);
    await opened;
    if (this.#now) this.#words();
  }

  close() {
    this.#lane.close();
    this.#chooser.clear();
    this.#follow.close();
  }

  /** Something was taken back or done again: show it. */
  changed(detail, frameId) {
    this.open(frameId ?? this.#now?.item_id);
  }

  #show(detail) {
    this.#shared.place("sweep", undefined);
    this.#work.hidden = !detail;
    this.#empty.hidden = detail !== null;
    if (!detail) return this.#blank();
    const url = detail.has_picture ? frame(detail.recording_id, detail.index) : null;
    this.#frame.show(url, detail.width, detail.height, this.#marks(), `frame of ${detail.recording} at ${moment(detail.time_s)}`);
    this.#frame.whole();
    this.#words();
  }

  #marks() {
    return this.#now.signs.map(({ xyxy, class_id, decided }) => {
      const label = decided && class_id === null ? UNTOLD : `${className(class_id)}${decided ? "" : " ?"}`;
      return { xyxy, label, kind: "known" };
    });
  }

  #words() {
    const { recording, time_s, reason, signs } = this.#now;
    const drawn = this.#frame.edited !== null;
    this.#title.textContent = drawn ? `What ${one()} is in the box?` : `Is any ${one()} without a box here?`;
    this.#facts.textContent = `${recording}, ${moment(time_s)} · ${count(signs.length)} with a box · ${reason}`;
    const asked = this.#open.length ? "Wrong boxes, and those with ?, are asked on the sheets." : "Wrong boxes are asked on the sheets.";
    this.#hint.textContent = drawn
      ? "Name it: 1–5, or / to search; U if you cannot tell which. Drag its sides, or use the arrow keys. Escape removes it."
      : `If one is missing: drag a box around it, then name it. If not: Enter. If you cannot tell: U. ${asked}`;
    this.#done.disabled = drawn;
    this.#done.firstElementChild.textContent = drawn ? "name the box first" : "nothing is missing";
    const ids = [...new Set([...kept("recent", []), ...this.#likely])].slice(0, KEYS);
    this.#proposals.show(ids.map((class_id) => ({ class_id })), null);
  }

  #blank() {
    this.#empty.replaceChildren(
      make("h1", { textContent: "No frame waits to be searched" }),
      make("p", { textContent: `See how the review went, and publish what was decided; or look at ${many()} that wait.` }),
      button("See the report", "Shift+4", () => this.#shared.go("report"), "main"),
      button(`${many()} that wait`, "Shift+2", () => this.#shared.go("single")),
    );
  }

  #drawn(xyxy) {
    if (!this.#now) return;
    this.#frame.edit(xyxy);
    this.#words();
  }

  #drop() {
    this.#frame.stop();
    this.#chooser.clear();
    if (this.#now) this.#words();
  }

  /** Keep the marked box as a place to be ignored; without one, leave the frame incomplete. */
  #cannotTell() {
    if (this.#frame.edited) this.#name(null);
    else this.#complete(false);
  }

  /** Add the marked box under a class; null: nobody can tell which. */
  async #name(class_id) {
    const xyxy = this.#frame.edited;
    if (!this.#now) return;
    if (!xyxy) return say("First mark a box: drag around what is missing, or press B", true);
    const now = this.#now;
    const name = class_id === null ? `${one()} (${UNTOLD})` : className(class_id);
    const boxes = now.is_alone ? [{ index: now.index, xyxy, seen: true }] : await this.#ask(now, xyxy, name);
    if (!boxes) return;
    const why = now.is_alone ? "there are no frames around it" : this.#follow.isLost ? "it was not found again in the frames around" : "";
    const act = { act: "add", item_id: newId(), recording_id: now.recording_id, class_id, boxes };
    this.#shared.queue.act(act, {}, this.#shared.clock.take());
    for (const detail of [now, ...this.#lane.next].filter((one) => one.recording_id === now.recording_id)) {
      const box = boxes.find((one) => one.index === detail.index);
      if (box) detail.signs.push({ item_id: act.item_id, class_id, xyxy: box.xyxy, decided: true });
    }
    if (class_id !== null) keep("recent", [class_id, ...kept("recent", []).filter((id) => id !== class_id)].slice(0, KEYS));
    const where = boxes.length > 1 ? ` in ${boxes.length} frames` : " in this frame only";
    const added = class_id === null ? `Kept${where} as “${UNTOLD}”, what is in the box will be ignored` : `${name} added${where}`;
    say(why ? `${added}: ${why}` : added);
    if (this.#now !== now) return;
    this.#frame.stop();
    this.#frame.mark(this.#marks());
    this.#words();
  }

  /** Ask in which frames around the marked box is, too; null: the person goes back to naming it. */
  async #ask(now, xyxy, name) {
    this.#title.textContent = "In which frames is it?";
    this.#hint.textContent = "Escape goes back to naming the box.";
    this.#done.firstElementChild.textContent = "say in which frames";
    const boxes = await this.#follow.ask(now, xyxy, name);
    if (this.#now) this.#words();
    return boxes;
  }

  #complete(complete) {
    if (!this.#now) return this.#empty.hidden ? undefined : this.#shared.go("report"); // or the next one is on its way
    if (this.#isNaming()) return;
    const { item_id, version } = this.#now;
    const open = this.#open.length;
    if (!complete) say("This frame stays incomplete");
    else if (open) say(`Searched. It counts as complete once its ${count(open)} with ? ${open === 1 ? "is" : "are"} decided on the sheets`);
    this.#shared.queue.act({ act: "sweep", item_id, complete }, { [item_id]: version }, this.#shared.clock.take());
    this.#lane.leave();
  }

  #skip() {
    if (this.#now && !this.#isNaming()) this.#lane.leave();
  }

  #goBack() {
    if (!this.#isNaming()) this.#lane.back();
  }

  /** A box that is not named yet is not lost by a key for something else. */
  #isNaming() {
    if (this.#frame.edited) say("Name the box first (1–5 or /, U if you cannot tell), or remove it with Escape", true);
    return this.#frame.edited !== null;
  }

  /** Signs of the frame on the screen that nobody has decided. */
  get #open() {
    return this.#now.signs.filter(({ decided }) => !decided);
  }

  /** The frame on the screen. */
  get #now() {
    return this.#lane.now;
  }
}
