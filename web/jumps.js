// The jumps to the first unread message and to the newest one, and the decision what the user has read.
//
// Invariant: nothing counts as read while the user looks elsewhere, or before the divider above it was in view.

import { t } from './i18n.js';

/** How long the divider stays after everything was read, so that the user can find it. */
const LINE_KEPT_MS = 5_000;

export class Jumps {
  #conversation = null;
  /** Number of messages that arrived while the user read further up. */
  #below = 0;
  #timer = null;

  /** @param first contains the buttons `toFirst` and `read`  @param newest the button that jumps to the end */
  constructor({ chat, messages, log, first, toFirst, read, newest }) {
    Object.assign(this, { chat, messages, log, first, newest });
    toFirst.addEventListener('click', () => messages.toLine());
    read.addEventListener('click', () => {
      this.#conversation.markRead();
      messages.changed();
    });
    newest.addEventListener('click', () => messages.jump());
  }

  show(conversation) {
    if (this.#conversation?.unread === 0) this.#conversation.markRead();
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#below = 0;
    this.#conversation = conversation;
  }

  /** A message has arrived in the conversation in view. */
  heard(message) {
    const conversation = this.#conversation;
    const lineAhead = conversation.newAfter !== null && !conversation.lineSeen;
    if (looking() && this.messages.pinned && !lineAhead) {
      this.chat.unread.seen(conversation);
      return;
    }
    this.#below += 1;
    this.chat.unread.add(conversation, message);
  }

  render() {
    const conversation = this.#conversation;
    if (!conversation.replaying) this.#meet(conversation);
    if (this.messages.pinned && looking()) this.#below = 0;
    this.newest.hidden = this.messages.pinned;
    this.newest.textContent = this.#below > 0 ? `↓ ${t('log.below', { n: this.#below })}` : `↓ ${t('log.jump')}`;
  }

  // The place of the divider depends on the whole replay.
  #meet(conversation) {
    const line = conversation.newAfter && this.messages.line;
    if (looking() && line === 'inSight') conversation.lineSeen = true;
    const above = line === 'above' && !conversation.lineSeen;
    this.#offer(above);
    if (above || !this.messages.pinned || !looking()) return;
    this.chat.unread.seen(conversation);
    if (line === null) conversation.markRead();
    else this.#timer ??= setTimeout(() => this.#removeLine(), LINE_KEPT_MS);
  }

  #offer(shown) {
    if (this.first.hidden !== shown) return;
    if (!shown && this.first.contains(document.activeElement)) this.log.focus({ preventScroll: true });
    this.first.hidden = !shown;
  }

  #removeLine() {
    this.#timer = null;
    if (this.#conversation.unread > 0) return;
    this.#conversation.markRead();
    this.messages.changed();
  }
}

/** The user can see the page now. */
function looking() {
  return document.hasFocus() && !document.hidden;
}
