// One pointer at a time draws or pans; what a second finger does meanwhile is passed over.

export class OnePointer {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.id = null;
  }

  get down() {
    return this.id !== null;
  }

  /** Whether an event is of another pointer than the one that is down. */
  isNot({ pointerId }) {
    return this.down && pointerId !== this.id;
  }

  /** @param {PointerEvent} pressed @param {(event: PointerEvent) => void} moved told of this pointer's moves until it is released. */
  follow({ pointerId }, moved) {
    this.canvas.setPointerCapture(pointerId);
    this.id = pointerId;
    this.following = new AbortController();
    const { signal } = this.following;
    const ofThis = (act) => (event) => event.pointerId === pointerId && act(event);
    this.canvas.addEventListener("pointermove", ofThis(moved), { signal });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.canvas.addEventListener(end, ofThis(() => this.release()), { signal });
    }
  }

  release() {
    this.id = null;
    this.following?.abort();
  }
}
