// What the page remembers between visits: name and keys, rooms, positions, language; and, for its tab alone, what was not
// sent yet. Bounded, and never required: where the browser keeps nothing, the page works all the same.

const PLACE = 'plaza.v1';
const UNSENT = 'plaza.v1.unsent';
const KEYS_MAX = 50;
const PLACES_MAX = 200;
const SESSIONS_MAX = 50;

export class Store {
  #storage;
  #tab;
  #timer = null;

  /** @param storage shared by all tabs  @param tab this tab's own; both may be `null` */
  constructor(storage, tab = null) {
    this.#storage = storage;
    this.#tab = tab;
    this.state = { name: null, lang: null, keys: {}, rooms: ['lobby'], peers: {}, read: {}, sessions: [], active: 'room:lobby' };
    try {
      const kept = JSON.parse(storage.getItem(PLACE) ?? '{}');
      for (const [field, value] of Object.entries(this.state)) {
        if (Object.hasOwn(kept, field) && sameShape(kept[field], value)) this.state[field] = kept[field];
      }
    } catch {
      // Blocked or damaged: start afresh.
    }
  }

  set(changes) {
    Object.assign(this.state, changes);
    this.later();
  }

  keep(name, key) {
    delete this.state.keys[name];
    this.state.keys[name] = key;
    trim(this.state.keys, KEYS_MAX);
    this.now();
  }

  session(tag) {
    this.state.sessions = [...this.state.sessions.filter((other) => other !== tag), tag].slice(-SESSIONS_MAX);
    this.later();
  }

  read(id, position) {
    delete this.state.read[id];
    this.state.read[id] = position;
    trim(this.state.read, PLACES_MAX);
    this.later();
  }

  peer(name, position) {
    delete this.state.peers[name];
    this.state.peers[name] = position;
    trim(this.state.peers, PLACES_MAX);
    this.later();
  }

  forgetPeer(name) {
    delete this.state.peers[name];
    this.later();
  }

  /** Messages that were written and not sent, as `keepUnsent` was given them. */
  unsent() {
    try {
      const kept = JSON.parse(this.#tab.getItem(UNSENT) ?? '[]');
      const whole = ({ kind, name, from, key, text }) => [kind, name, from, key, text].every((field) => typeof field === 'string');
      return Array.isArray(kept) ? kept.filter((entry) => entry !== null && typeof entry === 'object' && whole(entry)) : [];
    } catch {
      return [];
    }
  }

  keepUnsent(messages) {
    try {
      if (messages.length === 0) this.#tab.removeItem(UNSENT);
      else this.#tab.setItem(UNSENT, JSON.stringify(messages));
    } catch {
      // Blocked or full: what is written lives as long as the page.
    }
  }

  later() {
    this.#timer ??= setTimeout(() => this.now(), 1_000);
  }

  now() {
    clearTimeout(this.#timer);
    this.#timer = null;
    try {
      // Another tab may have been given keys and sessions meanwhile, and have read further.
      const other = JSON.parse(this.#storage.getItem(PLACE) ?? '{}');
      const { state } = this;
      state.keys = { ...other.keys, ...state.keys };
      state.sessions = [...new Set([...(other.sessions ?? []), ...state.sessions])].slice(-SESSIONS_MAX);
      for (const [id, { epoch, seq }] of Object.entries(other.read ?? {})) {
        const own = state.read[id];
        if (!own || (own.epoch === epoch && own.seq < seq)) state.read[id] = { epoch, seq };
      }
      trim(state.read, PLACES_MAX);
      this.#storage.setItem(PLACE, JSON.stringify(this.state));
    } catch {
      // See above.
    }
  }
}

function sameShape(kept, model) {
  if (Array.isArray(model)) return Array.isArray(kept) && kept.every((entry) => typeof entry === 'string');
  if (model === null) return kept === null || typeof kept === 'string';
  return kept !== null && typeof kept === typeof model && !Array.isArray(kept);
}

function trim(map, most) {
  for (const key of Object.keys(map).slice(0, Math.max(0, Object.keys(map).length - most))) delete map[key];
}
