// Files on their way: a few at a time, with progress, until they are cases, refused, or cancelled.

import { ask, sessionEnded } from "./api.js";

const AT_ONCE = 3;
const MASK_NAME = /_mask(_\d+)?\.\w+$/i;

export class Intake extends EventTarget {
  // Events: progress {done, total, note, frame, frames}, case {case, single}, cine {case, frames}, refused {name, sentence},
  // ended. A cine's frames are cases; when all are there, its event has the one with the largest lesion.
  constructor() {
    super();
    this.waiting = [];
    this.working = 0;
    this.#reset();
  }

  /** @param {File[]} files @param {number} largest bytes. @param {number} every of a cine, each so manieth frame. */
  add(files, largest, every = 1) {
    const images = files.filter((file) => !MASK_NAME.test(file.name));
    const masks = files.length - images.length;
    if (masks) this.#tell("refused", { name: `${masks} mask ${masks === 1 ? "file" : "files"}`, sentence: "left out: masks are not analysed" });
    const single = images.length === 1 && !this.busy;
    for (const file of images) this.waiting.push({ file, single, largest, every });
    this.total += images.length;
    this.#progress();
    while (this.working < AT_ONCE && this.waiting.length) this.#work();
  }

  get busy() {
    return this.working > 0 || this.waiting.length > 0;
  }

  cancel() {
    this.waiting = [];
    this.stop.abort();
    this.#reset();
    this.#progress();
  }

  async #work() {
    const { stop } = this;
    this.working += 1;
    while (this.waiting.length && !stop.signal.aborted) {
      const item = this.waiting.shift();
      try {
        await this.#take(item, stop.signal);
      } catch (error) {
        if (error.name === "AbortError") break;
        if (sessionEnded(error)) {
          this.cancel();
          this.#tell("ended", {});
          break;
        }
        this.#tell("refused", { name: item.file.name, sentence: error.message });
      }
      if (stop === this.stop) {
        this.done += 1;
        this.#progress();
      }
    }
    this.working -= 1;
    if (!this.busy) {
      this.#reset();
      this.#progress();
    }
  }

  async #take({ file, single, largest, every }, signal) {
    if (file.size > largest) throw new Error(`this file is over ${Math.floor(largest / 1e6)} MB; make it smaller, or start the server with a larger --max-upload`);
    const waiting = (sentence) => this.#progress(sentence);
    const headers = { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) };
    const uploaded = await (await ask("/api/uploads", { method: "POST", body: file, headers, signal })).json();
    const forget = () => fetch(`/api/uploads/${uploaded.key}`, { method: "DELETE" }).catch(() => {}); // no frame is asked for any more
    try {
      const found = [];
      for (let frame = 0; frame < uploaded.frames; frame += every) {
        const address = `/api/uploads/${uploaded.key}/frames/${frame}`;
        const answer = await ask(address, { method: "POST", signal, waiting });
        found.push(await answer.json());
        this.#tell("case", { case: found.at(-1), single: single && frame === 0 });
        if (uploaded.frames > 1 && !signal.aborted) this.#progress(`frame ${frame + 1} of ${uploaded.frames}`, frame + 1, uploaded.frames);
      }
      if (found.length < uploaded.frames) forget();
      if (found.length > 1) this.#tell("cine", { case: found.reduce(larger), frames: found });
    } catch (error) {
      forget();
      throw error;
    }
  }

  #reset() {
    this.stop = new AbortController();
    this.done = 0;
    this.total = this.waiting.length;
  }

  #progress(note = "", frame = 0, frames = 0) {
    this.#tell("progress", { done: this.done, total: this.total, note, frame, frames });
  }

  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

/** Of two cases the one with the larger lesion; without any, the more probably malignant. */
function larger(one, other) {
  const area = ({ finding }) => finding.lesions[0]?.area_px ?? 0;
  const more = area(other) - area(one) || other.finding.probabilities.malignant - one.finding.probabilities.malignant;
  return more > 0 ? other : one;
}
