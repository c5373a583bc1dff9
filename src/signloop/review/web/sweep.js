// Frames that nobody has searched enter; boxes of what the models missed, and that nothing (more) is missing, leave.

import { find, get } from "./api.js";
import { Chooser } from "./chooser.js";
import { button, make } from "./dom.js";
import { FollowPanel } from "./follow.js";
import { Frame } from "./frame.js";
import { frame, loadFrame } from "./pictures.js";
import { Proposals } from "./proposals.js";
import { newId } from "./queue.js";
import { keep, kept } from "./state.js";
import { say } from "./toast.js";
import { className, count, many, moment, one } from "./words.js";

const READ = 4; // frames at a time
const BACK = 200; // that one can go back
const KEYS = 5; // classes that were used lately

/** The view of missed signs. `shared`: queue, clock, go(view, id), place(view, id). */
export class SweepView {
  #shared;
  #now = null;
  #next = [];
  #back = [];
  #turn = 0;
  #reading = null;
  #likely = [];
  #frame = new Frame({ onDrawn: (xyxy) => this.#drawn(xyxy) });
  #proposals = new Proposals((id) => this.#name(id));
  #chooser = new Chooser((id) => this.#name(id), () => {});
  #follow = new FollowPanel();
  #title = make("h1");
  #facts = make("p", { className: "facts" });
  #done = button("nothing is missing", "Enter", () => this.#complete(true), "main");
  #hint = make("p");
  #empty = make("div", { className: "empty", hidden: true });
  #work;
  element;
  bindings;

  constructor(shared) {
    this.#shared = shared;
    const buttons = [
      button("mark a box", "B", () => this.#drawn(this.#frame.middle())),
      button("remove box", "Esc", () => this.#drop()),
      button("cannot tell", "U", () => this.#complete(false)),
      button("later", "N", () => this.#leave()),
      button("back", "⌫", () => this.#goBack()),
    ];
    this.#work = make(
      "div", { className: "work" },
      make("div", { className: "left" }, make("div", { className: "head" }, this.#title, this.#facts), this.#frame.element),
      make(
        "div", { className: "right" },
        this.#done, this.#hint, this.#proposals.element, this.#chooser.element, make("div", { className: "buttons" }, ...buttons),
      ),
    );
    this.element = make("section", { className: "single" }, this.#work, this.#empty, this.#follow.element);
    this.bindings = [
      { keys: ["Enter"], text: `nothing (more) is missing: the frame is complete`, run: () => this.#complete(true) },
      { keys: ["b"], text: "mark a box in the middle (or drag one with the mouse)", run: () => this.#drawn(this.#frame.middle()) },
      {
        keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"],
        text: "move the marked box; with Shift size it",
        again: true,
        run: (key) => this.#frame.edited && this.#frame.nudge(key),
      },
      {
        keys: ["Shift+ArrowLeft", "Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowDown"],
        again: true,
        run: (key) => this.#frame.edited && this.#frame.nudge(key),
      },
      { keys: ["1", "2", "3", "4", "5"], text: "name the marked box; then confirm it in the frames around", run: (key) => this.#proposals.choose(key) },
      { keys: ["/"], text: "search a name for the marked box", run: () => this.#frame.edited && this.#chooser.open() },
      { keys: ["Escape"], text: "remove the marked box", run: () => this.#drop() },
      { keys: ["u"], text: "cannot tell: the frame stays incomplete", run: () => this.#complete(false) },
      { keys: ["n"], text: "later: go on without an answer", run: () => this.#leave() },
      { keys: ["Backspace"], text: "back to the frame before", run: () => this.#goBack() },
      { keys: ["+", "-"], text: "zoom (or the wheel)", again: true, run: (key) => this.#frame.zoom(key === "+" ? 1 : -1) },
      { keys: ["0"], text: "the whole frame", run: () => this.#frame.whole() },
    ];
  }

  /** Show one frame; undefined: the first that waits. */
  async open(id) {
    const turn = ++this.#turn;
    this.#next = [];
    this.#reading = null;
    this.#now = null;
    await this.#shared.queue.idle();
    this.#likely = (await get("/api/sheets")).filter((sheet) => sheet.class_id !== null).map((sheet) => sheet.class_id);
    const first = id ? await find(`/api/frames/${id}`) : null;
    if (turn !== this.#turn) return;
    if (first) this.#next.push(first);
    await this.#advance();
  }

  close() {
    this.#turn++;
    this.#chooser.clear();
    this.#follow.close();
  }

  /** Something was taken back or done again: show it. */
  changed(detail, frameId) {
    this.open(frameId ?? this.#now?.item_id);
  }

  #show(detail) {
    this.#now = detail;
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
    return this.#now.signs.map((sign) => ({ xyxy: sign.xyxy, label: className(sign.class_id), kind: "known" }));
  }

  #words() {
    const { recording, time_s, reason, signs } = this.#now;
    const drawn = this.#frame.edited !== null;
    this.#title.textContent = drawn ? `What ${one()} is in the box?` : `Is any ${one()} without a box here?`;
    this.#facts.textContent = `${recording}, ${moment(time_s)} · ${count(signs.length)} known here · ${reason}`;
    this.#hint.textContent = drawn
      ? "Name it with 1–5, or / to search. Drag its sides, or use the arrow keys (Shift sizes). Escape removes it."
      : `If one is missing: drag a box around it, then name it. If not: Enter.`;
    this.#done.disabled = drawn;
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

  async #name(class_id) {
    const xyxy = this.#frame.edited;
    if (!xyxy) return say("First mark a box: drag around what is missing, or press B", true);
    const now = this.#now;
    const boxes = await this.#follow.ask(now, xyxy, className(class_id));
    const act = { act: "add", item_id: newId(), recording_id: now.recording_id, class_id, boxes };
    this.#shared.queue.act(act, {}, this.#shared.clock.take());
    for (const detail of [now, ...this.#next].filter((one) => one.recording_id === now.recording_id)) {
      const box = boxes.find((one) => one.index === detail.index);
      if (box) detail.signs.push({ item_id: act.item_id, class_id, xyxy: box.xyxy, decided: true });
    }
    keep("recent", [class_id, ...kept("recent", []).filter((id) => id !== class_id)].slice(0, KEYS));
    say(boxes.length > 1 ? `${className(class_id)} added in ${boxes.length} frames` : `${className(class_id)} added`);
    if (this.#now !== now) return;
    this.#frame.stop();
    this.#frame.mark(this.#marks());
    this.#words();
  }

  #complete(complete) {
    if (!this.#now) return this.#empty.hidden ? undefined : this.#shared.go("report"); // or the next one is on its way
    if (this.#frame.edited) return say("Name the box first (1–5 or /), or remove it with Escape", true);
    const { item_id, version } = this.#now;
    this.#shared.queue.act({ act: "sweep", item_id, complete }, { [item_id]: version }, this.#shared.clock.take());
    this.#leave();
  }

  #leave() {
    if (!this.#now) return;
    this.#back.push(this.#now.item_id);
    if (this.#back.length > BACK) this.#back.shift();
    this.#advance();
  }

  async #advance() {
    const turn = this.#turn;
    if (!this.#next.length) {
      await this.#shared.queue.idle();
      await this.#fill();
    }
    if (turn !== this.#turn) return;
    this.#show(this.#next.shift() ?? null);
    if (this.#next.length < READ / 2) this.#fill();
  }

  #fill() {
    if (this.#reading) return this.#reading;
    const reading = this.#read().finally(() => {
      if (this.#reading === reading) this.#reading = null;
    });
    this.#reading = reading;
    return reading;
  }

  /** Frames come in the order of the queue; those that were left for later come last. */
  async #read() {
    const turn = this.#turn;
    await this.#shared.queue.idle(); // what was added shows in the frames that come
    const found = await get(`/api/frames?size=50`);
    if (turn !== this.#turn) return;
    const known = new Set([...this.#next, ...(this.#now ? [this.#now] : [])].map((detail) => detail.item_id));
    const waiting = found.filter((detail) => !known.has(detail.item_id) && !this.#shared.queue.said(detail.item_id));
    const left = (detail) => this.#back.lastIndexOf(detail.item_id);
    waiting.sort((a, b) => left(a) - left(b));
    this.#next.push(...waiting.slice(0, READ));
    for (const detail of this.#next) if (detail.has_picture) loadFrame(frame(detail.recording_id, detail.index));
  }

  async #goBack() {
    const id = this.#back.pop();
    if (!id) return say("There is none before this one");
    const turn = this.#turn;
    await this.#shared.queue.idle();
    const detail = await find(`/api/frames/${id}`);
    if (turn !== this.#turn || !detail) return;
    if (this.#now) this.#next.unshift(this.#now);
    this.#shared.clock.take();
    this.#show(detail);
  }
}
