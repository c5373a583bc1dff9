// A person's name enters, from a field in the bar or in the report; it stands under all that they decide from then on.

import { make } from "./dom.js";
import { isLogin, onReviewer, reviewer, setReviewer } from "./state.js";

const LONGEST = 100; // letters

/** A field for the person's name. */
export function nameField(text) {
  const input = make("input", { type: "text", maxLength: LONGEST, autocomplete: "off", spellcheck: false, readOnly: isLogin() });
  const back = () => (input.value = reviewer());
  input.addEventListener("focus", () => input.select());
  input.addEventListener("blur", () => input.value !== reviewer() && setReviewer(input.value));
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "Enter" && !isLogin()) setReviewer(input.value);
    else back();
    input.blur();
  });
  back();
  onReviewer(back);
  return { element: make("label", { className: "who" }, text, input), input };
}
