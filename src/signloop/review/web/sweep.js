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
import { classOf } from "./sheets.js";
import { keep, kept, reviewer } from "./state.js";
import { say } from "./toast.js";
import { className, count, many, moment, one, person } from "./words.js";

const READ = 4; // frames at a time
const MOST = 50; // frames that are told of, to find those that were not left for later
const KEYS = 5; // classes that have a key
const ADVICE = "If a picture shows which one it is: Escape, and name it. ";
const UNTOLD = "cannot tell which";

/** The view of missed signs. `shared`: queue, clock, go(view, id), place(view, id). */
export class SweepView {
  #shared;
  #lane;
  #likely = [];
  #chosen = null; // a sign that has a box
  #frame = new Frame({ onDrawn: (xyxy) => this.#drawn(xyxy), onPicked: (marks) => this.#pick(marks.map(({ sign }) => sign)) });
  #proposals = new Proposals((id) => this.#name(id));
  #chooser = new Chooser((id) => this.#name(id), () => {});
  #follow = new FollowPanel();
  #title = make("h1");
  #facts = make("p", { className: "facts" });
  #done = button("", "Enter", () => this.#enter(), "main");
  #release = button("", "Esc", () => this.#drop());
  #later = button("", "N", () => this.#skip());
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
      this.#release,
      button("cannot tell", "U", () => this.#cannotTell()),
      this.#later,
      button("back", "⌫", () => this.#goBack()),
    ];
    const bare = button("hide boxes (hold)", "H", () => {});
    bare.addEventListener("pointerdown", () => this.#frame.bare());
    const titled = make(
      "div", { className: "titled" },
      this.#title,
      make("span", { textContent: "Zoom: wheel, or" }),
      button("in", "+", () => this.#frame.zoom(1)), button("out", "−", () => this.#frame.zoom(-1)), button("whole", "0", () => this.#frame.whole()),
      bare,
    );
    this.#work = make(
      "div", { className: "work" },
      make("div", { className: "left" }, make("div", { className: "head" }, titled, this.#facts, this.#counts), this.#frame.element),
      make(
        "div", { className: "right" },
        this.#done, this.#hint, this.#proposals.element, this.#chooser.element, make("div", { className: "buttons" }, ...buttons),
      ),
    );
    this.element = make("section", { className: "single" }, this.#work, this.#empty, this.#follow.element);
    tellCounts(this.#counts);
    this.bindings = [
      {
        keys: ["Enter"],
        text: `nothing (more) is missing: once all in it is decided, the frame is complete; or look at the chosen ${one()} by itself`,
        run: () => this.#enter(),
      },
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
      { keys: ["e"], text: "choose a box that is there (or click it); again: the next one", run: () => this.#choose() },
      { keys: ["Escape"], text: "remove the marked box, or let the chosen one go", run: () => this.#drop() },
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
      { keys: ["h"], text: "hold it: the picture without boxes and names", run: () => this.#frame.bare() },
    ];
  }

  /** Show one frame; undefined: the one that was left for a look at one of its signs, else the first that waits. */
  async open(id = kept("from", undefined)) {
    keep("from", null);
    const opened = this.#lane.open(id);
    this.#likely = (await get("/api/sheets")).map(({ sheet }) => classOf(sheet)).filter((id) => id !== null && id !== undefined);
    keep("keys", this.#keys);
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
    this.#chosen = null;
    this.#work.hidden = !detail;
    this.#empty.hidden = detail !== null;
    if (!detail) return this.#blank();
    const url = detail.has_picture ? frame(detail.recording_id, detail.index) : null;
    this.#frame.show(url, detail.width, detail.height, this.#marks(), `frame of ${detail.recording} at ${moment(detail.time_s)}`);
    this.#frame.whole();
    this.#words();
  }

  #marks() {
    return this.#now.signs.map((sign) => {
      const label = `${nameIn(sign)}${sign.decided ? "" : " ?"}`;
      return { xyxy: sign.xyxy, label, kind: sign === this.#chosen ? "known chosen" : "known", sign };
    });
  }

  #words() {
    const { recording, time_s, reason, signs, searched } = this.#now;
    const said = searched.map(({ annotator, complete }) => `${person(annotator)} ${complete ? "said: nothing is missing" : "left it incomplete"}`);
    const open = this.#open.length ? " (complete once no ? is left)" : "";
    const facts = `${recording}, ${moment(time_s)} · ${reason} · ${count(signs.length)} with a box${open}`;
    this.#facts.replaceChildren(...(said.length ? [make("strong", { textContent: said.join("; ") }), " · "] : []), facts);
    this.#facts.title = this.#facts.textContent; // a long one is cut
    const [title, hint, act] = this.#asked();
    this.#title.replaceChildren(...title);
    this.#title.title = this.#title.textContent; // a long name is cut
    this.#hint.textContent = hint;
    this.#done.firstElementChild.textContent = act;
    this.#done.disabled = this.#frame.edited !== null || this.#chosen?.is_asked === false;
    this.#release.firstElementChild.textContent = this.#chosen ? "let it go" : "remove box";
    this.#later.firstElementChild.textContent = said.length ? "go on" : "later";
    this.#proposals.show(this.#keys.map((class_id) => ({ class_id })), null);
    for (const { element } of [this.#proposals, this.#chooser]) element.classList.toggle("none", this.#chosen !== null); // it is named by itself
  }

  /** The question, what to do about it, and what the main button does. */
  #asked() {
    if (this.#frame.edited) return [[`What ${one()} is in the box?`], "Name it: 1–5, / to search, U if you cannot tell. Drag its sides to fit.", "name the box first"];
    if (!this.#chosen) {
      const act = this.#isSaid(true) ? "go on: nothing is missing" : "nothing is missing";
      return [[`Is any ${one()} without a box here?`], "One is missing? Drag a box around it. A box is wrong? Click it, or press E.", act];
    }
    const { is_asked, decided } = this.#chosen;
    const name = make("strong", { textContent: nameIn(this.#chosen) });
    if (!is_asked) return [[name, ", decided in an earlier round"], "It is not asked again. E: the next box.", "decided earlier"];
    const hint = "Wrong box or name? Say so one by one; your answer leads back. E: the next box.";
    return [[name, `, ${decided ? "decided" : "not decided yet"}`], hint, "open it one by one"];
  }

  /** Choose the smallest of the boxes that were clicked; once it is chosen, the next larger one. */
  #pick(signs) {
    if (!this.#now || this.#frame.edited) return;
    this.#hold(signs[(signs.indexOf(this.#chosen) + 1) % signs.length] ?? null);
  }

  /** Choose the first box that is there, or the next one: from left to right. */
  #choose() {
    if (!this.#now || this.#isNaming()) return;
    if (!this.#now.signs.length) return say(`No ${one()} has a box here`, true);
    this.#pick([...this.#now.signs].sort((a, b) => a.xyxy[0] - b.xyxy[0]));
    this.#frame.reveal(this.#chosen.xyxy);
  }

  #hold(sign) {
    this.#chosen = sign;
    this.#frame.mark(this.#marks());
    this.#words();
  }

  /** Look at the chosen sign by itself; without one, nothing is missing. */
  #enter() {
    if (!this.#chosen) return this.#complete(true);
    if (!this.#chosen.is_asked) return say("It was decided in an earlier round: E chooses the next box, Escape lets it go", true);
    this.look(this.#chosen.item_id);
  }

  /** Look at a sign by itself; its answer leads back to this frame. */
  look(itemId) {
    keep("from", this.#now?.item_id ?? null);
    this.#shared.go("single", itemId);
  }

  /** Whether the person has said this of the frame. */
  #isSaid(complete) {
    return this.#now.searched.some((one) => one.annotator === reviewer() && one.complete === complete);
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
    this.#hold(null);
    this.#frame.edit(xyxy);
    this.#words();
  }

  #drop() {
    this.#frame.stop();
    this.#chooser.clear();
    if (this.#now) this.#hold(null);
  }

  /** Keep the marked box as a place to be ignored; without one, leave the frame incomplete. */
  #cannotTell() {
    if (this.#frame.edited) this.#name(null);
    else if (this.#chosen) say("To answer the chosen box, open it with Enter; Escape lets it go", true);
    else this.#complete(false);
  }

  /** Add the marked box under a class; null: nobody can tell which. */
  async #name(class_id) {
    const xyxy = this.#frame.edited;
    if (!this.#now) return;
    if (this.#chosen) return say("To give it another name, open it with Enter; Escape lets it go", true);
    if (!xyxy) return say("First mark a box: drag around what is missing, or press B", true);
    const now = this.#now;
    const name = class_id === null ? `${one()} (${UNTOLD})` : className(class_id);
    const boxes = now.is_alone ? [{ index: now.index, xyxy, seen: true }] : await this.#ask(now, xyxy, name, class_id === null ? ADVICE : "");
    if (!boxes) return;
    const why = now.is_alone ? "there are no frames around it" : this.#follow.isLost ? "it was not found again in the frames around" : "";
    const act = { act: "add", item_id: newId(), recording_id: now.recording_id, class_id, boxes };
    this.#shared.queue.act(act, {}, this.#shared.clock.take());
    for (const detail of [now, ...this.#lane.next].filter((one) => one.recording_id === now.recording_id)) {
      const box = boxes.find((one) => one.index === detail.index);
      if (box) detail.signs.push({ item_id: act.item_id, class_id, xyxy: box.xyxy, decided: true, is_asked: true });
    }
    if (class_id !== null) this.#give(class_id);
    const where = boxes.length > 1 ? ` in ${boxes.length} frames` : " in this frame only";
    const added = class_id === null ? `Kept${where} as “${UNTOLD}”, what is in the box will be ignored` : `${name} added${where}`;
    say(why ? `${added}: ${why}` : added);
    if (this.#now !== now) return;
    this.#frame.stop();
    this.#frame.mark(this.#marks());
    this.#words();
  }

  /** Classes by their keys: those that are used keep theirs, so that a hand can learn it. */
  get #keys() {
    return [...new Set([...kept("keys", []), ...this.#likely])].slice(0, KEYS);
  }

  /** Give a class that is used a key: that of the one that was used longest ago. */
  #give(classId) {
    const used = [classId, ...kept("used", []).filter((id) => id !== classId)].slice(0, KEYS);
    const keys = this.#keys;
    const at = keys.includes(classId) ? keys.indexOf(classId) : keys.length < KEYS ? keys.length : keys.findLastIndex((id) => !used.includes(id));
    keys[at] = classId;
    keep("used", used);
    keep("keys", keys);
  }

  /** Ask in which frames around the marked box is, too; null: the person goes back to naming it. */
  async #ask(now, xyxy, name, advice) {
    this.#title.textContent = "In which frames is it?";
    this.#hint.textContent = "Escape goes back to naming the box.";
    this.#done.firstElementChild.textContent = "say in which frames";
    const boxes = await this.#follow.ask(now, xyxy, name, advice);
    if (this.#now) this.#words();
    return boxes;
  }

  #complete(complete) {
    if (!this.#now) return this.#empty.hidden ? undefined : this.#shared.go("report"); // or the next one is on its way
    if (this.#isNaming()) return;
    if (this.#isSaid(complete)) return this.#lane.leave();
    const { item_id, version } = this.#now;
    const open = this.#open.length;
    if (!complete) say("This frame stays incomplete");
    else if (open) say(`Searched. It counts as complete once its ${count(open)} with ? ${open === 1 ? "is" : "are"} decided`);
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

/** What is in a box, in words. */
const nameIn = ({ class_id, decided }) => (decided && class_id === null ? UNTOLD : className(class_id));
