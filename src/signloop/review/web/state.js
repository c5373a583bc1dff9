// What the server told about the review enters; what all views share leaves: classes, names of things, progress, and what outlives a reload.

export const state = { about: null, classes: new Map(), progress: null };
const NAME = "signloop.reviewer"; // in this browser
const listeners = new Set();
const namesakes = new Set();

/** Take in what is known from the start. */
export function setAbout(about) {
  state.about = about;
  state.classes = new Map(about.classes.map((one) => [one.id, one]));
}

/** Take in how far the review is, and tell whoever listens. */
export function setProgress(progress) {
  state.progress = progress;
  for (const tell of listeners) tell(progress);
}

/** Be told of progress. */
export function onProgress(tell) {
  listeners.add(tell);
}

/** Whether the person has logged in: their name is that of the login then. */
export const isLogin = () => state.about.is_login;

/** Who decides here: the name that was set in this browser, or the one that the server was started for. */
export const reviewer = () => (!isLogin() && localStorage.getItem(NAME)) || state.about.reviewer;

/** Whether the person was asked for their name. */
export const isNamed = () => isLogin() || localStorage.getItem(NAME) !== null;

/** Set the person's name; without one, the server's holds. */
export function setReviewer(name) {
  const own = name.trim();
  localStorage.setItem(NAME, own === state.about.reviewer ? "" : own);
  for (const tell of namesakes) tell();
}

/** Be told of another name, be it set in another tab. */
export function onReviewer(tell) {
  namesakes.add(tell);
}

addEventListener("storage", (event) => {
  if (event.key === NAME) for (const tell of namesakes) tell();
});

/** Read what was kept in this tab; `otherwise` if there is nothing. */
export function kept(name, otherwise) {
  try {
    return JSON.parse(sessionStorage.getItem(key(name))) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keep something in this tab, so that a reload finds it. */
export function keep(name, value) {
  sessionStorage.setItem(key(name), JSON.stringify(value));
}

const key = (name) => `${state.about.review_id}.${state.about.reviewer}.${name}`;
