// The page starts here: it asks what the review is about, builds the four views, and goes from one to the other.

import { find, get, Refused } from "./api.js";
import { Conflicts } from "./conflict.js";
import { button, make } from "./dom.js";
import { showKeys } from "./help.js";
import { bind, bindEverywhere } from "./keys.js";
import { Queue } from "./queue.js";
import { ReportView } from "./report.js";
import { SheetView } from "./sheet.js";
import { SingleView } from "./single.js";
import { isNamed, keep, kept, onProgress, onReviewer, setAbout, setProgress } from "./state.js";
import { SweepView } from "./sweep.js";
import { Clock } from "./time.js";
import { say } from "./toast.js";
import { nameField } from "./who.js";
import { many, stretch } from "./words.js";

const main = document.querySelector("main");

async function start() {
  const [about, progress, newest] = await Promise.all([get("/api/about"), get("/api/progress"), get("/api/history?size=1")]);
  setAbout(about);
  const conflicts = new Conflicts(
    (id) => go("single", id),
    (answer, version) => queue.act({ act: "decide", view: "single", answers: [answer] }, { [answer.item_id]: version }, clock.take()),
  );
  const queue = new Queue(newest[0]?.number ?? 0, (answer, id, text) => conflicts.add(answer, id, text), (text) => say(`Not done: ${text}`, true));
  const clock = new Clock();
  const shared = { queue, clock, go, place };
  const views = {
    sheet: { name: "Sheets", view: new SheetView(shared) },
    single: { name: "One by one", view: new SingleView(shared) },
    sweep: { name: "Missed", view: new SweepView(shared) },
    report: { name: "Report", view: new ReportView(shared) },
  };
  const names = Object.keys(views);
  let current = null;

  const tabs = names.map((name, k) => {
    const open = make("span", { className: "open" });
    const tab = make("a", { href: `#${name}` }, views[name].name, open, make("kbd", { textContent: `⇧${k + 1}` }));
    views[name].open = open;
    tab.setAttribute("aria-keyshortcuts", `Shift+${k + 1}`);
    views[name].tab = tab;
    return tab;
  });
  document.querySelector("nav").append(...tabs);
  const name = firstName();
  const light = button("lighten", "L", lighten);
  light.id = "lighten";
  light.ariaPressed = "false";
  document.querySelector(".tools").append(
    name.element,
    button("undo", "Z", () => undo(false)),
    button("redo", "Y", () => undo(true)),
    light,
    button("keys", "?", showKeys),
  );
  bindEverywhere([
    ...names.map((name, k) => ({ keys: [`Shift+${k + 1}`], text: views[name].name, run: () => go(name) })),
    { keys: ["z", "Ctrl+z"], text: "take the last act back", run: () => undo(false) },
    { keys: ["y", "Ctrl+y", "Ctrl+Shift+z"], text: "do it again", run: () => undo(true) },
    { keys: ["l"], text: "lighten what is dark in the pictures, or not", run: lighten },
    { keys: ["w"], text: "who decides: set your name", run: () => (isNamed() ? go("report", "name") : name.input.focus()) },
    { keys: ["?"], text: "list the keys", run: showKeys },
  ]);
  onProgress(showProgress());
  onProgress(({ waiting, signs_open, frames_open }) => {
    const open = { sheet: waiting, single: signs_open - waiting, sweep: frames_open };
    for (const [name, number] of Object.entries(open)) {
      views[name].open.textContent = number || "✓";
      views[name].open.title = number ? `${number} wait here` : "nothing waits here";
    }
  });
  setProgress(progress);

  /** Go to a view; an id is a class for sheets, a sign or a frame elsewhere. */
  function go(name, id) {
    const hash = hashOf(name, id);
    if (location.hash !== hash) history.pushState(null, "", hash);
    route(); // at once: what is still being shown may write its own place before a hashchange comes
  }

  /** Tell the address what is shown, so that a reload comes back to it. */
  function place(name, id) {
    const hash = hashOf(name, id);
    if (current === views[name] && location.hash !== hash) history.replaceState(null, "", hash);
  }

  function route(otherwise) {
    const [name, id] = location.hash.slice(1).split("/");
    const to = views[name] ? name : "sheet";
    if (current && current !== views[to]) current.view.close();
    current = views[to];
    main.replaceChildren(current.view.element);
    for (const one of Object.values(views)) one.tab.setAttribute("aria-current", one === current ? "page" : "false");
    bind(current.view.bindings);
    if (to !== "single" && to !== "sweep") keep("from", null);
    clock.take();
    current.view.open(id ?? otherwise?.[to]);
  }

  async function undo(again) {
    if (current === views.sheet && current.view.unmark(again)) return;
    const done = await queue.undo(again, clock.take());
    if (!done) return;
    say(again ? `Done again: ${done.text}` : `Taken back: ${done.text}. Y does it again`);
    const [id] = Object.keys(done.versions);
    const detail = id ? await find(`/api/signs/${id}`) : null;
    if (id && !detail && current !== views.report) {
      if (current === views.sweep) current.view.changed(null, id);
      else go("sweep", id);
    } else if (again && current === views.sheet) current.view.changed(null); // what was put aside again is not on it
    else if (detail && current === views.sweep) current.view.look(id);
    else if (detail && current === views.sheet && detail.card.is_odd) go("single", id);
    else current.view.changed(detail);
  }

  addEventListener("hashchange", () => route());
  route({ single: kept("single", undefined) });
}

const hashOf = (name, id) => `#${name}${id === undefined ? "" : `/${id}`}`;

/** Show dark pictures brighter, or as they are. */
function lighten() {
  document.querySelector("#lighten").ariaPressed = String(document.body.classList.toggle("lit"));
}

/** A field for the person's name in the bar, until it is set. */
function firstName() {
  const name = nameField("You");
  const tell = () => (name.element.hidden = isNamed());
  onReviewer(tell);
  tell();
  return name;
}

/** The bar at the top. */
function showProgress() {
  const bar = make("progress", { max: 1, value: 0, "aria-label": "answered so far" });
  const [done, rest] = [make("span"), make("span")];
  document.querySelector(".progress").append(bar, done, rest);
  return ({ signs, signs_open, frames, frames_open, seconds_left }) => {
    bar.max = Math.max(1, signs + frames);
    bar.value = signs - signs_open + frames - frames_open;
    const left = !(signs_open + frames_open) ? "all done" : seconds_left === null ? "" : `${stretch(seconds_left)} left`;
    done.textContent = `${signs - signs_open} of ${signs} ${many()} answered`;
    rest.textContent = [`${frames - frames_open} of ${frames} frames searched`, left].filter(Boolean).join(" · ");
  };
}

start().catch((error) => {
  if (!(error instanceof Refused)) throw error;
  main.replaceChildren(make("p", { className: "empty", textContent: error.message }));
});
