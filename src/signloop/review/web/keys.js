// Key presses enter, the acts bound to them are run. A view binds its own keys; those bound everywhere stay. `?` lists what is bound here.

let everywhere = [];
let here = [];

/** Bindings ({keys, text, run, again: runs again while the key is held}) of all views. */
export function bindEverywhere(bindings) {
  everywhere = bindings;
}

/** Bindings of the view that is open. */
export function bind(bindings) {
  here = bindings;
}

/** What is bound now, for the list of keys. */
export const bound = () => ({ here, everywhere });

/** Digits are read from their places, since some keyboards need Shift for them; all other keys from their signs. */
export function nameOf(event) {
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code);
  const control = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  if (digit && !/^[/?+-]$/.test(event.key)) return `${control}${event.shiftKey ? "Shift+" : ""}${digit[1]}`;
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (key.length > 1 || /[a-z]/.test(key)) ? "Shift+" : "";
  return control + shift + key;
}

function isForControl(event) {
  const target = event.target;
  if (target.matches("input")) return true;
  return (event.key === "Enter" || event.key === " ") && target.matches("button:focus-visible, a:focus-visible");
}

addEventListener("keydown", (event) => {
  if (event.defaultPrevented) return; // a dialog took it, and may be closed by now
  if (event.altKey || event.isComposing || isForControl(event) || document.querySelector("dialog[open]")) return;
  const pressed = nameOf(event);
  const binding = [...here, ...everywhere].find((one) => one.keys.includes(pressed));
  if (!binding) return;
  event.preventDefault();
  if (!event.repeat || binding.again) binding.run(pressed);
});

// A button that was clicked gives the keyboard back: otherwise Enter would press it again.
addEventListener("click", (event) => {
  if (event.detail > 0) event.target.closest?.("button, a")?.blur();
});
