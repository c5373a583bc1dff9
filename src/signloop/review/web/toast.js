// Short messages enter; they are shown for some seconds in the line at the bottom, where nothing else is, and screen readers tell them.

import { make } from "./dom.js";

const LASTS_MS = 5000;
const host = document.querySelector(".toasts");

/** Say something; `bad` for what went wrong. */
export function say(text, bad = false) {
  const toast = make("p", { className: bad ? "bad" : "" }, make("span", { textContent: bad ? "⚠ " : "✓ ", ariaHidden: "true" }), text);
  host.replaceChildren(toast);
  setTimeout(() => toast.remove(), bad ? 2 * LASTS_MS : LASTS_MS);
}

/** Take back what was said, but not what went wrong: it is of something that is no longer shown. */
export const hush = () => host.querySelector("p:not(.bad)")?.remove();
