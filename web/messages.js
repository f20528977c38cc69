// The list of messages: shows a window of a conversation's items as rows.
//
// Invariants: at most `ROWS_MAX` rows; one update per frame, however many messages arrive; the list stays at the bottom if it is there,
// and otherwise the rows in view do not move. Never: parses text as markup.

import { el, linked } from './dom.js';
import { why } from './errors.js';
import { frames } from './frames.js';
import { cut } from './graphemes.js';
import { currentLang, day, moment, t, time } from './i18n.js';
import { isEncodedPicture } from './images.js';
import { hue, initial } from './names.js';
import { encodedPicture } from './pictures.js';

/** Most rows; more make scrolling and typing slow on a phone. */
export const ROWS_MAX = 600;
/** Number of rows while the list is at the bottom. */
const ROWS_LIVE = 200;
/** Number of rows added when the reader scrolls to an end of the window. */
const ROWS_STEP = 100;
/** Messages of one user within this time share one heading. */
const GROUP_MS = 5 * 60_000;
/** Distance from the bottom, in pixels, that counts as at the bottom. */
const NEAR_PX = 48;
/** Space above the divider after a jump to it, so that the reader sees what came before. */
const LINE_TOP_PX = 56;
/** A longer text is cut here until the reader unfolds it, so that one message does not push all others out of view. */
const FOLD_CHARACTERS = 1_500;
const FOLD_LINES = 25;
/** Screen readers stay silent if more rows than this arrive in a second. */
const ALOUD_PER_S = 5;
const KINDS = ['image', 'video', 'voice'];

export class MessageList {
  #scroller;
  #list;
  #top;
  #handlers;
  #conversation = null;
  #rows = new Map();
  #first = null;
  #end = 0;
  // Whether the window reached the last item when it was last drawn; later items are not in the page yet.
  #atEnd = true;
  #draw = () => this.#render();
  #aloud = { second: 0, rows: 0 };
  #firstNew = null;
  pinned = true;

  /** @param handlers `{older, loadNew, fill, retry, discard, direct, scrolled, now}` */
  constructor(scroller, handlers) {
    this.#scroller = scroller;
    this.#handlers = handlers;
    this.#top = el('div', { class: 'log-top' });
    this.#list = el('div', { class: 'rows' });
    scroller.append(this.#top, this.#list);
    scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => {
      if (this.pinned) this.#toBottom();
      this.changed();
    }).observe(scroller);
    // Pictures that load late make the list longer.
    scroller.addEventListener('load', () => this.pinned && this.#toBottom(), true);
  }

  /** Shows another conversation, at its end. */
  show(conversation) {
    if (this.#conversation) this.#conversation.held = false;
    this.#conversation = conversation;
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#first = null;
    this.pinned = true;
    this.#render();
  }

  /** The conversation has changed: draws it in the next frame. */
  changed() {
    frames.plan(this.#draw);
  }

  jump() {
    this.pinned = true;
    this.#render();
  }

  /** Loads what is between, shows the divider before the first unread message, and puts the focus on it. */
  async toLine() {
    const conversation = this.#conversation;
    // Unpins before loading, so that the loaded items stay in memory, and again, because scrolling may have pinned meanwhile.
    this.pinned = false;
    conversation.held = true;
    await this.#handlers.loadNew(conversation);
    if (conversation !== this.#conversation) return;
    this.pinned = false;
    const items = conversation.shown;
    const target = conversation.firstNew ?? conversation.oldest;
    this.#first = items[Math.max(0, items.indexOf(target) - ROWS_STEP)] ?? null;
    this.#render();
    const row = this.#rows.get(target)?.row;
    if (!row) return;
    this.#scroller.scrollTop += row.getBoundingClientRect().top - this.#scroller.getBoundingClientRect().top - LINE_TOP_PX;
    (row.querySelector('.divider') ?? this.#scroller).focus({ preventScroll: true });
  }

  /** The place of the divider: `above` or `below` the visible rows, `inSight`, or `null` if there is none. */
  get line() {
    const conversation = this.#conversation;
    const { firstNew } = conversation;
    if (firstNew === null) return conversation.newUnloaded ? 'above' : null;
    const row = this.#rows.get(firstNew)?.row;
    const items = conversation.shown;
    if (!row) return items.indexOf(firstNew) < items.indexOf(this.#first) ? 'above' : 'below';
    const { top, bottom } = this.#scroller.getBoundingClientRect();
    const at = row.getBoundingClientRect().top;
    return at < top ? 'above' : at < bottom ? 'inSight' : 'below';
  }

  #render() {
    const conversation = this.#conversation;
    if (!conversation) return;
    conversation.held = !this.pinned;
    const items = conversation.shown;
    const [start, end] = this.#window(items);
    this.#end = end;
    this.#atEnd = end === items.length;
    this.#first = items[start] ?? null;
    const anchor = this.pinned ? null : this.#anchor();
    this.#renderTop(conversation, items, start);
    const added = this.#reconcile(conversation, items, start, end);
    this.#speak(added);
    if (this.pinned) {
      this.#toBottom();
    } else {
      // The row may be another element now, because a message above it changes its heading.
      const row = this.#rows.get(anchor?.item)?.row;
      if (row) this.#scroller.scrollTop += row.getBoundingClientRect().top - anchor.top;
      // At the very top the reader cannot scroll up, so the list adds older rows by itself.
      if (start > 0 && this.#scroller.scrollTop === 0) this.#showOlder(items, start);
    }
    this.#handlers.scrolled();
    // The reader cannot scroll a list that does not fill its place, so it loads more; but only once the replay is complete.
    const short = start === 0 && this.#scroller.scrollHeight <= this.#scroller.clientHeight;
    if (short && conversation.oldest && !conversation.replaying) this.#handlers.older(conversation);
  }

  #window(items) {
    if (this.pinned) return [Math.max(0, items.length - ROWS_LIVE), items.length];
    const start = Math.max(0, items.indexOf(this.#first));
    return [start, Math.min(items.length, start + ROWS_MAX)];
  }

  #reconcile(conversation, items, start, end) {
    this.#firstNew = conversation.firstNew;
    const wanted = new Set();
    for (let i = start; i < end; i += 1) wanted.add(items[i]);
    for (const [item, { row }] of this.#rows) {
      if (wanted.has(item)) continue;
      // Keeps the focus in the list if the row with the focus is removed.
      if (row.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true });
      row.remove();
      this.#rows.delete(item);
    }
    let added = 0;
    let next = this.#list.firstChild;
    for (let i = start; i < end; i += 1) {
      const item = items[i];
      const look = this.#look(conversation, item, items[i - 1] ?? null);
      const key = Object.values(look).join('|');
      const old = this.#rows.get(item);
      const row = old?.row ?? el('div', {});
      if (!old) added += 1;
      if (old?.key !== key) {
        this.#fill(row, conversation, item, look);
        this.#rows.set(item, { row, key });
      }
      if (row === next) {
        next = next.nextSibling;
      } else {
        this.#list.insertBefore(row, next);
      }
    }
    return added;
  }

  // Everything that a row depends on, besides the item itself.
  #look(conversation, item, before) {
    const talk = item.type === 'message' || item.type === 'pending';
    const dated = item.at !== undefined;
    // Only forward, so that an item with another clock does not split a day.
    const newDay = dated && (before?.at === undefined ? before === null : midnight(before.at) < midnight(item.at));
    const unread = item === this.#firstNew;
    const grouped =
      talk && !newDay && !unread && before !== null && (before.type === 'message' || before.type === 'pending') &&
      before.from === item.from && before.own === item.own && (item.own || before.session === item.session) &&
      item.at - before.at < GROUP_MS;
    const tagged = talk && !item.own && !grouped && conversation.ambiguous(item.from);
    return { version: item.version, newDay: newDay ? day(item.at, this.#handlers.now()) : '', unread, grouped, tagged, lang: currentLang() };
  }

  /** Fills a row, which stays the same element; replaces the parts that changed and keeps the focus. */
  #fill(row, conversation, item, look) {
    const lines = [];
    if (look.newDay) lines.push(el('div', { class: 'day' }, el('span', {}, look.newDay)));
    if (look.unread) lines.push(el('div', { class: 'divider', role: 'separator', tabindex: '-1', 'aria-label': t('log.new') }, el('span', {}, t('log.new'))));
    if (item.type === 'note') lines.push(el('p', { class: `note ${item.what}` }, noteText(item)));
    else if (item.type === 'gap') lines.push(this.#gap(conversation, item));
    else lines.push(this.#talk(conversation, item, look, contentOf(row, item)));
    const focused = row.contains(document.activeElement) ? document.activeElement : null;
    row.className = `row ${item.type}`;
    row.replaceChildren(...lines);
    if (!focused || focused === document.activeElement) return;
    const again = row.contains(focused) ? focused : focused.className && row.querySelector(`${focused.localName}.${[...focused.classList].map(CSS.escape).join('.')}`);
    (again || this.#scroller).focus({ preventScroll: true });
  }

  #talk(conversation, item, { grouped, tagged }, text) {
    const clock = el('time', { datetime: new Date(item.at).toISOString(), title: moment(item.at) }, time(item.at));
    const name = item.own
      ? el('span', { class: 'name' }, item.from)
      : el('button', { type: 'button', class: 'name', onclick: () => this.#handlers.direct(item.from) }, item.from);
    const heading = grouped
      ? null
      : el('div', { class: 'heading' }, name,
          tagged ? el('span', { class: 'tag' }, `#${item.session.slice(0, 4)}`) : null,
          item.own ? el('span', { class: 'you' }, t('log.you')) : null,
          clock);
    const side = grouped
      ? el('div', { class: 'side' }, clock)
      : el('div', { class: `side avatar hue-${hue(item.from)}`, 'aria-hidden': 'true' }, initial(item.from));
    const body = el('div', { class: 'body' }, heading, text, this.#unfold(item), item.type === 'pending' ? this.#fate(conversation, item) : null);
    const classes = ['talk', grouped ? 'grouped' : '', item.own ? 'own' : '', item.type === 'pending' ? item.state : ''];
    return el('article', { class: classes.filter(Boolean).join(' '), 'data-seq': item.seq ?? null }, side, body);
  }

  #unfold(item) {
    if (shownLength(item) === item.text.length) return null;
    const unfold = () => {
      item.unfolded = true;
      item.version += 1;
      // The reader continues where the text was cut, not at the end.
      this.pinned = false;
      this.#scroller.focus({ preventScroll: true });
      this.changed();
    };
    return el('button', { type: 'button', class: 'plain unfold', onclick: unfold }, t('log.unfold', { n: item.text.length }));
  }

  #fate(conversation, item) {
    if (item.state === 'sent') return null;
    if (item.state !== 'failed') return el('p', { class: 'fate' }, t(`pending.${item.state}`));
    return el('p', { class: 'fate' }, t('pending.failed', { why: why(item.error) }), ' ',
      el('button', { type: 'button', class: 'plain', onclick: () => this.#handlers.retry(conversation, item) }, t('pending.retry')), ' ',
      el('button', { type: 'button', class: 'plain', onclick: () => this.#handlers.discard(conversation, item) }, t('pending.discard')));
  }

  #gap(conversation, gap) {
    const words = t(`gap.${gap.state}`, { n: gap.to - gap.from + 1 });
    if (gap.state !== 'open') return el('p', { class: 'note gap' }, words);
    return el('p', { class: 'note gap' },
      el('button', { type: 'button', class: 'plain', onclick: () => this.#handlers.fill(conversation, gap) }, words));
  }

  #renderTop(conversation, items, start) {
    let words = '';
    if (start > 0 || items.length === 0) words = '';
    else if (conversation.loading) words = t('log.loading');
    else if (conversation.history) words = conversation.complete ? t('log.top') : '';
    else if (conversation.kind === 'room' && conversation.joined) words = t('log.notKept');
    if (this.#top.textContent !== words) this.#top.textContent = words;
    const empty = items.length === 0 && (conversation.joined || conversation.kind === 'peer') && !conversation.loading;
    this.#scroller.classList.toggle('empty', empty);
  }

  #scrolled() {
    if (!this.#conversation) return;
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const items = this.#conversation.shown;
    const below = scrollHeight - scrollTop - clientHeight;
    const was = this.pinned;
    this.pinned = below < NEAR_PX && this.#atEnd;
    if (was && !this.pinned) this.#first ??= items[0] ?? null;
    const start = Math.max(0, items.indexOf(this.#first));
    if (!this.pinned && scrollTop < clientHeight) {
      if (start > 0) {
        this.#showOlder(items, start);
      } else {
        this.#handlers.older(this.#conversation);
      }
    } else if (!this.pinned && below < clientHeight && this.#end < items.length) {
      this.#first = items[Math.min(items.length - 1, start + ROWS_STEP)];
      this.changed();
    }
    if (was !== this.pinned || this.#conversation.newAfter) this.#handlers.scrolled();
  }

  #showOlder(items, start) {
    this.#first = items[Math.max(0, start - ROWS_STEP)];
    this.changed();
  }

  // The item of the first visible row, and its position.
  #anchor() {
    const edge = this.#scroller.getBoundingClientRect().top;
    let row = this.#list.firstElementChild;
    while (row && row.getBoundingClientRect().bottom < edge) row = row.nextElementSibling;
    const item = [...this.#rows.keys()].find((key) => this.#rows.get(key).row === row);
    return item && { item, top: row.getBoundingClientRect().top };
  }

  #toBottom() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #speak(added) {
    const second = Math.floor(performance.now() / 1_000);
    if (second !== this.#aloud.second) this.#aloud = { second, rows: 0 };
    this.#aloud.rows += added;
    const live = this.pinned && this.#aloud.rows <= ALOUD_PER_S ? 'polite' : 'off';
    if (this.#scroller.getAttribute('aria-live') !== live) this.#scroller.setAttribute('aria-live', live);
  }
}

/** The content of a message. The element stays the same while the content does, so pictures stay decoded and selections survive. */
function contentOf(row, item) {
  const looks = `${item.kind}|${shownLength(item)}|${currentLang()}`;
  const known = contents.get(row);
  if (known?.item === item && known.looks === looks) return known.element;
  const element = content(item);
  contents.set(row, { item, looks, element });
  return element;
}

const contents = new WeakMap();

function content(item) {
  const { kind } = item;
  if (!KINDS.includes(kind)) {
    const length = shownLength(item);
    return el('p', { class: 'text' }, ...linked(item.text.slice(0, length)), length < item.text.length ? '…' : null);
  }
  if (kind === 'image' && isEncodedPicture(item.text)) return el('p', { class: 'text' }, encodedPicture(item.text, t('kind.image')));
  return el('p', { class: 'text' }, el('span', { class: 'kind' }, t(`kind.${kind}`)), ' ', ...linked(cut(item.text, 2_000)));
}

function midnight(at) {
  return new Date(at).setHours(0, 0, 0, 0);
}

/** Number of characters that show. */
function shownLength({ text, kind, unfolded }) {
  if (unfolded || KINDS.includes(kind)) return text.length;
  let end = 0;
  for (let line = 0; line < FOLD_LINES; line += 1) {
    const next = text.indexOf('\n', end);
    if (next < 0 || next > FOLD_CHARACTERS) return text.length <= FOLD_CHARACTERS ? text.length : cut(text, FOLD_CHARACTERS).length;
    end = next + 1;
  }
  return end - 1;
}

function noteText(note) {
  if (note.what === 'presence') {
    const joined = note.came > 0 ? t('note.joined', { names: nameList(note.joined, note.came) }) : '';
    const left = note.went > 0 ? t('note.left', { names: nameList(note.left, note.went) }) : '';
    return joined && left ? t('note.both', { joined, left }) : joined || left;
  }
  if (note.what === 'topic' && note.from === '') return t(note.topic ? 'note.topicSet' : 'note.topicGone', note);
  if (note.what === 'topic') return t(note.topic ? 'note.topic' : 'note.topicCleared', note);
  return t(`note.${note.what}`, note);
}

/** The last few names and the number of others. */
function nameList(names, count) {
  const shown = names.slice(-3);
  const others = count - shown.length;
  const list = (parts) => parts.join(currentLang() === 'zh' ? '、' : ', ');
  if (others > 0) return t('note.and', { a: list(shown), b: t('note.others', { n: others }) });
  return shown.length > 1 ? t('note.and', { a: list(shown.slice(0, -1)), b: shown.at(-1) }) : (shown[0] ?? '');
}
