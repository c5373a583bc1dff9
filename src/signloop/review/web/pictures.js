// Signs, frames and classes enter, addresses of their pictures leave; pictures that come next are loaded before they are shown.

import { getBytes } from "./api.js";

const HELD_CROPS = 240;
const HELD_FRAMES = 6;
const crops = new Map();
const frames = new Map();

/** A square cut-out; the version makes a new address once a person has corrected the box. */
export const crop = (card, index, side) => `/pictures/crop/${card.item_id}/${index}.jpg?side=${side}&v=${card.version}`;
export const frame = (recordingId, index) => `/pictures/frame/${recordingId}/${index}`;
export const region = (recordingId, index, [x1, y1, x2, y2], side) =>
  `/pictures/region/${recordingId}/${index}.jpg?x1=${x1}&y1=${y1}&x2=${x2}&y2=${y2}&side=${side}`;
export const face = (classId) => `/pictures/class/${classId}.png`;

/**
 * Cut-outs of a sheet's cards, in one request since each costs the server more than the picture: item -> bitmap; none of what is not
 * there. `which`: in which of a card's frames.
 */
export async function cutOuts(cards, which, side) {
  const asked = cards.filter((card) => card[which] !== null);
  if (!asked.length) return new Map();
  const content = await getBytes(`/pictures/sheet?side=${side}&crops=${asked.map((card) => `${card.item_id}.${card[which]}`)}`);
  const view = new DataView(content);
  const found = [];
  for (let at = 0; at < content.byteLength; ) {
    const size = view.getUint32(at);
    found.push(size ? new Blob([new Uint8Array(content, at + 4, size)], { type: "image/jpeg" }) : null);
    at += 4 + size;
  }
  const bitmaps = await Promise.all(found.map((blob) => blob && createImageBitmap(blob).catch(() => null)));
  return new Map(asked.map((card, k) => [card.item_id, bitmaps[k]]).filter(([, bitmap]) => bitmap));
}

function load(held, most, url) {
  const image = held.get(url) ?? new Image();
  if (!held.delete(url)) {
    image.fetchPriority = "low";
    image.src = url;
    image.decode().catch(() => {}); // a picture that is missing is told of where it is shown
  }
  held.set(url, image);
  if (held.size > most) held.delete(held.keys().next().value);
}

/** Whether a cut-out can be shown at once. */
export const isLoaded = (url) => crops.get(url)?.complete ?? false;

export const loadCrop = (url) => load(crops, HELD_CROPS, url);
export const loadFrame = (url) => load(frames, HELD_FRAMES, url);
