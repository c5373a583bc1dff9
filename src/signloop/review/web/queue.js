// Acts of the person enter and are sent to the server one after the other, in order, while the page shows the next item already.
// What is not stored yet is kept in the tab, so neither a server that is away nor a reload loses an answer; and what the server may have
// stored before its answer was lost is looked up in the history first, so none is stored twice.

import { get, post, Refused, Unreachable } from "./api.js";
import { keep, kept, reviewer, setProgress } from "./state.js";
import { trouble } from "./trouble.js";

const REMEMBERED = 600; // items that were answered lately

/** The way of all acts to the server; `onConflict(answerOrAct, itemId, text)`, `onRefused(text)`. */
export class Queue {
  #jobs;
  #number;
  #running = false;
  #waiting = [];
  #own = new Map(); // item -> versions that were seen and overtaken by own acts only, and the newest one
  #answered = new Map(); // item -> {verdict, job}
  #settled = 0; // acts, so far
  #onConflict;
  #onRefused;

  constructor(newest, onConflict, onRefused) {
    this.#number = newest;
    this.#onConflict = onConflict;
    this.#onRefused = onRefused;
    this.#jobs = kept("queue", []).map((job) => ({ ...job, tried: true }));
    for (const job of this.#jobs) this.#remember(job);
    this.#run();
  }

  /** Do an act; `seen`: item -> version that was on the screen. Resolves with the server's answer; null if it did not come to be. */
  act(act, seen, seconds) {
    return this.#add({ act, seen, seconds });
  }

  /** Take back the last act, or do it again. */
  undo(again, seconds) {
    return this.#add({ act: { act: "undo" }, again, seconds });
  }

  /** Resolves once all acts are stored. */
  idle() {
    return this.#jobs.length ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve();
  }

  /** To be remembered before the server is asked for what is open: its answer knows all that is stored up to now. */
  get moment() {
    return this.#settled;
  }

  /** What the person has said of an item that the server did not know yet at a moment; undefined if nothing. */
  said(itemId, moment) {
    const answer = this.#answered.get(itemId);
    return answer && (answer.job.stored ?? Infinity) > moment ? answer.verdict : undefined;
  }

  #add(job) {
    return new Promise((resolve) => {
      const added = { ...job, reviewer: reviewer(), after: this.#number, tried: false, resolve };
      this.#jobs.push(added);
      this.#remember(added);
      this.#keep();
      this.#run();
    });
  }

  #keep() {
    keep("queue", this.#jobs.map(({ resolve, ...job }) => job));
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    while (this.#jobs.length) await this.#step(this.#jobs[0]);
    this.#running = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  async #step(job) {
    try {
      const done = (job.tried && (await this.#stored(job))) || (await this.#send(job));
      this.#settle(job, done);
      this.#end(job, done);
    } catch (error) {
      if (error instanceof Unreachable) {
        job.tried = true;
        await trouble(error.message);
      } else if (error instanceof Refused) {
        this.#refused(job, error);
      } else throw error;
    }
  }

  #send(job) {
    const by = { seconds: job.seconds, reviewer: job.reviewer };
    if (job.act.act === "undo" && !job.act.number) return post("/api/undo", { ...by, again: job.again });
    const based_on = Object.fromEntries(Object.entries(job.seen).map(([id, seen]) => [id, this.#version(id, seen)]));
    return post("/api/acts", { ...by, act: job.act, based_on });
  }

  /** Find an act in the history that was stored though its answer never came. */
  async #stored(job) {
    const items = itemsOf(job.act).sort().join();
    const isIt = (row) => row.number > job.after && row.annotator === job.reviewer && row.act === job.act.act && !row.is_undone;
    const row = (await get("/api/history?size=100")).find((one) => isIt(one) && one.items.sort().join() === items);
    if (!row) return null;
    return { number: row.number, text: row.text, versions: Object.fromEntries(row.items.map((id) => [id, row.number])), progress: await get("/api/progress") };
  }

  #settle(job, done) {
    this.#number = Math.max(this.#number, done.number);
    for (const next of this.#jobs) next.after = Math.max(next.after, done.number); // an equal one behind it is not this one
    if (job.act.act === "undo") {
      this.#own.clear();
      this.#answered.clear();
    } else {
      for (const [id, version] of Object.entries(done.versions)) {
        const old = this.#own.get(id)?.seen ?? new Set();
        this.#own.delete(id);
        old.add(this.#seen(job, id));
        old.delete(version);
        this.#own.set(id, { seen: old, newest: version });
      }
      forget(this.#own);
    }
    setProgress(done.progress);
  }

  #seen(job, id) {
    return job.seen[id] ?? 0;
  }

  #version(id, seen) {
    const own = this.#own.get(id);
    return own?.seen.has(seen) ? own.newest : seen;
  }

  #refused(job, error) {
    const answers = job.act.answers;
    const mine = answers?.find((answer) => answer.item_id === error.itemId);
    if (error.status === 409 && answers?.length > 1 && mine) {
      job.act = { ...job.act, answers: answers.filter((answer) => answer !== mine) };
      this.#answered.delete(error.itemId);
      this.#keep();
      this.#onConflict(mine, error.itemId, error.message);
      return;
    }
    for (const id of itemsOf(job.act)) this.#answered.delete(id);
    this.#end(job, null);
    if (error.status === 409 && error.itemId) this.#onConflict(mine ?? null, error.itemId, error.message);
    else this.#onRefused(error.message);
  }

  #end(job, done) {
    this.#jobs.shift();
    job.stored = ++this.#settled;
    this.#keep();
    job.resolve?.(done);
  }

  #remember(job) {
    const { act } = job;
    const note = (id, verdict) => {
      this.#answered.delete(id);
      this.#answered.set(id, { verdict, job });
    };
    if (act.act === "split" || act.act === "merge") this.#answered.delete(act.item_id);
    if (act.act === "merge") note(act.other_id, "merged");
    if (act.act === "sweep") note(act.item_id, "searched");
    for (const answer of act.answers ?? []) note(answer.item_id, answer.verdict);
    forget(this.#answered);
  }
}

/** Signs and frames that an act changes, as the history tells them. */
const itemsOf = (act) => act.answers?.map((answer) => answer.item_id) ?? [act.item_id, act.new_id, act.other_id].filter(Boolean);

function forget(map) {
  while (map.size > REMEMBERED) map.delete(map.keys().next().value);
}

/** A name for an item that a person makes. */
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
