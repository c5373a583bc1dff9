// The keys that are bound now enter, a dialog that lists them leaves.

import { button, make } from "./dom.js";
import { bound } from "./keys.js";
import { state } from "./state.js";
import { one } from "./words.js";

const SIGNS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Backspace: "⌫", Escape: "Esc" };
const list = make("div", { className: "lists" });
const close = button("close", "Esc", () => dialog.close(), "main");
const counts = make("p", { className: "counts" });
const dialog = make("dialog", { "aria-label": "Keys" }, make("h1", { textContent: "Keys" }), counts, list, close);
document.body.append(dialog);

/** List the keys, under what counts. */
export function showKeys() {
  tellCounts(counts);
  const { here, everywhere } = bound();
  list.replaceChildren(table("In this view", here), table("Everywhere", everywhere));
  dialog.showModal();
  dialog.scrollTop = 0; // in a low window the button that has the keyboard would be scrolled to
}

/** Say what is to be labelled and what is not, if the taxonomy does. */
export function tellCounts(place) {
  place.hidden = !state.about.counts;
  place.replaceChildren(make("strong", { textContent: `What counts as a ${one()}: ` }), state.about.counts);
}

const written = (key) => (key === "+" ? key : key.split("+").map((part) => SIGNS[part] ?? capital(part)).join("+"));
const capital = (key) => key[0].toUpperCase() + key.slice(1);
const shown = (keys) => keys.map((key) => make("kbd", { textContent: written(key) }));

function table(title, bindings) {
  const rows = bindings
    .filter((one) => one.text)
    .map((one) => make("tr", {}, make("td", {}, ...shown(one.keys)), make("td", { textContent: one.text })));
  return make("section", {}, make("h2", { textContent: title }), make("table", {}, make("tbody", {}, ...rows)));
}
