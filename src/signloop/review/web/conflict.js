// Signs about which somebody else decided meanwhile enter; the person sees who said what, and decides again, knowingly.

import { find } from "./api.js";
import { button, make } from "./dom.js";
import { one, origin, person, verdict, when } from "./words.js";

/** The dialog of conflicts, one after the other. `look(itemId)` opens the sign by itself, `again(answer, version)` answers it as before. */
export class Conflicts {
  #look;
  #again;
  #waiting = [];
  #telling = false;
  #words = make("div");
  #buttons = make("div", { className: "buttons" });
  #title = make("h1", { tabIndex: -1 });
  #dialog = make("dialog", { className: "conflict" }, this.#title, this.#words, this.#buttons);

  constructor(look, again) {
    this.#look = look;
    this.#again = again;
    document.body.append(this.#dialog);
  }

  /** Tell of a conflict; `answer` is what the person said, null if they did something else. */
  add(answer, itemId, text) {
    this.#waiting.push({ answer, itemId, text });
    if (!this.#telling) this.#tellAll();
  }

  async #tellAll() {
    this.#telling = true;
    try {
      while (this.#waiting.length) {
        const conflict = this.#waiting.shift();
        this.#show(conflict, await find(`/api/signs/${conflict.itemId}`));
        await new Promise((resolve) => this.#dialog.addEventListener("close", resolve, { once: true }));
      }
    } finally {
      this.#telling = false;
    }
  }

  #show(conflict, detail) {
    this.#title.textContent = detail ? `Meanwhile: ${origin(detail.card)}` : "This could not be done";
    const told = (answer) => make("li", { textContent: `${person(answer.annotator)}: ${verdict(answer)} (${when(answer.at)})` });
    const given = detail?.card.answers.map(told) ?? [];
    this.#words.replaceChildren(
      make("p", { textContent: `Your answer was not stored, and nothing was overwritten: ${conflict.text.split(` (${conflict.itemId}`)[0]}.` }),
      ...(given.length ? [make("p", { textContent: `What is stored of this ${one()}:` }), make("ul", {}, ...given)] : []),
      ...(conflict.answer ? [make("p", { textContent: `What you said: ${verdict(conflict.answer)}` })] : []),
    );
    const close = (run) => () => {
      run();
      this.#dialog.close();
    };
    this.#buttons.replaceChildren(
      ...(detail ? [button("look at it", "", close(() => this.#look(conflict.itemId)))] : []),
      ...(detail && conflict.answer ? [button("store my answer too", "", close(() => this.#again(conflict.answer, detail.card.version)))] : []),
      button("leave it as it is", "Esc", () => this.#dialog.close()),
    );
    this.#dialog.showModal();
    this.#title.focus(); // no button: a key pressed for the next item must not decide here
  }
}
