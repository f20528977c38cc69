// Schedules drawing: once per frame for all changes, and not while the user presses something.
//
// Invariants: a planned drawing runs in the next frame, or within about a second in a hidden tab, which has no frames. It never runs
// between the press and the release of a pointer or the space bar, so that a click hits what the user pressed.

/** A tab that is hidden, minimised or covered gets no frames, and cannot always detect it. */
const WITHOUT_FRAME_MS = 250;
/** The click follows its release, on a touch screen a little later. */
const CLICK_MS = 60;
/** Longest pause for a press whose release never arrives, or for a long selection. */
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
    // Only the window's own `blur`: a press also blurs another element, whose event passes through here.
    target.addEventListener('blur', (event) => event.target === target && this.#release(CLICK_MS), held);
    // The next frame draws what the handlers of the click plan.
    target.addEventListener('click', () => this.#release(0), held);
    document.addEventListener('visibilitychange', () => {
      this.#pressed = false;
      this.#schedule();
    });
  }

  /** Draws in the next frame; a function planned twice runs once. */
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

/** Whether a press is on content and not on a scroll bar: dragging one is long, has no release event, and must show what it uncovers. */
function onContent({ target, offsetX, offsetY }) {
  return !(target instanceof Element) || (offsetX < target.clientWidth && offsetY < target.clientHeight) || target.scrollHeight <= target.clientHeight;
}

/** The scheduler of the page. */
export const frames = typeof window === 'undefined' ? null : new Frames();
