// What is being written in each conversation, kept for when this tab comes back.
//
// In the tab's own storage: it outlives a reload, tabs cannot overwrite each other's, and nothing of it stays on a shared
// machine once the tab is closed.
// Promises: what is kept is bounded; where the browser keeps nothing, or no more, drafts live as long as the page.

import { cut } from './graphemes.js';

const PLACE = 'plaza.v1.drafts';
/** The ones written last. */
export const DRAFTS_MAX = 50;
/** Kept of each: no less than the longest text that can be sent, which has 64,512 bytes. */
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
      // Blocked or damaged: start afresh.
    }
  }

  /** The draft of a conversation, or an empty text. */
  of({ id }) {
    return this.#drafts.get(id) ?? '';
  }

  /** Keeps a draft; an empty one is forgotten at once, so that what was sent does not come back. */
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
    // Where it is full the oldest give way; where it is blocked all of them do.
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
      // Blocked: nothing was kept.
    }
  }
}
