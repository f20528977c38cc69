// What the page remembers between visits: names and their keys, rooms, positions and the language; and per tab its name, its client id
// and its unsent messages.
//
// Invariants: each thing has its own entry in the browser's storage, read on demand and written alone, so that tabs do not overwrite each
// other's. A key is saved before the call returns, in the tab or in memory if the storage is full, and `troubled` runs once. The page works
// even if the browser stores nothing.

import { Shelf } from './shelf.js';

const PLACE = 'plaza.v2.';
/** The entry with the whole state of an older page, which may still be open in another tab. */
const FORMER = 'plaza.v1';
const UNSENT = 'unsent';
/** Most conversations with a saved position; the ones used last stay. */
const PLACES_MAX = 200;
/** Most remembered sessions of the user, the newest, to recognise older messages. */
const SESSIONS_MAX = 200;
/** Shortest time between two writes of positions. */
const LATER_MS = 1_000;

export class Store {
  #shared;
  #tab;
  #tabSessions;
  #clock;
  #timer = null;
  /** Positions that are not saved yet. */
  #later = new Map();

  /**
   * @param storage shared by all tabs  @param tab this tab's own; both may be `null`
   * @param troubled (`key` or `other`) runs once for each kind that could not be saved for the next visit
   */
  constructor(storage, tab = null, { troubled = () => {}, clock = () => Date.now() } = {}) {
    this.#clock = clock;
    const told = new Set();
    const full = (entry) => {
      const what = entry.startsWith('key.') ? 'key' : 'other';
      if (!told.has(what)) troubled(what);
      told.add(what);
    };
    this.#tab = new Shelf(tab, PLACE, { former: 'plaza.v1.' });
    this.#shared = new Shelf(storage, PLACE, { full });
    const sessions = parsed(this.#tab.get('sessions'));
    this.#tabSessions = new Set(Array.isArray(sessions) ? sessions : []);
    this.#takeOver();
  }

  // ------------------------------------------------------------------------------------------------- the user

  /** The name in this tab, or in a new tab the last name of any tab; `null` on a first visit. */
  get name() {
    return this.#tab.get('name') ?? this.#shared.get('name');
  }

  set name(name) {
    this.#tab.set('name', name);
    this.#shared.set('name', name);
  }

  /** The name that this tab has requested and the server has not accepted yet, or `null`. */
  get wanted() {
    return this.#tab.get('wanted');
  }

  set wanted(name) {
    if (name === null) this.#tab.remove('wanted');
    else this.#tab.set('wanted', name);
  }

  get lang() {
    return this.#shared.get('lang');
  }

  set lang(lang) {
    this.#shared.set('lang', lang);
  }

  /** The conversation that was in view last. */
  get active() {
    return this.#tab.get('active') ?? this.#shared.get('active');
  }

  set active(id) {
    this.#tab.set('active', id);
    this.#shared.set('active', id);
  }

  /** The key of a name, or `null`. */
  key(name) {
    return this.#shared.get(`key.${name}`) ?? this.#tab.get(`key.${name}`);
  }

  /** Saves a key. Keys are never deleted, because each is the only proof of its name; the browser's storage bounds them. */
  keep(name, key) {
    const place = `key.${name}`;
    if (this.#shared.fits(place, key)) return;
    this.#forgetPositions();
    if (!this.#shared.set(place, key)) this.#tab.set(place, key);
  }

  /** The key has claimed its name: from now on nobody else can use the name. */
  claimed(name, key) {
    if (this.key(name) !== key) this.keep(name, key);
    this.#shared.set(`claimed.${name}`, '1');
  }

  isClaimed(name) {
    return this.#shared.get(`claimed.${name}`) !== null;
  }

  /** The client id, by which the server recognises repeated messages of this tab. Like unsent messages, it survives a reload and a rename. */
  client(make) {
    const known = this.#tab.get('client');
    if (/^[0-9a-f]{32}$/.test(known ?? '')) return known;
    const made = make();
    this.#tab.set('client', made);
    return made;
  }

  /** Remembers a session of this tab with its name, because a restarted server uses tags again. */
  session(tag, name) {
    this.#shared.set(`session.${tag}.${name}`, String(this.#clock()));
    this.#trim('session.', SESSIONS_MAX);
    this.#tabSessions.add(`${tag}.${name}`);
    this.#tab.set('sessions', JSON.stringify([...this.#tabSessions].slice(-SESSIONS_MAX)));
  }

  /** Whether the tag belongs to a session of any tab of this browser under that name. */
  isSession(tag, name) {
    return this.#shared.get(`session.${tag}.${name}`) !== null;
  }

  /** Whether it belongs to a session of this tab, including those before a reload. */
  isTabSession(tag, name) {
    return this.#tabSessions.has(`${tag}.${name}`);
  }

  // ------------------------------------------------------------------------------------------------- rooms and positions

  /** The rooms of this browser, in the order in which the user entered them. */
  rooms() {
    const order = (name) => Number(this.#shared.get(`room.${name}`)) || 0;
    return this.#shared.names('room.').filter(Boolean).sort((a, b) => order(a) - order(b) || (a < b ? -1 : 1));
  }

  addRoom(name) {
    if (this.#shared.get(`room.${name}`) === null) this.#shared.set(`room.${name}`, String(this.#clock()));
  }

  removeRoom(name) {
    this.#shared.remove(`room.${name}`);
  }

  /** The peers of `own`, each with its position: `[name, {epoch, seq}]`. */
  peers(own) {
    const prefix = `peer.${encodeURIComponent(own)}.`;
    const found = new Set(this.#shared.names(prefix));
    for (const place of this.#later.keys()) if (place.startsWith(prefix)) found.add(place.slice(prefix.length));
    return [...found].filter(Boolean).map((name) => [name, this.#position(`${prefix}${name}`)]).filter(([, position]) => position);
  }

  peer(own, name, position) {
    this.#put(`peer.${encodeURIComponent(own)}.${name}`, position);
  }

  forgetPeer(own, name) {
    const place = `peer.${encodeURIComponent(own)}.${name}`;
    this.#later.delete(place);
    this.#shared.remove(place);
  }

  /** The user's read position of a conversation in this browser: `{epoch, seq}` or `null`. */
  readUpTo(own, { id }) {
    return this.#position(`read.${encodeURIComponent(own)}.${id}`);
  }

  read(own, { id }, position) {
    this.#put(`read.${encodeURIComponent(own)}.${id}`, position);
  }

  // ------------------------------------------------------------------------------------------------- unsent messages

  /** The unsent messages that `keepUnsent` saved. */
  unsent() {
    const kept = parsed(this.#tab.get(UNSENT));
    const whole = ({ kind, name, from, key, text, at }) =>
      [kind, name, from, key, text].every((field) => typeof field === 'string') && name !== '' && !Number.isNaN(new Date(at ?? NaN).getTime());
    return Array.isArray(kept) ? kept.filter((entry) => entry !== null && typeof entry === 'object' && whole(entry)) : [];
  }

  keepUnsent(messages) {
    if (messages.length === 0) this.#tab.remove(UNSENT);
    else this.#tab.set(UNSENT, JSON.stringify(messages));
  }

  /** Runs `changed` with the new value when another tab changes `what` (`lang`). */
  watch(what, changed, target = globalThis) {
    target.addEventListener?.('storage', ({ key, newValue }) => key === `${PLACE}${what}` && newValue !== null && changed(newValue));
  }

  /** Saves pending positions now. */
  now() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const later = this.#later;
    this.#later = new Map();
    for (const [place, position] of later) {
      // Another tab may have saved a later position.
      const other = this.#position(place);
      const behind = other && other.epoch === position.epoch && other.seq > position.seq;
      if (!behind) this.#shared.set(place, JSON.stringify({ ...position, at: this.#clock() }));
    }
    if (later.size > 0) for (const kind of ['peer.', 'read.']) this.#trim(kind, PLACES_MAX);
  }

  #put(place, { epoch, seq }) {
    this.#later.set(place, { epoch, seq });
    this.#timer ??= setTimeout(() => this.now(), LATER_MS);
  }

  #position(place) {
    const late = this.#later.get(place);
    if (late) return late;
    const kept = parsed(this.#shared.get(place));
    return Number.isSafeInteger(kept?.epoch) && Number.isSafeInteger(kept?.seq) ? { epoch: kept.epoch, seq: kept.seq } : null;
  }

  #trim(prefix, most) {
    const names = this.#shared.names(prefix);
    // Only from time to time, because each pass reads all entries.
    if (names.length <= most * 1.25) return;
    const age = (name) => {
      const kept = this.#shared.get(prefix + name);
      return Number(kept) || parsed(kept)?.at || 0;
    };
    const oldest = names.map((name) => [age(name), name]).sort(([a], [b]) => a - b);
    for (const [, name] of oldest.slice(0, names.length - most)) this.#shared.remove(prefix + name);
  }

  /** The storage is full: deletes positions, which the server knows too, to make room for a key. */
  #forgetPositions() {
    for (const prefix of ['read.', 'peer.', 'session.']) for (const name of this.#shared.names(prefix)) this.#shared.remove(prefix + name);
  }

  /** Imports the state of an older page, again if a page that is still open has changed it. */
  #takeOver() {
    const text = this.#shared.raw(FORMER);
    if (text === null || this.#shared.get('former') === digest(text)) return;
    const former = parsed(text);
    if (former === null || typeof former !== 'object') return;
    const texts = (list) => (Array.isArray(list) ? list.filter((entry) => typeof entry === 'string') : []);
    const entries = (map) => (map !== null && typeof map === 'object' && !Array.isArray(map) ? Object.entries(map) : []);
    for (const [name, key] of entries(former.keys)) if (typeof key === 'string' && this.key(name) === null) this.keep(name, key);
    for (const field of ['name', 'lang', 'active']) if (typeof former[field] === 'string') this.#shared.set(field, former[field]);
    for (const [n, room] of texts(former.rooms).entries()) if (this.#shared.get(`room.${room}`) === null) this.#shared.set(`room.${room}`, String(n));
    const own = typeof former.name === 'string' ? former.name : '';
    const good = (position) => Number.isSafeInteger(position?.epoch) && Number.isSafeInteger(position?.seq);
    for (const [name, position] of entries(former.peers)) if (good(position)) this.peer(own, name, position);
    for (const [id, position] of entries(former.read)) if (good(position)) this.read(own, { id }, position);
    for (const tag of texts(former.sessions)) this.session(tag, own);
    this.#shared.set('former', digest(text));
    this.now();
  }
}

/** Distinguishes two states of the older page. */
function digest(text) {
  let hash = 7;
  for (let n = 0; n < text.length; n += 1) hash = (hash * 31 + text.charCodeAt(n)) >>> 0;
  return `${text.length}.${hash}`;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
