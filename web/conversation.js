// One conversation in memory: its messages in order, its gaps, and its unsent messages.
//
// Invariants: each message is here once, however often it arrived; messages are in the order of the server's numbers; missed messages
// show as a gap; after a new epoch, or numbers that went back, new messages follow and old ones stay in place; memory is bounded.
// Never: sends requests or touches the DOM.

/** Most items in memory. Older ones are dropped; in a durable room the server still has them. */
export const ITEMS_MAX = 4_000;
/** Number of items dropped at once, so that the array does not move for every message. */
const ITEMS_STEP = 500;
/** Most items while the user reads further up, so that the messages in view do not vanish. */
export const ITEMS_HELD = 20_000;
/** Most names whose sessions are remembered, to distinguish equal names. */
const NAMES_MAX = 2_000;
/** Most names in one line of joins and leaves. */
export const PRESENCE_NAMES = 20;

export class Conversation {
  epoch = 0;
  /** The position: everything up to this number was received or is in a gap. `null`: unknown. */
  last = null;
  head = 0;
  online = 0;
  topic = '';
  history = false;
  joined = false;
  /** Whether there is nothing older to load. */
  complete = false;
  /** The promise of the page of older messages that is being loaded. */
  loading = null;
  /** Whether the user reads further up. */
  held = false;
  unread = 0;
  /** The position up to which the server has counted unread messages; this page counts the later ones. */
  counted = { epoch: 0, seq: 0 };
  /** The last position that the user had read when a new message came; `null` if nothing is unread. */
  newAfter = null;
  /** Whether the divider before the first unread message has been in view. */
  lineSeen = false;
  /** Messages, notes and gaps, oldest first. */
  items = [];
  /** The user's unacknowledged messages, oldest first. */
  pending = [];
  /** Typing users, and until when each shows (monotonic time). */
  typing = new Map();
  /** Whether the room was joined in another epoch, and no message has arrived since. */
  #anew = false;
  #now;
  #seen = new Map();
  /** Messages of former epochs, by number and time: the same pair in the new epoch is the same message. */
  #apart = new Map();
  #sessions = new Map();

  /** @param kind `room` or `peer`  @param now the server's time, for items without their own */
  constructor(kind, name, { now = () => Date.now() } = {}) {
    this.kind = kind;
    this.name = name;
    this.id = `${kind}:${name}`;
    this.#now = now;
  }

  /** The fields of a request that name this conversation. */
  get address() {
    return { [this.kind]: this.name };
  }

  get position() {
    return this.last === null ? null : { ...this.address, epoch: this.epoch, seq: this.last };
  }

  /** Whether the replay after the join is still running. */
  get replaying() {
    return this.joined && this.last !== null && this.last < this.head;
  }

  /** All items, then the unacknowledged messages. */
  get shown() {
    return this.pending.length === 0 ? this.items : this.items.concat(this.pending);
  }

  /** The oldest message of the current epoch, or `null`. */
  get oldest() {
    return this.items.find((item) => item.type === 'message' && this.#counts(item)) ?? null;
  }

  /** Whether the item has a number of the current epoch. */
  #counts(item, epoch = this.epoch) {
    return item.epoch === epoch && !item.apart;
  }

  /** The item below the divider: the first unread one, or `null` if there is none or it is not loaded. */
  get firstNew() {
    if (this.newAfter === null || this.newUnloaded) return null;
    const { epoch, seq } = this.newAfter;
    const isNew = (item) => (item.type === 'message' ? !item.own && item.seq > seq : item.type === 'gap' && item.to > seq);
    return this.items.find((item) => this.#counts(item, epoch) && isNew(item)) ?? null;
  }

  /** Whether the first unread message is further up than what is loaded. */
  get newUnloaded() {
    if (this.newAfter?.epoch !== this.epoch || this.complete || !this.history) return false;
    const { oldest } = this;
    return oldest !== null && oldest.prev > this.newAfter.seq;
  }

  /** Marks everything after this position as unread. */
  markNew({ epoch, seq }) {
    this.newAfter = { epoch, seq };
    this.lineSeen = false;
  }

  /** Marks everything as read and removes the divider. */
  markRead() {
    this.newAfter = null;
  }

  /** Handles `joined`. Returns a gap if the server continues after a later position than ours. */
  enter({ epoch, head, online, topic, history, from }) {
    const known = this.last !== null && this.epoch === epoch && head >= this.last;
    if (!known) {
      const wentBack = this.last !== null && this.epoch === epoch;
      // In answer to a position, `from` is the end of what the server shares with us.
      this.#anew = wentBack || this.#isAnother(epoch);
      if (this.#anew) this.#begin(epoch, history && from <= (this.last ?? 0) ? from : 0);
      Object.assign(this, { epoch, last: from });
    }
    Object.assign(this, { head, online, topic: topic ?? '', history: Boolean(history), joined: true });
    if (!known) return null;
    return from > this.last ? this.miss({ epoch, from: this.last + 1, to: from, lost: false }) : null;
  }

  /**
   * Handles a live or replayed message. Returns `{fresh, gap}`: whether it is new, and the gap before it, if any.
   */
  receive(message) {
    let gap = null;
    if (this.#isAnother(message.epoch)) {
      // Nothing here says how much the new epoch shares with ours.
      this.#begin(message.epoch, 0);
      this.last = null;
    } else if (this.#contradicts(message)) {
      this.#begin(message.epoch, message.seq - 1);
      this.last = Math.min(this.last, message.seq - 1);
    }
    this.epoch = message.epoch;
    this.#anew = false;
    if (this.last !== null && message.seq <= this.last) {
      // In a direct conversation our acknowledgements move `last`, and may overtake an earlier message of the peer.
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

  #isAnother(epoch) {
    return epoch !== this.epoch && (this.last !== null || this.#seen.size > 0);
  }

  /** Whether another message has the same number here: the server lost that one and used its number again. */
  #contradicts({ epoch, seq, at }) {
    const known = this.#seen.get(`${epoch}:${seq}`);
    return known !== undefined && !known.byAck && known.at !== at;
  }

  /**
   * Begins a new epoch that shares our messages up to `shared`. Later ones stay in view, without counting as numbered. Own messages
   * that were acknowledged but not received go out again, with their keys.
   */
  #begin(epoch, shared) {
    const former = this.epoch;
    // Several signs of the same change make one line.
    const before = this.items.findLast((item) => item.type === 'message' || item.what === 'epoch');
    if (before?.type === 'message') this.note({ what: 'epoch' });
    this.#seen.clear();
    for (const item of this.items) {
      if (item.type === 'note' || item.apart) continue;
      if (item.epoch === former && (item.seq ?? item.to) <= shared) item.epoch = epoch;
      else item.apart = true;
      if (item.type !== 'message') continue;
      if (item.apart) this.#apart.set(`${item.seq}:${item.at}`, item);
      else this.#seen.set(`${item.epoch}:${item.seq}`, item);
    }
    for (const item of this.pending) if (item.acked) this.setPending(item, { state: 'waiting', acked: null });
    this.head = 0;
    this.epoch = epoch;
    this.complete = false;
    this.asked = false;
  }

  /** Takes the epoch, and the newest number, from the newest page of a direct conversation. */
  adopt(epoch, seq) {
    if (this.#isAnother(epoch)) this.#begin(epoch, 0);
    this.epoch = epoch;
    this.last = seq ?? null;
  }

  /** The peer has a new name: moves the messages to that conversation, without counting them as numbered. */
  continueIn(other) {
    for (const item of this.items) {
      other.items.push(item.type === 'note' ? item : Object.assign(item, { apart: true }));
      // A user who takes the former name again has the same messages.
      if (item.type === 'message') other.#apart.set(`${item.seq}:${item.at}`, item);
    }
    other.pending = this.pending;
    for (const item of other.pending) if (item.acked) this.setPending(item, { state: 'waiting', acked: null });
    other.unread = this.unread;
  }

  /** Handles messages that the server will not send by itself. Returns the gap, or `null` if it was known. */
  miss({ epoch, from, to, lost }) {
    // A loss that begins in what we have concerns former numbers; `joined`, or the newest page, has the new ones.
    const had = lost && epoch === this.epoch && this.last !== null && from <= this.last && to >= this.last;
    if (had && this.kind === 'peer') {
      this.#begin(epoch, from - 1);
      this.last = null;
      return null;
    }
    const former = this.#anew && lost && to > this.head;
    const current = !had && !former && (epoch === this.epoch || this.last === null);
    if (current && this.last !== null) from = Math.max(from, this.last + 1);
    if (from > to) return null;
    if (current) {
      this.epoch = epoch;
      this.last = to;
      this.head = Math.max(this.head, to);
    }
    const state = lost ? 'lost' : this.history ? 'open' : 'missed';
    const before = this.items.at(-1);
    if (before?.type === 'gap' && before.epoch === epoch && before.to === from - 1 && before.state === state && !before.apart) {
      before.to = to;
      touch(before);
      return before;
    }
    // A loss of a former epoch shows as a gap, and does not change our position.
    const gap = { type: 'gap', version: 0, epoch, from, to, state, apart: !current };
    this.#append(gap);
    return gap;
  }

  /** Marks a gap as filled up to `seq`. */
  fill(gap, seq) {
    gap.from = seq + 1;
    touch(gap);
    if (gap.from > gap.to) this.items = this.items.filter((item) => item !== gap);
  }

  setGap(gap, state) {
    gap.state = state;
    touch(gap);
  }

  /** Inserts a message by its number. Returns whether it was new. */
  insert(message) {
    const key = `${message.epoch}:${message.seq}`;
    if (this.#seen.has(key)) return false;
    const former = this.#apart.get(`${message.seq}:${message.at}`);
    if (former?.text === message.text) {
      Object.assign(former, { epoch: message.epoch, apart: false });
      this.#apart.delete(`${message.seq}:${message.at}`);
      this.#seen.set(key, former);
      return false;
    }
    const item = { ...message, type: 'message', version: 0 };
    this.#settle(item);
    this.#seen.set(key, item);
    this.#meet(item);
    let at = this.items.length;
    // A note stays after the message it followed, and a gap after the message before it.
    for (let i = at - 1; i >= 0; i -= 1) {
      const other = this.items[i];
      if (other.type === 'note' || !this.#counts(other, item.epoch)) continue;
      if (other.type === 'gap' ? other.from > item.seq : other.seq > item.seq) {
        at = i;
      } else if (other.type === 'gap' && item.seq <= other.to) {
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

  /** Adds a line that is not a message: a topic, a rename, a system message. */
  note(note) {
    const item = { at: this.#now(), ...note, type: 'note', version: 0 };
    this.#append(item);
    return item;
  }

  /** Adds joins and leaves; consecutive ones share a line. */
  presence({ joined = [], left = [] }) {
    if (joined.length + left.length === 0) return;
    const before = this.items.at(-1);
    const line = before?.what === 'presence' ? before : this.note({ what: 'presence', joined: [], left: [], came: 0, went: 0 });
    for (const name of joined) meetOrPart(line, 'left', 'went', 'joined', 'came', name);
    for (const name of left) meetOrPart(line, 'joined', 'came', 'left', 'went', name);
    touch(line);
    if (line.came + line.went === 0) this.items.pop();
  }

  /** Adds an own message. `after` is the position at this moment: the message gets a larger number. */
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
   * Handles an acknowledgement. In a room the item stays until its message arrives among the others. The server sends a direct message
   * to all devices but this one, so the acknowledgement takes its place.
   */
  acknowledge(item, { epoch, seq, at }) {
    if (!this.pending.includes(item)) return;
    const { from, session, text } = item;
    const message = { epoch, seq, prev: Math.min(this.last ?? seq - 1, seq - 1), at, from, session, text, kind: 'text', own: true, mine: true, byAck: true };
    const known = this.#seen.get(`${epoch}:${seq}`);
    if (known && known.text === text && known.own) {
      this.discard(item);
    } else if (this.kind === 'peer') {
      this.discard(item);
      this.receive(message);
    } else if (known) {
      // Somebody else's message has our number: the server used it again.
      this.#begin(epoch, seq - 1);
      this.last = seq - 1;
      this.setPending(item, { state: 'sent', acked: { epoch, seq }, at });
    } else if (this.epoch === epoch && this.last !== null && seq <= this.last) {
      // The position is already behind it, so the message will not arrive: shows it from what we know.
      this.discard(item);
      this.insert(message);
    } else {
      this.setPending(item, { state: 'sent', acked: { epoch, seq }, at });
    }
  }

  discard(item) {
    this.pending = this.pending.filter((other) => other !== item);
  }

  /** Whether several sessions used this name, so that the page must show their tags. */
  ambiguous(name) {
    return (this.#sessions.get(name)?.size ?? 0) > 1;
  }

  // An own message has arrived: removes the pending item that it belongs to.
  #settle(item) {
    // Another device of the user may send the same text; only this browser's messages count.
    if (!item.mine) return;
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
      if (gone.type !== 'message') continue;
      if (gone.apart) this.#apart.delete(`${gone.seq}:${gone.at}`);
      else this.#seen.delete(`${gone.epoch}:${gone.seq}`);
    }
    this.complete = !this.history;
  }
}

function touch(item) {
  item.version += 1;
}

// A user who joins and leaves within one line does not appear in it.
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
