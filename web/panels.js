// The panels: the users in a room, all rooms, and search results.

import { el, excerpt, linked } from './dom.js';
import { why } from './errors.js';
import { frames } from './frames.js';
import { cut } from './graphemes.js';
import { moment, t } from './i18n.js';
import { hue, initial } from './names.js';
import { setText, showRows, tail } from './rows.js';

/** The list of users of a large room is fetched at most this often. */
const REFRESH_MS = 8_000;
/** Joins and leaves update a complete list up to this length. */
const KEPT_UP_TO = 1_000;

/** The users in the room in view. */
export class People {
  #conversation = null;
  #names = [];
  #next = '';
  #timer = null;
  #asking = 0;

  constructor({ chat, list, more, count, direct, shown }) {
    Object.assign(this, { chat, list, more, count, direct, shown });
    more.addEventListener('click', () => this.#load(this.#next));
  }

  show(conversation) {
    if (this.#conversation !== conversation) {
      this.#names = [];
      this.#next = '';
      this.#plan();
    }
    this.#conversation = conversation;
    this.refresh();
  }

  refresh() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const room = this.#conversation;
    if (room?.kind !== 'room') {
      this.#names = room ? [...new Set([room.name, this.chat.name])].filter(Boolean) : [];
      this.#next = '';
      this.#plan();
    } else if (room.joined && this.shown()) {
      this.#load('');
    }
  }

  changed({ conversation, joined, left, digest }) {
    if (conversation !== this.#conversation) return;
    if (digest || this.#next !== '' || this.#names.length > KEPT_UP_TO) {
      this.#timer ??= setTimeout(() => this.refresh(), REFRESH_MS);
    } else {
      const names = new Set(this.#names);
      for (const name of left) names.delete(name);
      for (const name of joined) names.add(name);
      this.#names = [...names];
      this.#plan();
    }
  }

  async #load(after) {
    const conversation = this.#conversation;
    const asking = (this.#asking += 1);
    try {
      const page = await this.chat.users(conversation.name, after);
      if (asking !== this.#asking || conversation !== this.#conversation) return;
      this.#names = after === '' ? page.names : [...this.#names, ...page.names];
      this.#next = page.next;
      conversation.online = page.online;
      this.#plan();
    } catch {
      // The count is correct without the list.
    }
  }

  #draw = () => this.render();

  #plan() {
    frames.plan(this.#draw);
  }

  render() {
    setText(this.count, this.#conversation?.kind === 'room' ? t('members.online', { n: this.#conversation.online }) : '');
    showRows(this.list, this.#names.map((name) => ({ key: name })), {
      make: ({ key: name }) =>
        el('li', {},
          el('button', { type: 'button', class: 'entry', 'data-key': name, onclick: () => this.direct(name) },
            el('span', { class: `avatar small hue-${hue(name)}`, 'aria-hidden': 'true' }, initial(name)),
            el('span', { class: 'entry-name' }, name))),
      change: ({ firstChild: button }, { key: name }) => {
        button.title = t('members.hint');
        tail(button, 'you', name === this.chat.name ? t('members.you') : '');
      },
    });
    this.more.hidden = this.#next === '';
  }
}

/** All rooms of the server, to join one. */
export class Browser {
  #next = '';

  constructor({ chat, list, more, choose }) {
    Object.assign(this, { chat, list, more, choose });
    more.addEventListener('click', () => this.load(this.#next));
  }

  #rooms = new Map();
  #words = '';

  async load(after = '') {
    this.more.hidden = true;
    try {
      const { rooms, next } = await this.chat.rooms(after);
      if (after === '') this.#rooms.clear();
      for (const room of rooms) this.#rooms.set(room.name, room);
      this.#next = next;
      this.#words = this.#rooms.size === 0 ? t('rooms.none') : '';
    } catch (refused) {
      this.#words = why(refused);
    }
    frames.plan(this.#draw);
  }

  #draw = () => {
    const rooms = [...this.#rooms.values()].map((room) => ({ key: room.name, ...room }));
    // No room has an empty name, so the sentence below the rooms can use the empty key.
    const words = this.#words === '' ? [] : [{ key: '', words: this.#words }];
    showRows(this.list, [...rooms, ...words], {
      make: ({ key }) => (key === '' ? el('li', { class: 'nothing' }) : this.#entry(key)),
      change: (row, entry) => (entry.words ? setText(row, entry.words) : this.#change(row.firstChild, entry)),
    });
    this.more.hidden = this.#next === '';
  };

  #entry(name) {
    return el('li', {},
      el('button', { type: 'button', class: 'entry', onclick: () => this.choose(name) },
        el('span', { class: 'entry-text' }, el('span', { class: 'entry-name' }, name))));
  }

  #change(button, { name, topic, online }) {
    tail(button.firstChild, 'entry-topic', topic);
    button.querySelector('.entry-count')?.remove();
    tail(button, 'you', this.chat.conversations.get(`room:${name}`)?.joined ? t('rooms.joined') : '');
    tail(button, 'entry-count', t('members.online', { n: online }));
  }
}

/** Search results of a conversation. */
export class Finder {
  #conversation = null;
  #text = '';
  #next = 0;
  #found = [];
  #words = '';

  constructor({ chat, list, more, failed }) {
    Object.assign(this, { chat, list, more, failed });
    more.addEventListener('click', () => this.#load(this.#next));
  }

  find(conversation, text) {
    this.#conversation = conversation;
    this.#text = text;
    this.clear();
    if (text !== '') this.#load(0);
  }

  clear() {
    this.#found = [];
    this.#words = '';
    this.#next = 0;
    frames.plan(this.#draw);
  }

  async #load(before) {
    const [conversation, text] = [this.#conversation, this.#text];
    try {
      const { messages, next } = await this.chat.history.search(conversation, text, before);
      if (text !== this.#text || conversation !== this.#conversation) return;
      this.#next = next;
      this.#found.push(...messages);
      this.#words = this.#found.length === 0 ? t('search.none', { text }) : '';
      frames.plan(this.#draw);
    } catch (refused) {
      this.failed(refused);
    }
  }

  #draw = () => {
    const [conversation, text] = [this.#conversation, this.#text];
    const found = this.#found.map((message) => ({ key: `${conversation.id}/${message.epoch}/${message.seq}/${text}`, message }));
    showRows(this.list, this.#words === '' ? found : [{ key: this.#words, words: this.#words }], {
      make: ({ message, words }) => (words ? el('li', { class: 'nothing' }, words) : this.#entry(conversation, message, text)),
      change: () => {},
    });
    this.more.hidden = this.#next === 0;
  };

  #entry(conversation, message, text) {
    const around = el('button', { type: 'button', class: 'plain around', onclick: () => this.#around(conversation, message, around) }, t('search.around'));
    return el('li', { class: 'result' },
      el('p', { class: 'result-head' }, el('span', { class: 'name' }, message.from), ' ', el('time', {}, moment(message.at))),
      el('p', { class: 'text' }, ...excerpt(message.text, text)),
      around);
  }

  /** Shows the messages before and after a result. */
  async #around(conversation, { seq }, button) {
    try {
      const messages = await this.chat.history.around(conversation, seq);
      const line = (message) =>
        el('p', { class: message.seq === seq ? 'text this' : 'text' }, el('span', { class: 'name' }, message.from), ' ', ...linked(cut(message.text, 500)));
      const context = el('div', { class: 'context', tabindex: '-1' }, ...messages.map(line));
      button.replaceWith(context);
      context.focus({ preventScroll: true });
    } catch (refused) {
      this.failed(refused);
    }
  }
}
