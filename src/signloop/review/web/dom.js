// A tag, its properties and its children enter, an element leaves. Text goes in as text only, so that no name can become markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an HTML element; properties whose names hold "-" (and role) are set as attributes. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

/** Make an SVG element with attributes. */
export function draw(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  set(node, attributes);
  return node;
}

/** Set attributes of an SVG element. */
export function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

/** Make a button with the key that does the same. */
export function button(text, key, run, className = "") {
  const node = make("button", { type: "button", className }, make("span", { textContent: text }));
  if (key) node.append(make("kbd", { textContent: key }));
  node.addEventListener("click", run);
  return node;
}
