// The image and what lies on it: one canvas, drawn anew for each change, the aspect always the image's own.

import { OnePointer } from "./pointer.js";

const OUTLINE = "#ff7a1a";
const READERS_OUTLINE = "#35d0ff";
const MASK = [255, 122, 26];
const READERS_MASK = [53, 208, 255];
const LARGEST = 16; // pixels of the screen for one of the image

export class Viewer {
  /** @param {HTMLCanvasElement} canvas it fills its parent. @param {(share: number) => void} zoomed told after each zoom. */
  constructor(canvas, zoomed) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.zoomed = zoomed;
    this.layers = { outline: true, mask: false, heatMap: false, box: false, opacity: 0.45 };
    this.pointer = new OnePointer(canvas);
    this.image = null;
    this.cursor = null; // the brush, while one edits
    this.filled = false; // the brush, while it paints with the keys
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    new ResizeObserver(() => this.#resize()).observe(canvas.parentElement);
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#drag(event));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {{image: ImageBitmap, heatMap: ImageBitmap | null, boxes: number[][]}} shown */
  show({ image, heatMap, boxes }) {
    this.image = image;
    this.heatMap = heatMap;
    this.boxes = boxes;
    this.outline = null;
    this.mask = null;
    this.highlighted = -1;
    this.canvas.parentElement.style.setProperty("--aspect", `${image.width} / ${image.height}`);
    this.fit();
  }

  /** Nothing, until something is shown. */
  clear() {
    this.image = this.heatMap = this.outline = this.mask = null;
    this.boxes = [];
    this.pointer.release();
    cancelAnimationFrame(this.drawing);
    this.drawing = 0;
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** What is outlined: a path in pixels of the image, 0 and 1 for each pixel, and whether a reader drew it. */
  outlined(path, mask, byReader) {
    this.outline = path;
    this.byReader = byReader;
    this.mask = tinted(mask, this.image.width, this.image.height, byReader ? READERS_MASK : MASK);
    this.draw();
  }

  set(layer, value) {
    this.layers[layer] = value;
    this.draw();
  }

  /** The lesions' boxes, in pixels of the image: x0, y0, x1, y1. */
  mark(boxes) {
    this.boxes = boxes;
    this.draw();
  }

  highlight(box) {
    this.highlighted = box;
    this.draw();
  }

  fit() {
    if (!this.image) return;
    this.#resize();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    if (!this.image) return;
    const scale = Math.min(Math.max(this.scale * factor, this.fitting / 2), LARGEST);
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.#keepInside();
    this.draw();
  }

  move(right, down) {
    if (!this.image) return;
    this.left += right;
    this.top += down;
    this.#keepInside();
    this.draw();
  }

  /** Where in the image something on the screen is, in pixels. */
  toImage(event) {
    const frame = this.canvas.getBoundingClientRect();
    return [(event.clientX - frame.left - this.left) / this.scale, (event.clientY - frame.top - this.top) / this.scale];
  }

  draw() {
    if (!this.image || this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.#paint();
    });
  }

  #paint() {
    const { context, layers, image, scale } = this;
    const dots = this.canvas.width / this.width;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(scale * dots, 0, 0, scale * dots, this.left * dots, this.top * dots);
    context.imageSmoothingEnabled = scale < 4;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0);
    context.globalAlpha = layers.opacity;
    if (layers.heatMap && this.heatMap) context.drawImage(this.heatMap, 0, 0);
    if (layers.mask && this.mask) context.drawImage(this.mask, 0, 0);
    context.globalAlpha = 1;
    if (layers.outline && this.outline) {
      this.#line(() => context.stroke(this.outline), this.byReader ? READERS_OUTLINE : OUTLINE, 2);
    }
    this.boxes.forEach(([x0, y0, x1, y1], index) => {
      if (!layers.box && index !== this.highlighted) return;
      context.setLineDash([6 / scale, 4 / scale]);
      this.#line(() => context.strokeRect(x0, y0, x1 - x0, y1 - y0), "#ffffff", index === this.highlighted ? 2.5 : 1.5);
      context.setLineDash([]);
    });
    if (this.cursor) {
      const [x, y, radius] = this.cursor;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fillStyle = "rgb(255 255 255 / 35%)";
      if (this.filled) context.fill();
      this.#line(() => context.stroke(), "#ffffff", 1.5);
    }
  }

  /** A line that stands out from bright and dark, as wide on the screen at any zoom. */
  #line(stroke, colour, width) {
    const { context, scale } = this;
    context.lineCap = "round";
    context.lineWidth = (width + 2) / scale;
    context.strokeStyle = "rgb(0 0 0 / 55%)";
    stroke();
    context.lineWidth = width / scale;
    context.strokeStyle = colour;
    stroke();
  }

  #resize() {
    const frame = this.canvas.parentElement;
    this.width = frame.clientWidth;
    this.height = frame.clientHeight;
    if (!this.image || !this.width) return;
    const dots = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * dots);
    this.canvas.height = Math.round(this.height * dots);
    this.fitting = Math.min(this.width / this.image.width, this.height / this.image.height);
    this.scale = this.fitting;
    this.left = (this.width - this.scale * this.image.width) / 2;
    this.top = (this.height - this.scale * this.image.height) / 2;
    this.zoomed(this.scale);
    this.draw();
  }

  /** A third of the image, or of the frame, stays in sight. */
  #keepInside() {
    const width = this.scale * this.image.width;
    const height = this.scale * this.image.height;
    const inside = (start, size, room) => Math.min(Math.max(start, Math.min(room, size) / 3 - size), room - Math.min(room, size) / 3);
    this.left = inside(this.left, width, this.width);
    this.top = inside(this.top, height, this.height);
    this.zoomed(this.scale);
  }

  #wheel(event) {
    if (!this.image || !(event.ctrlKey || event.metaKey || document.activeElement === this.canvas)) return;
    event.preventDefault();
    const frame = this.canvas.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY / 400), event.clientX - frame.left, event.clientY - frame.top);
  }

  #drag(event) {
    if (!this.image || this.cursor || this.pointer.down) return; // with a cursor an editor draws
    let [x, y] = [event.clientX, event.clientY];
    this.pointer.follow(event, (move) => {
      this.move(move.clientX - x, move.clientY - y);
      [x, y] = [move.clientX, move.clientY];
    });
  }

  #key(event) {
    if (!this.image || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 40;
    const actions = {
      "+": () => this.zoom(1.25), "=": () => this.zoom(1.25), "-": () => this.zoom(0.8), 0: () => this.fit(),
      ArrowLeft: () => this.move(step, 0), ArrowRight: () => this.move(-step, 0),
      ArrowUp: () => this.move(0, step), ArrowDown: () => this.move(0, -step),
    };
    if (!(event.key in actions) || (this.cursor && event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    actions[event.key]();
  }
}

function tinted(mask, width, height, [red, green, blue]) {
  const pixels = new ImageData(width, height);
  for (let index = 0; index < mask.length; index++) {
    if (mask[index]) pixels.data.set([red, green, blue, 255], 4 * index);
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}
