// How well the review goes enters and is told in words; the button that publishes, and the history of all acts, leave.

import { get, post, Refused, Unreachable } from "./api.js";
import { button, make } from "./dom.js";
import { isLogin, onReviewer } from "./state.js";
import { say } from "./toast.js";
import { nameField } from "./who.js";
import { many, percent, person, when } from "./words.js";

const ROWS = 50; // of the history on one page
const ENOUGH = 10; // planted ones: of fewer, hardly anything follows
const NARROW = 2; // figures that need few words: they stand side by side

/** The report view. `shared`: queue, clock, go(view, id), place(view, id). */
export class ReportView {
  #shared;
  #numbers = make("dl", { className: "numbers" });
  #published = make("output", { className: "published" });
  #publish = button("Publish the answers", "P", () => this.#write(), "main");
  #rows = make("tbody");
  #older = button("older", "", () => this.#history(this.#oldest));
  #newest = button("newest", "", () => this.#history(null));
  #name = nameField("Your name");
  #oldest = null;
  #sent = 0; // the last act that is published
  element;
  bindings = [{ keys: ["p"], text: "publish the answers", run: () => this.#write() }];

  constructor(shared) {
    this.#shared = shared;
    onReviewer(() => this.element.isConnected && this.open());
    const head = ["No.", "When", "Who", "Answer or change", "Seconds", ""].map((text) => make("th", { textContent: text, scope: "col" }));
    const who = make("div", { className: "buttons" }, this.#name.element);
    if (isLogin()) who.append(button("log out", "", () => this.#logOut()));
    this.element = make(
      "section", { className: "report" },
      make("div", {}, make("div", { className: "head" }, make("h1", { textContent: "How the review goes" }), who), this.#numbers),
      make(
        "div", {}, make("h2", { textContent: "Publish" }),
        make("p", { textContent: "Hands the answers over to the next training of the models, but not what is open, put aside or taken back. Go on afterwards, and publish again." }),
        this.#publish, this.#published,
      ),
      make(
        "div", { className: "history" }, make("h2", { textContent: "All that was done, the newest first" }),
        make("div", { className: "table" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), this.#rows)),
        make("div", { className: "buttons" }, this.#newest, this.#older),
      ),
    );
  }

  /** Show how it goes; "name": with the field for the person's name. */
  async open(id) {
    if (id === "name") this.#name.input.focus();
    this.#shared.place("report", undefined);
    await this.#shared.queue.idle();
    await this.#quality();
    await this.#history(null);
  }

  close() {}

  changed() {
    this.open();
  }

  async #quality() {
    const quality = await get("/api/quality");
    this.#sent = quality.published;
    this.#numbers.replaceChildren(...sentences(quality).map(([name, value, text], k) =>
      make("div", { className: k < NARROW ? "" : "wide" }, make("dt", { textContent: name }), make("dd", {}, make("strong", { textContent: value }), make("span", { textContent: text }))),
    ));
  }

  async #history(before) {
    const rows = await get(`/api/history?size=${ROWS}${before ? `&before=${before}` : ""}`);
    this.#oldest = rows.at(-1)?.number ?? null;
    this.#older.disabled = rows.length < ROWS || this.#oldest === 1;
    this.#newest.disabled = before === null;
    if (before === null) {
      const isAll = rows.length > 0 && rows[0].number === this.#sent;
      this.#publish.firstElementChild.textContent = isAll ? "All is published" : "Publish the answers";
    }
    this.#rows.replaceChildren(...rows.flatMap((row) => (row.number === this.#sent ? [line(), this.#row(row)] : [this.#row(row)])));
    if (!rows.length) this.#rows.append(make("tr", {}, make("td", { colSpan: 6, textContent: "Nothing was done yet." })));
  }

  #row(row) {
    const [isUndone, note] = row.undone_by === null ? [false, ""] : [true, row.act === "undo" ? " (done again)" : " (taken back)"];
    const what = make("td", {}, make(isUndone ? "s" : "span", { textContent: row.text }), note);
    const acts = make("td");
    const isGone = isUndone && row.act === "add";
    if (row.items.length === 1 && row.act !== "sweep" && !isGone) acts.append(button("look", "", () => this.#shared.go("single", row.items[0])));
    if (row.items.length === 1 && row.act === "sweep") acts.append(button("look", "", () => this.#shared.go("sweep", row.items[0])));
    if (row.act !== "undo") {
      acts.append(isUndone ? button("do again", "", () => this.#takeBack(row.undone_by)) : button("take back", "", () => this.#takeBack(row.number)));
    }
    const cells = [String(row.number), when(row.at), person(row.annotator)].map((text) => make("td", { textContent: text }));
    return make("tr", {}, ...cells, what, make("td", { textContent: row.seconds.toFixed(1) }), acts);
  }

  /** Take back an act, or an undo: that does the act again. */
  async #takeBack(number) {
    await this.#shared.queue.act({ act: "undo", number }, {}, this.#shared.clock.take());
    this.open();
  }

  /** Log out, once all that was answered is stored. */
  async #logOut() {
    await this.#shared.queue.idle();
    try {
      await post("/logout", {});
      location.assign("/login");
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      say(`Not logged out: ${error.message} Try again.`, true);
    }
  }

  async #write() {
    this.#published.textContent = "Publishing …";
    await this.#shared.queue.idle();
    try {
      this.#published.textContent = (await post("/api/publish", {}, 0)).report;
      this.#published.scrollIntoView({ block: "nearest" });
      say("Published");
      this.open();
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      this.#published.textContent = "";
      say(`Not published: ${error.message} Try again.`, true);
    }
  }
}

/** What stands between the acts that are published and those that are not. */
const line = () => make("tr", { className: "line" }, make("td", { colSpan: 6, textContent: "All below is published" }));

function sentences(quality) {
  const { decided, corrected, caught, planted, agreed, repeats } = quality;
  const beside = [planted + repeats && `${planted + repeats} ${planted + repeats === 1 ? "check" : "checks"} (below)`, quality.added && `${quality.added} that you drew`].filter(Boolean);
  const sure = ([low, high]) => `With 95 % certainty, ${percent(low)} to ${percent(high)} in the long run.`;
  const number = (value) => String(value < 100 ? Math.round(value * 10) / 10 : Math.round(value));
  const [each, left] = [quality.seconds_per_sign, quality.mistakes_left_bounds];
  return [
    [
      "Answered", String(decided),
      `${many()} that the models found${decided ? `; ${percent(corrected / decided)} were wrong and are corrected` : ""}` +
        (beside.length ? `. The bar at the top also counts ${beside.join(" and ")}` : ""),
    ],
    ["Speed", !decided || each === null ? "–" : number(quality.signs_per_minute), `${many()} a minute${each === null ? "" : `, ${number(each)} s each`}; breaks are not counted`],
    [
      "Wrong on purpose, and noticed", planted ? percent(caught / planted) : "–",
      `Now and then something wrong is shown on purpose, to see whether it is noticed. ` +
        (planted ? `${caught} of ${planted} were. ${sure(quality.catch_interval)}` : "None was answered yet."),
    ],
    [
      "Shown twice, same answer", repeats ? percent(agreed / repeats) : "–",
      `Some ${many()} come a second time, to see whether the answer stays the same. ` +
        (repeats ? `${agreed} of ${repeats} did. ${sure(quality.agree_interval)}` : "None was answered twice yet."),
    ],
    [
      "Mistakes left", left && planted >= ENOUGH ? `${number(left[0])} to ${number(left[1])}` : "–",
      left && planted >= ENOUGH
        ? `answered ${many()} are still wrong, with 95 % certainty, judged by those that were made wrong on purpose; most likely about ${number(quality.mistakes_left)}.`
        : `Answered ${many()} that are still wrong: known once at least ${ENOUGH} that were made wrong on purpose are answered, and some were noticed.`,
    ],
  ];
}
