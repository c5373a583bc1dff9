// What went wrong on the way to the server enters; a banner with "Try again" is shown, and whoever waits goes on by the button or after a while.

import { make } from "./dom.js";

const AGAIN_MS = 3000;
const host = document.querySelector(".trouble");
const text = make("span");
const again = make("button", { type: "button", textContent: "Try again" });
host.append(text, again);
let waiting = [];

/** Show the banner; resolves when it is time to try again. */
export function trouble(what) {
  text.textContent = `${what} Nothing that was answered is lost: it is kept here and sent as soon as the server takes it.`;
  host.hidden = false;
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, AGAIN_MS);
    waiting.push(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** The server answers: hide the banner. */
export function recovered() {
  if (host.hidden) return;
  host.hidden = true;
  waiting = [];
}

again.addEventListener("click", () => {
  const all = waiting;
  waiting = [];
  for (const go of all) go();
});
