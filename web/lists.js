// The lists of rooms and of direct conversations with their unread counts, and the title of the window, which is all that a
// background tab shows.

import { el } from './dom.js';
import { t } from './i18n.js';
import { hue, initial } from './names.js';
import { setText, showRows, tail } from './rows.js';

/** The largest unread count that the lists show. */
const COUNTED_MAX = 99;

export class Lists {
  /** @param choose (conversation) the user selected it  @param active () the conversation in view */
  constructor({ chat, rooms, directs, directHead, dot, choose, active }) {
    Object.assign(this, { chat, rooms, directs, directHead, dot, choose, active });
  }

  show() {
    const all = [...this.chat.conversations.values()];
    const peers = all.filter(({ kind }) => kind === 'peer');
    this.#fill(this.rooms, all.filter(({ kind }) => kind === 'room'));
    this.#fill(this.directs, peers);
    this.directHead.hidden = peers.length === 0;
    const active = this.active();
    this.dot.hidden = !all.some((conversation) => conversation !== active && conversation.unread > 0);
    const unread = all.reduce((sum, conversation) => sum + conversation.unread, 0);
    const title = `${unread > 0 ? `(${counted(unread)}) ` : ''}${active ? `${active.name} · ` : ''}Plaza`;
    if (document.title !== title) document.title = title;
  }

  #fill(list, conversations) {
    showRows(list, conversations.map((conversation) => ({ key: conversation.id, conversation })), {
      make: ({ key }) => {
        // Looks it up by its id: after a rename the same id may be another conversation.
        const choose = () => this.chat.conversations.has(key) && this.choose(this.chat.conversations.get(key));
        return el('li', {},
          el('button', { type: 'button', class: 'entry', 'data-key': key, onclick: choose },
            el('span', { 'aria-hidden': 'true' }), el('span', { class: 'entry-name' })));
      },
      change: (row, { conversation }) => this.#change(row.firstChild, conversation),
    });
  }

  #change(button, conversation) {
    const { kind, name, unread } = conversation;
    const [mark, label] = button.children;
    mark.className = kind === 'room' ? 'hash' : `avatar small hue-${hue(name)}`;
    setText(mark, kind === 'room' ? '#' : initial(name));
    setText(label, name);
    tail(button, 'badge', unread > 0 ? counted(unread) : '');
    if (unread > 0) button.lastChild.setAttribute('aria-label', t('unread', { n: unread }));
    button.classList.toggle('unread', unread > 0);
    if (conversation === this.active()) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
  }
}

function counted(unread) {
  return unread > COUNTED_MAX ? `${COUNTED_MAX}+` : String(unread);
}
