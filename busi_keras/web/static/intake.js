// Files on their way: a few at a time, with progress, until they are cases, refused, or cancelled.

import { ask, sessionEnded } from "./api.js";

const AT_ONCE = 3;
const MASK_NAME = /_mask(_\d+)?\.\w+$/i;

export class Intake extends EventTarget {
  // Events: progress {done, total, note}, case {case, single}, refused {name, sentence}, ended.
  constructor() {
    super();
    this.waiting = [];
    this.working = 0;
    this.#reset();
  }

  /** @param {File[]} files @param {number} largest bytes. */
  add(files, largest) {
    const images = files.filter((file) => !MASK_NAME.test(file.name));
    const masks = files.length - images.length;
    if (masks) this.#tell("refused", { name: `${masks} mask ${masks === 1 ? "file" : "files"}`, sentence: "left out: masks are not analysed" });
    const single = images.length === 1 && !this.busy;
    for (const file of images) this.waiting.push({ file, single, largest });
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

  async #take({ file, single, largest }, signal) {
    if (file.size > largest) throw new Error(`this file is over ${Math.floor(largest / 1e6)} MB; make it smaller first`);
    const waiting = (sentence) => this.#progress(sentence);
    const headers = { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) };
    const uploaded = await (await ask("/api/uploads", { method: "POST", body: file, headers, signal })).json();
    try {
      for (let frame = 0; frame < uploaded.frames; frame++) {
        const address = `/api/uploads/${uploaded.key}/frames/${frame}`;
        const answer = await ask(address, { method: "POST", signal, waiting });
        this.#tell("case", { case: await answer.json(), single: single && frame === 0 });
        if (uploaded.frames > 1) this.#progress(`frame ${frame + 1} of ${uploaded.frames}`);
      }
    } catch (error) {
      fetch(`/api/uploads/${uploaded.key}`, { method: "DELETE" }).catch(() => {}); // nobody asks for its frames any more
      throw error;
    }
  }

  #reset() {
    this.stop = new AbortController();
    this.done = 0;
    this.total = this.waiting.length;
  }

  #progress(note = "") {
    this.#tell("progress", { done: this.done, total: this.total, note });
  }

  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

/** The files of a drop, those in dropped folders, too. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean); // before the first await
  if (!entries.length) return [...transfer.files];
  const found = [];
  for (const entry of entries) await collect(entry, found);
  return found;
}

async function collect(entry, found) {
  if (entry.isFile) {
    found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const child of some) if (!child.name.startsWith(".")) await collect(child, found);
  }
}
