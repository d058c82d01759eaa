// A brush on the mask: with a pointer, or with the keyboard.

import { contour } from "./contour.js";

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
    this.edited = false;
    const { canvas } = viewer;
    canvas.addEventListener("pointerdown", (event) => this.#start(event));
    canvas.addEventListener("pointermove", (event) => this.#hover(event));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** A new image's mask, 0 and 1 for each pixel; `byReader` where a reader drew it before. */
  open(mask, width, height, byReader) {
    this.width = width;
    this.height = height;
    this.mask = mask;
    this.steps = [];
    this.edited = byReader;
    this.stop();
  }

  start() {
    this.on = true;
    this.viewer.cursor = [this.width / 2, this.height / 2, this.radius];
    this.viewer.canvas.classList.add("editing");
    this.viewer.draw();
  }

  stop() {
    this.on = false;
    this.painting = false;
    this.release?.();
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

  undo() {
    if (!this.steps.length) return;
    this.mask = this.steps.pop();
    this.#show();
  }

  get empty() {
    return !this.mask.includes(1);
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
    if (!this.on || event.button !== 0) return;
    event.preventDefault();
    const { canvas } = this.viewer;
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    this.#keep();
    let from = this.viewer.toImage(event);
    this.#stroke(from, from);
    const drawn = (move) => {
      for (const one of move.getCoalescedEvents?.() ?? [move]) {
        const to = this.viewer.toImage(one);
        this.#stroke(from, to);
        from = to;
      }
    };
    canvas.addEventListener("pointermove", drawn);
    this.release = () => canvas.removeEventListener("pointermove", drawn);
    canvas.addEventListener("pointerup", this.release, { once: true });
    canvas.addEventListener("pointercancel", this.release, { once: true });
  }

  #hover(event) {
    if (!this.on) return;
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
      this.painting = !this.painting;
      if (this.painting) {
        this.#keep();
        this.#stroke([x, y], [x, y]);
      }
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      this.undo();
    } else {
      return;
    }
    event.preventDefault();
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
    this.edited = true;
    if (this.showing) return;
    this.showing = requestAnimationFrame(() => {
      this.showing = 0;
      this.viewer.outlined(contour(this.mask, this.width, this.height, 0.5), this.mask, true);
      this.changed();
    });
  }
}

function clamped(value, size) {
  return Math.min(Math.max(value, 0), size - 1);
}
