// When the page is drawn: once for all that happened since the last time, and not while the user presses something.
//
// Promises: what is planned is drawn with the next frame, in a hidden tab (which has no frames) within about a second, and
// never between the press and the release of a pointer or the space bar, so that a click finds what was pressed.

/** A tab that is hidden, minimised or covered gets no frames, and does not always know. */
const WITHOUT_FRAME_MS = 250;
/** After a release its click comes next; on a touch screen a little later. */
const CLICK_MS = 60;
/** A press whose release is never heard of, or a long selection, does not stop the page for longer. */
const PRESS_MS = 5_000;

export class Frames {
  #planned = new Set();
  #frame = null;
  #timer = null;
  #pressed = false;
  #pressTimer = null;

  /** @param target the window whose presses count */
  constructor(target = window) {
    const { document } = target;
    const held = { capture: true, passive: true };
    target.addEventListener('pointerdown', (event) => onContent(event) && this.#press(), held);
    target.addEventListener('keydown', ({ key, target: at }) => key === ' ' && at?.closest?.('button, summary') && this.#press(), held);
    for (const end of ['pointerup', 'pointercancel', 'dragend', 'keyup']) target.addEventListener(end, () => this.#release(CLICK_MS), held);
    // The window's own: a press also takes the focus from another element, whose `blur` passes by here.
    target.addEventListener('blur', (event) => event.target === target && this.#release(CLICK_MS), held);
    // What its handlers plan is drawn with the next frame.
    target.addEventListener('click', () => this.#release(0), held);
    document.addEventListener('visibilitychange', () => {
      this.#pressed = false;
      this.#schedule();
    });
  }

  /** Draws with the next frame; what is planned twice is drawn once. */
  plan(draw) {
    this.#planned.add(draw);
    if (this.#timer === null) this.#schedule();
  }

  #schedule() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#planned.size === 0 || this.#pressed) return;
    if (!document.hidden) this.#frame = requestAnimationFrame(() => this.#draw());
    this.#timer = setTimeout(() => this.#draw(), document.hidden ? 0 : WITHOUT_FRAME_MS);
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#pressed) return;
    const planned = this.#planned;
    this.#planned = new Set();
    for (const draw of planned) draw();
  }

  #press() {
    this.#pressed = true;
    clearTimeout(this.#pressTimer);
    this.#pressTimer = setTimeout(() => this.#release(0), PRESS_MS);
  }

  #release(after) {
    if (!this.#pressed) return;
    clearTimeout(this.#pressTimer);
    const released = () => {
      this.#pressed = false;
      this.#schedule();
    };
    if (after === 0) released();
    else this.#pressTimer = setTimeout(released, after);
  }
}

/** A scroll bar is dragged for long, its release is not told, and what it uncovers is to be seen. */
function onContent({ target, offsetX, offsetY }) {
  return !(target instanceof Element) || (offsetX < target.clientWidth && offsetY < target.clientHeight) || target.scrollHeight <= target.clientHeight;
}

/** The page has one. */
export const frames = typeof window === 'undefined' ? null : new Frames();
