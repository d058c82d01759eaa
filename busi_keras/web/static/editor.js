// A brush on the mask: with a pointer, or with the keyboard.

import { contour } from "./contour.js";
import { say } from "./writing.js";

const KEPT_STEPS = 30;
const KEPT_BYTES = 64_000_000;

export class MaskEditor {
  /** @param {import("./viewer.js").Viewer} viewer @param {() => void} changed told after each change. */
  constructor(viewer, changed) {
    this.viewer = viewer;
    this.changed = changed;
    this.adds = true;
    this.radius = 6;
    this.on = false;
    this.mask = null;
    const { canvas } = viewer;
    canvas.addEventListener("pointerdown", (event) => this.#start(event));
    canvas.addEventListener("pointermove", (event) => this.#hover(event));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** A new image's mask, and the one that its model outlined: 0 and 1 for each pixel. */
  open(mask, modelsMask, width, height) {
    this.width = width;
    this.height = height;
    this.mask = mask.slice();
    this.kept = mask;
    this.modelsMask = modelsMask;
    this.steps = [];
    this.stop();
  }

  /** No image's, until one is opened. */
  close() {
    this.stop();
    cancelAnimationFrame(this.showing);
    this.showing = 0;
    this.mask = null;
  }

  /** Whether the mask is another than the one that was opened, or saved last. */
  get edited() {
    return this.mask !== null && !same(this.mask, this.kept);
  }

  /** Notes that a mask was saved. */
  saved(mask) {
    this.kept = mask;
  }

  start() {
    this.on = true;
    this.viewer.cursor = [this.width / 2, this.height / 2, this.radius];
    this.viewer.canvas.classList.add("editing");
    this.viewer.draw();
  }

  stop() {
    this.on = false;
    this.painting = this.viewer.filled = false;
    this.viewer.pointer.release();
    this.viewer.cursor = null;
    this.viewer.canvas.classList.remove("editing");
    this.viewer.draw();
  }

  brush(adds, radius) {
    this.adds = adds;
    this.radius = radius;
    if (this.viewer.cursor) this.viewer.cursor[2] = radius;
    this.viewer.draw();
  }

  replace(mask) {
    this.#keep();
    this.mask = mask.slice();
    this.#show();
  }

  clear() {
    this.replace(new Uint8Array(this.mask.length));
  }

  reset() {
    this.replace(this.modelsMask);
  }

  undo() {
    if (!this.steps.length) return;
    this.mask = this.steps.pop();
    this.#show();
  }

  /** The mask as PNG, in base64. */
  async toPng() {
    const canvas = new OffscreenCanvas(this.width, this.height);
    const pixels = new ImageData(this.width, this.height);
    this.mask.forEach((inside, index) => pixels.data.set(inside ? [255, 255, 255, 255] : [0, 0, 0, 255], 4 * index));
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
    let text = "";
    for (let index = 0; index < bytes.length; index += 0x8000) text += String.fromCharCode(...bytes.subarray(index, index + 0x8000));
    return btoa(text);
  }

  #start(event) {
    const { canvas, pointer } = this.viewer;
    if (!this.on || event.button !== 0 || pointer.down) return;
    event.preventDefault();
    canvas.focus();
    this.#keep();
    let from = this.viewer.toImage(event);
    this.#stroke(from, from);
    pointer.follow(event, (move) => {
      for (const one of move.getCoalescedEvents?.() ?? [move]) {
        const to = this.viewer.toImage(one);
        this.#stroke(from, to);
        from = to;
      }
    });
  }

  #hover(event) {
    if (!this.on || this.viewer.pointer.isNot(event)) return;
    this.viewer.cursor = [...this.viewer.toImage(event), this.radius];
    this.viewer.draw();
  }

  #key(event) {
    if (!this.on) return;
    const step = event.shiftKey ? 10 : 2;
    const ways = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const [x, y] = this.viewer.cursor;
    if (event.key in ways) {
      const to = [clamped(x + ways[event.key][0], this.width), clamped(y + ways[event.key][1], this.height)];
      this.viewer.cursor = [...to, this.radius];
      if (this.painting) this.#stroke([x, y], to);
      this.viewer.draw();
    } else if (event.key === " ") {
      if (!event.repeat) this.#paint(!this.painting);
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      this.undo();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Starts or stops painting with the keys. */
  #paint(painting) {
    this.painting = this.viewer.filled = painting;
    say(painting ? "Painting" : "Not painting");
    if (painting) {
      const [x, y] = this.viewer.cursor;
      this.#keep();
      this.#stroke([x, y], [x, y]);
    }
    this.viewer.draw();
  }

  /** Sets all pixels whose centres are within the brush's radius of a line. */
  #stroke([x0, y0], [x1, y1]) {
    const { radius, width, height } = this;
    const value = this.adds ? 1 : 0;
    const length = (x1 - x0) ** 2 + (y1 - y0) ** 2;
    const firstRow = Math.max(0, Math.floor(Math.min(y0, y1) - radius));
    const lastRow = Math.min(height - 1, Math.ceil(Math.max(y0, y1) + radius));
    const firstColumn = Math.max(0, Math.floor(Math.min(x0, x1) - radius));
    const lastColumn = Math.min(width - 1, Math.ceil(Math.max(x0, x1) + radius));
    for (let row = firstRow; row <= lastRow; row++) {
      for (let column = firstColumn; column <= lastColumn; column++) {
        const [x, y] = [column + 0.5, row + 0.5];
        const along = length ? Math.min(1, Math.max(0, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length)) : 0;
        const distance = Math.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0));
        if (distance <= radius) this.mask[row * width + column] = value;
      }
    }
    this.#show();
  }

  #keep() {
    this.steps.push(this.mask.slice());
    while (this.steps.length > KEPT_STEPS || this.steps.length * this.mask.length > KEPT_BYTES) this.steps.shift();
  }

  /** Once a frame, however fast the pointer is. */
  #show() {
    if (this.showing) return;
    this.showing = requestAnimationFrame(() => {
      this.showing = 0;
      const byReader = !same(this.mask, this.modelsMask);
      this.viewer.outlined(contour(this.mask, this.width, this.height, 0.5), this.mask, byReader);
      this.changed();
    });
  }
}

function same(one, other) {
  return one.every((inside, index) => inside === other[index]);
}

function clamped(value, size) {
  return Math.min(Math.max(value, 0), size - 1);
}
