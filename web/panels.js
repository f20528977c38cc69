// The lists beside the talk: who is here, which rooms there are, what a search found.

import { el, excerpt, hue, initial, linked, refill } from './dom.js';
import { why } from './errors.js';
import { moment, t } from './i18n.js';

/** The list of people is fetched anew at most this often while a large room comes and goes. */
const REFRESH_MS = 8_000;
/** A complete list up to this length is kept up to date from comings and goings. */
const KEPT_UP_TO = 1_000;

/** Who is in the room that is shown. */
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
      this.render();
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
      this.render();
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
      this.#planRender();
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
      this.render();
    } catch {
      // The count stays right without the list.
    }
  }

  #planRender() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => this.render());
  }

  render() {
    this.planned = false;
    const { chat } = this;
    this.count.textContent = this.#conversation?.kind === 'room' ? t('members.online', { n: this.#conversation.online }) : '';
    refill(
      this.list,
      this.#names.map((name) =>
        el('li', {},
          el('button', { type: 'button', class: 'entry', 'data-key': name, onclick: () => this.direct(name), title: t('members.hint') },
            el('span', { class: `avatar small hue-${hue(name)}`, 'aria-hidden': 'true' }, initial(name)),
            el('span', { class: 'entry-name' }, name),
            name === chat.name ? el('span', { class: 'you' }, t('members.you')) : null))),
    );
    this.more.hidden = this.#next === '';
  }
}

/** The rooms of the server, to join one. */
export class Browser {
  #next = '';

  constructor({ chat, list, more, choose }) {
    Object.assign(this, { chat, list, more, choose });
    more.addEventListener('click', () => this.load(this.#next));
  }

  async load(after = '') {
    if (after === '') this.list.replaceChildren();
    this.more.hidden = true;
    try {
      const { rooms, next } = await this.chat.rooms(after);
      this.#next = next;
      this.list.append(...rooms.map((room) => this.#entry(room)));
      if (after === '' && rooms.length === 0) this.list.append(el('li', { class: 'nothing' }, t('rooms.none')));
      this.more.hidden = next === '';
    } catch (refused) {
      this.list.append(el('li', { class: 'nothing' }, why(refused)));
    }
  }

  #entry({ name, topic, online }) {
    const joined = this.chat.conversations.get(`room:${name}`)?.joined;
    return el('li', {},
      el('button', { type: 'button', class: 'entry', onclick: () => this.choose(name) },
        el('span', { class: 'entry-text' }, el('span', { class: 'entry-name' }, name), topic ? el('span', { class: 'entry-topic' }, topic) : null),
        joined ? el('span', { class: 'you' }, t('rooms.joined')) : null,
        el('span', { class: 'entry-count' }, t('members.online', { n: online }))));
  }
}

/** What a search in a conversation found. */
export class Finder {
  #conversation = null;
  #text = '';
  #next = 0;

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
    this.list.replaceChildren();
    this.more.hidden = true;
  }

  async #load(before) {
    const [conversation, text] = [this.#conversation, this.#text];
    try {
      const { messages, next } = await this.chat.history.search(conversation, text, before);
      if (text !== this.#text || conversation !== this.#conversation) return;
      this.#next = next;
      this.list.append(...messages.map((message) => this.#entry(conversation, message, text)));
      if (before === 0 && messages.length === 0) this.list.append(el('li', { class: 'nothing' }, t('search.none', { text })));
      this.more.hidden = next === 0;
    } catch (refused) {
      this.failed(refused);
    }
  }
  #entry(conversation, message, text) {
    const around = el('button', { type: 'button', class: 'plain around', onclick: () => this.#around(conversation, message, around) }, t('search.around'));
    return el('li', { class: 'result' },
      el('p', { class: 'result-head' }, el('span', { class: 'name' }, message.from), ' ', el('time', {}, moment(message.at))),
      el('p', { class: 'text' }, ...excerpt(message.text, text)),
      around);
  }

  /** Shows what was said before and after. */
  async #around(conversation, { seq }, button) {
    try {
      const messages = await this.chat.history.around(conversation, seq);
      const line = (message) =>
        el('p', { class: message.seq === seq ? 'text this' : 'text' }, el('span', { class: 'name' }, message.from), ' ', ...linked(message.text.slice(0, 500)));
      const context = el('div', { class: 'context', tabindex: '-1' }, ...messages.map(line));
      button.replaceWith(context);
      context.focus({ preventScroll: true });
    } catch (refused) {
      this.failed(refused);
    }
  }
}
