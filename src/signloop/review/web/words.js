// Values enter, words for people leave. What the things are called comes from the review itself.

import { reviewer, state } from "./state.js";

const STEPS = [[5, 1], [15, 5], [60, 10], [120, 30], [600, 60], [Infinity, 300]]; // minutes: below so many, in steps of so many

const name = () => state.about.object_name;

/** "1 thing", "2 things", "the things". */
export const one = () => name();
export const many = () => `${name()}s`;
export const count = (number) => `${number} ${number === 1 ? one() : many()}`;
export const notOne = () => `not ${/^[aeiou]/i.test(name()) ? "an" : "a"} ${name()}`;

/** A class in words; null is one that the models could not name. */
export const className = (id) => (id === null ? "no class known" : (state.classes.get(id)?.name ?? `class ${id}`));

/** An answer in words. */
export function verdict(answer) {
  if (answer.verdict === "sign") return className(answer.class_id);
  return { nothing: notOne(), unsure: "cannot tell", odd: "put aside" }[answer.verdict];
}

/** A person in words. */
export const person = (annotator) => (annotator === reviewer() ? "You" : annotator);

/** 0.934 → "93 %". */
export const percent = (share) => `${Math.round(share * 100)} %`;

/** What is proposed, and how sure the models are. */
export const sureness = (card) => (card.class_id === null ? className(null) : `${className(card.class_id)} ${percent(card.confidence)}`);

/** In how many frames a thing has a box; the answer is for all of them. */
export const inFrames = (card) => `${card.frames} ${card.frames === 1 ? "frame" : "frames"}`;

/** Seconds into a recording. */
export function moment(seconds) {
  if (seconds === null) return "time unknown";
  const whole = Math.floor(seconds / 60);
  return `${whole}:${(seconds - whole * 60).toFixed(1).padStart(4, "0")}`;
}

/** A stretch of work, no finer than an estimate can be. */
export function stretch(seconds) {
  const minutes = seconds / 60;
  if (minutes < 1) return "1 min";
  const step = STEPS.find(([below]) => minutes < below)[1];
  const whole = Math.ceil(minutes / step) * step;
  return whole < 120 ? `${whole} min` : `${whole / 60} h`;
}

/** When something was done, in the person's own time. */
export const when = (iso) => new Date(iso).toLocaleString();

/** Where a thing comes from. */
export const origin = (card) => `${card.recording}, ${moment(card.time_s)}`;
