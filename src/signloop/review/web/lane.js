// Things that wait for a look of their own come in from the server, some at a time; the one to look at now leaves, and the way back to those before.

import { say } from "./toast.js";

const BACK = 500; // that one can go back

/**
 * What is looked at one by one. `shared`: queue, clock. The way: `idOf(detail)`; `find(id)`: null if it is gone; `read(after)`: some that
 * wait; `show(detail)`: null if none waits; `ahead(details)`: they come next.
 */
export class Lane {
  now = null; // on the screen; null as long as the next one is on its way
  next = [];
  #shared;
  #least;
  #most;
  #way;
  #back = [];
  #turn = 0;
  #reading = null;

  /** More is read once fewer than half of `most` are known to come. */
  constructor(shared, most, way) {
    this.#shared = shared;
    this.#most = most;
    this.#least = most / 2;
    this.#way = way;
  }

  /** Show one; undefined: the first that waits. */
  async open(id) {
    const turn = this.#begin();
    this.now = null;
    this.next = [];
    await this.#shared.queue.idle();
    const first = id ? await this.#way.find(id) : null;
    if (turn !== this.#turn) return;
    if (first) this.next.push(first);
    await this.#advance();
  }

  /** What is on its way is not shown any more. */
  close() {
    this.#begin();
  }

  /** Go on to the next one; this one can be gone back to. */
  leave() {
    this.#back.push(this.#way.idOf(this.now));
    if (this.#back.length > BACK) this.#back.shift();
    this.#advance();
  }

  /** Go back to the one before. */
  async back() {
    const id = this.#back.pop();
    if (!id) return say("There is none before this one");
    const turn = this.#begin();
    await this.#shared.queue.idle();
    const before = await this.#way.find(id);
    if (turn !== this.#turn) return;
    if (before && this.now) this.next.unshift(this.now);
    this.#shared.clock.take();
    if (before) this.show(before);
    else if (!this.now) await this.#advance();
  }

  /** It is no longer there. */
  forget(id) {
    this.next = this.next.filter((detail) => this.#way.idOf(detail) !== id);
    this.#back = this.#back.filter((one) => one !== id);
  }

  /** Show this one now. */
  show(detail) {
    this.now = detail;
    this.#way.show(detail);
    this.#way.ahead(this.next);
  }

  #begin() {
    this.#reading = null;
    return ++this.#turn;
  }

  /** Show the next one; at once if it is here already. */
  async #advance() {
    const turn = this.#turn;
    const last = this.now;
    this.now = null;
    if (!this.next.length) await this.#reading;
    if (!this.next.length && turn === this.#turn) await this.#fill(last); // anew: the last answer may have opened another question
    if (turn !== this.#turn) return;
    this.show(this.next.shift() ?? null);
    if (this.next.length < this.#least) this.#fill();
  }

  /** Read more of those that wait, behind the last one that is known. */
  #fill(last = this.now) {
    if (this.#reading) return this.#reading;
    const reading = this.#read(this.next.at(-1) ?? last).finally(() => {
      if (this.#reading === reading) this.#reading = null;
    });
    this.#reading = reading;
    return reading;
  }

  async #read(last) {
    const turn = this.#turn;
    await this.#shared.queue.idle();
    const since = this.#shared.queue.moment;
    const found = await this.#way.read(last && this.#way.idOf(last));
    if (turn !== this.#turn) return;
    const { idOf } = this.#way;
    const known = new Set([...this.next, ...(this.now ? [this.now] : [])].map(idOf));
    const isOpen = (id) => !known.has(id) && (this.#shared.queue.said(id, since) ?? "odd") === "odd";
    const left = (detail) => this.#back.lastIndexOf(idOf(detail)); // those that were left for later come last
    const waiting = found.filter((detail) => isOpen(idOf(detail))).sort((a, b) => left(a) - left(b));
    this.next.push(...waiting.slice(0, this.#most));
    this.#way.ahead(this.next);
  }
}
