// What this page knows of one conversation: its messages in order, what is missing, what is not sent yet.
//
// Promises: a message stands here once, whatever way and however often it came; messages stand in the order of the
// server's numbers; what was missed shows as a gap; memory is bounded. Never: talks to the server or the page.

/** Items kept in memory: older ones are let go (the server's history has them, if the room keeps one). */
export const ITEMS_MAX = 4_000;
/** Let go of in one step, so that the array is not moved for every message. */
const ITEMS_STEP = 500;
/** Kept while the user reads further up, so that what they read does not vanish under them. */
export const ITEMS_HELD = 20_000;
/** Names whose sessions are remembered, to tell equal names apart. */
const NAMES_MAX = 2_000;
/** Names listed in one line of comings and goings. */
export const PRESENCE_NAMES = 20;

export class Conversation {
  epoch = 0;
  /** Everything up to here was received, or is known to be missing. `null`: nothing is known yet. */
  last = null;
  head = 0;
  online = 0;
  topic = '';
  history = false;
  joined = false;
  /** There is nothing older to load. */
  complete = false;
  /** The page of older messages that is on its way. */
  loading = null;
  /** The user reads further up. */
  held = false;
  unread = 0;
  /** How far the server has counted what is unread; what comes above it is counted here. */
  counted = { epoch: 0, seq: 0 };
  /** Where the user had stopped reading when something new came; `null` where nothing is new. */
  newAfter = null;
  /** The line before what is new has been in sight. */
  lineSeen = false;
  /** Messages, notes and gaps, oldest first. */
  items = [];
  /** Own messages on their way, oldest first. */
  pending = [];
  typing = new Map();
  #seen = new Map();
  #sessions = new Map();

  /** @param kind `room` or `peer` */
  constructor(kind, name) {
    this.kind = kind;
    this.name = name;
    this.id = `${kind}:${name}`;
  }

  /** The fields that name this conversation in a request. */
  get address() {
    return { [this.kind]: this.name };
  }

  get position() {
    return this.last === null ? null : { ...this.address, epoch: this.epoch, seq: this.last };
  }

  /** What was said before we came in is still on its way. */
  get replaying() {
    return this.joined && this.last !== null && this.last < this.head;
  }

  /** What a list shows: everything that is here, then what is on its way. */
  get shown() {
    return this.pending.length === 0 ? this.items : this.items.concat(this.pending);
  }

  /** The oldest message of the epoch in force, or `null`. */
  get oldest() {
    return this.items.find((item) => item.type === 'message' && item.epoch === this.epoch) ?? null;
  }

  /** The item before which the line stands: the first that is new, or `null` where nothing is, or it is not loaded. */
  get firstNew() {
    if (this.newAfter === null || this.newUnloaded) return null;
    const { epoch, seq } = this.newAfter;
    const isNew = (item) => (item.type === 'message' ? !item.own && item.seq > seq : item.type === 'gap' && item.to > seq);
    return this.items.find((item) => item.epoch === epoch && isNew(item)) ?? null;
  }

  /** What is new begins further up than what is loaded. */
  get newUnloaded() {
    if (this.newAfter?.epoch !== this.epoch || this.complete || !this.history) return false;
    const { oldest } = this;
    return oldest !== null && oldest.prev > this.newAfter.seq;
  }

  /** What comes after this position is new. */
  markNew({ epoch, seq }) {
    this.newAfter = { epoch, seq };
    this.lineSeen = false;
  }

  /** Nothing is new any more, and the line goes. */
  markRead() {
    this.newAfter = null;
  }

  /** The server said where we are. Returns a gap if it goes on further up than we had come. */
  enter({ epoch, head, online, topic, history, from }) {
    const known = this.last !== null && this.epoch === epoch;
    const began = this.last !== null && this.epoch !== epoch && this.items.some((item) => item.type === 'message');
    Object.assign(this, { epoch, head, online, topic: topic ?? '', history: Boolean(history), joined: true });
    if (began) {
      this.note({ what: 'epoch' });
      this.complete = false;
    }
    if (!known) {
      this.last = from;
      return null;
    }
    return from > this.last ? this.miss({ epoch, from: this.last + 1, to: from, lost: false }) : null;
  }

  /**
   * A message that came of the server's own accord. Returns `{fresh, gap}`: whether it is new here, and what turned out
   * to be missing before it.
   */
  receive(message) {
    let gap = null;
    if (this.last !== null && message.epoch !== this.epoch) {
      if (this.items.some((item) => item.type === 'message')) this.note({ what: 'epoch' });
      this.last = null;
    }
    this.epoch = message.epoch;
    if (this.last !== null && message.seq <= this.last) {
      // In a direct conversation our own acks move `last`, and may overtake what the other one said just before.
      const late = this.kind === 'peer' || this.items.some((item) => item.type === 'gap' && item.from <= message.seq && message.seq <= item.to);
      return { fresh: late && this.insert(message), gap };
    }
    if (this.last !== null && message.prev > this.last) {
      gap = this.miss({ epoch: message.epoch, from: this.last + 1, to: message.prev, lost: false });
    }
    this.last = message.seq;
    this.head = Math.max(this.head, message.seq);
    return { fresh: this.insert(message), gap };
  }

  /** Messages that will not come by themselves. Returns the gap, or `null` if it was known. */
  miss({ epoch, from, to, lost }) {
    if (epoch === this.epoch && this.last !== null) from = Math.max(from, this.last + 1);
    if (from > to) return null;
    this.epoch = epoch;
    this.last = to;
    this.head = Math.max(this.head, to);
    const state = lost ? 'lost' : this.history ? 'open' : 'missed';
    const before = this.items.at(-1);
    if (before?.type === 'gap' && before.epoch === epoch && before.to === from - 1 && before.state === state) {
      before.to = to;
      touch(before);
      return before;
    }
    const gap = { type: 'gap', version: 0, epoch, from, to, state };
    this.#append(gap);
    return gap;
  }

  /** Takes a gap's lower part, or all of it, as filled up to `seq`. */
  fill(gap, seq) {
    gap.from = seq + 1;
    touch(gap);
    if (gap.from > gap.to) this.items = this.items.filter((item) => item !== gap);
  }

  setGap(gap, state) {
    gap.state = state;
    touch(gap);
  }

  /** Puts a message where its number belongs. Returns whether it was new. */
  insert(message) {
    const key = `${message.epoch}:${message.seq}`;
    if (this.#seen.has(key)) return false;
    const item = { ...message, type: 'message', version: 0 };
    this.#settle(item);
    this.#seen.set(key, item);
    this.#meet(item);
    let at = this.items.length;
    // Notes stay behind the message they followed; a gap stands behind what it begins after.
    for (let i = at - 1; i >= 0; i -= 1) {
      const other = this.items[i];
      if (other.type === 'note') continue;
      if (other.epoch === item.epoch && (other.type === 'gap' ? other.from > item.seq : other.seq > item.seq)) {
        at = i;
      } else if (other.type === 'gap' && other.epoch === item.epoch && item.seq <= other.to) {
        at = i;
      } else {
        break;
      }
    }
    if (at === this.items.length) {
      this.#append(item);
    } else {
      this.items.splice(at, 0, item);
    }
    return true;
  }

  has(epoch, seq) {
    return this.#seen.has(`${epoch}:${seq}`);
  }

  /** A line that is not a message: topic, rename, words of the system. */
  note(note) {
    const item = { at: Date.now(), ...note, type: 'note', version: 0 };
    this.#append(item);
    return item;
  }

  /** Comings and goings; neighbours share one line. */
  presence({ joined = [], left = [] }) {
    if (joined.length + left.length === 0) return;
    const before = this.items.at(-1);
    const line = before?.what === 'presence' ? before : this.note({ what: 'presence', joined: [], left: [], came: 0, went: 0 });
    for (const name of joined) meetOrPart(line, 'left', 'went', 'joined', 'came', name);
    for (const name of left) meetOrPart(line, 'joined', 'came', 'left', 'went', name);
    touch(line);
    if (line.came + line.went === 0) this.items.pop();
  }

  /** An own message that sets out. `after` is how far we were then: its own number lies above. */
  send(pending) {
    const item = { state: 'waiting', acked: null, error: null, after: this.position, ...pending, type: 'pending', version: 0 };
    this.pending.push(item);
    return item;
  }

  setPending(item, changes) {
    Object.assign(item, changes);
    touch(item);
  }

  /**
   * The server took it. In a room it stays until its message comes, in its place among the others; a direct message
   * comes to all devices but this one, so here the ack is all there will be.
   */
  acknowledge(item, { epoch, seq, at }) {
    if (!this.pending.includes(item)) return;
    const { from, session, text } = item;
    const message = { epoch, seq, prev: this.last ?? seq - 1, at, from, session, text, kind: 'text', own: true };
    if (this.has(epoch, seq)) {
      this.discard(item);
    } else if (this.kind === 'peer') {
      this.discard(item);
      this.receive(message);
    } else if (this.epoch === epoch && this.last !== null && seq <= this.last) {
      // Its place has been passed, so the message itself will not come: what we know of it stands in.
      this.discard(item);
      this.insert(message);
    } else {
      this.setPending(item, { state: 'sent', acked: { epoch, seq }, at });
    }
  }

  discard(item) {
    this.pending = this.pending.filter((other) => other !== item);
  }

  /** Whether this name was seen in more than one session, so that its tag must be shown. */
  ambiguous(name) {
    return (this.#sessions.get(name)?.size ?? 0) > 1;
  }

  // An own message has come: whichever pending one it is needs to wait no longer.
  #settle(item) {
    if (!item.own) return;
    const mine =
      this.pending.find((p) => p.acked && p.acked.epoch === item.epoch && p.acked.seq === item.seq) ??
      this.pending.find((p) => !p.acked && p.attempts > 0 && p.text === item.text && p.after?.epoch === item.epoch && p.after.seq < item.seq);
    if (mine) this.discard(mine);
  }

  #meet({ from, session, own }) {
    const tags = this.#sessions.get(from) ?? new Set();
    tags.add(own ? 'own' : session);
    this.#sessions.set(from, tags);
    if (tags.size === 2) for (const item of this.items) if (item.from === from) touch(item);
    if (this.#sessions.size > NAMES_MAX) this.#sessions.delete(this.#sessions.keys().next().value);
  }

  #append(item) {
    this.items.push(item);
    const most = this.held ? ITEMS_HELD : ITEMS_MAX;
    if (this.items.length < most + ITEMS_STEP) return;
    for (const gone of this.items.splice(0, this.items.length - most)) {
      if (gone.type === 'message') this.#seen.delete(`${gone.epoch}:${gone.seq}`);
    }
    this.complete = !this.history;
  }
}

function touch(item) {
  item.version += 1;
}

// Somebody who comes and goes within one line leaves no trace in it.
function meetOrPart(line, undo, undoCount, list, count, name) {
  const at = line[undo].indexOf(name);
  if (at >= 0) {
    line[undo].splice(at, 1);
    line[undoCount] -= 1;
    return;
  }
  if (line[list].includes(name)) return;
  line[count] += 1;
  if (line[list].length < PRESENCE_NAMES) line[list].push(name);
}
