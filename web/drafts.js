// The draft of each conversation, saved for a reload of this tab.
//
// Drafts are in the tab's own storage: they survive a reload, tabs do not overwrite each other's, and nothing stays on a shared machine
// once the tab is closed.
// Invariants: their number and size are bounded; if the browser stores nothing, or no more, drafts live as long as the page.

import { cut } from './graphemes.js';

const PLACE = 'plaza.v1.drafts';
/** Most drafts; the ones written last stay. */
export const DRAFTS_MAX = 50;
/** Most characters of each: no less than the longest text that can be sent, which has 64,512 bytes. */
export const DRAFT_CHARACTERS = 65_536;
const LATER_MS = 500;

export class Drafts {
  #tab;
  #drafts = new Map();
  #timer = null;

  /** @param tab the tab's storage, or `null` */
  constructor(tab) {
    this.#tab = tab;
    try {
      for (const [id, text] of JSON.parse(tab.getItem(PLACE) ?? '[]')) {
        if (typeof id === 'string' && typeof text === 'string') this.#drafts.set(id, text);
      }
    } catch {
      // The storage is blocked or damaged: begins without drafts.
    }
  }

  /** The draft of a conversation, or an empty text. */
  of({ id }) {
    return this.#drafts.get(id) ?? '';
  }

  /** Saves a draft; deletes an empty one at once, so that a sent text does not come back. */
  write({ id }, text) {
    const had = this.#drafts.delete(id);
    if (text.trim() === '') {
      if (had) this.now();
      return;
    }
    this.#drafts.set(id, text);
    if (this.#drafts.size > DRAFTS_MAX) this.#drafts.delete(this.#drafts.keys().next().value);
    this.#timer ??= setTimeout(() => this.now(), LATER_MS);
  }

  now() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const kept = Array.from(this.#drafts, ([id, text]) => [id, cut(text, DRAFT_CHARACTERS)]);
    // Drops the oldest drafts while the storage is full; all of them if it is blocked.
    while (kept.length > 0 && !this.#keep(kept)) kept.shift();
    if (kept.length === 0) this.#forget();
  }

  #keep(kept) {
    try {
      this.#tab.setItem(PLACE, JSON.stringify(kept));
      return true;
    } catch {
      return false;
    }
  }

  #forget() {
    try {
      this.#tab.removeItem(PLACE);
    } catch {
      // The storage is blocked: nothing was saved.
    }
  }
}
