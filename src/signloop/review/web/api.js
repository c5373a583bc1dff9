// Requests of the page enter, the server's JSON leaves. Two kinds of failure: Unreachable (try again later), Refused (the server says no).

import { recovered, trouble } from "./trouble.js";

const PATIENCE_MS = 20000;

/** The server does not answer, or cannot do anything right now. */
export class Unreachable extends Error {}

/** The server answered that it will not do this. */
export class Refused extends Error {
  constructor(status, answer) {
    super(typeof answer.detail === "string" ? answer.detail : `The server refused this (${status}).`);
    this.status = status;
    this.itemId = answer.item_id ?? null;
  }
}

const json = (response) => response.json();
const bytes = (response) => (response.ok ? response.arrayBuffer() : response.json());

async function request(path, options, read = json, patience = PATIENCE_MS) {
  let response, answer;
  try {
    response = await fetch(path, { ...options, signal: patience ? AbortSignal.timeout(patience) : null });
    answer = await read(response);
  } catch {
    if (!response || response.ok) throw new Unreachable("The server does not answer.");
    answer = {};
  }
  if (response.ok) {
    recovered();
    return answer;
  }
  const refused = new Refused(response.status, answer);
  if (response.status >= 500 || response.status === 403 || response.status === 421) throw new Unreachable(`${refused.message}.`);
  throw refused;
}

/** Change something; `patience` in ms, 0 waits as long as it takes. */
export const post = (path, body, patience = PATIENCE_MS) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }, json, patience);

/** Read something; waits, with the banner, until the server answers. */
export async function get(path, read = json) {
  for (;;) {
    try {
      return await request(path, {}, read);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      await trouble(error.message);
    }
  }
}

/** Read what is no JSON. */
export const getBytes = (path) => get(path, bytes);

/** Read something that need not exist (any more): null then. */
export async function find(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error instanceof Refused && [404, 409, 422].includes(error.status)) return null; // 422: it can be no name of one
    throw error;
  }
}
