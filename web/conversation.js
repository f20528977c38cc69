// What this page knows of one conversation: its messages in order, what is missing, what is not sent yet.
//
// Promises: a message stands here once, whatever way and however often it came; messages stand in the order of the
// server's numbers; what was missed shows as a gap; when the server numbers anew (another epoch, or numbers that went back)
// the new messages show and the old ones stay where they are; memory is bounded. Never: talks to the server or the page.

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
  /** Who is typing, until when (by the clock that nobody sets). */
  typing = new Map();
  /** The room was entered under other numbers than before, and nothing has come since. */
  #anew = false;
  #now;
  #seen = new Map();
  /** Messages of former epochs by number and time: one that the new epoch has too is the same message. */
  #apart = new Map();
  #sessions = new Map();

  /** @param kind `room` or `peer`  @param now the server's time, for what has none of its own */
  constructor(kind, name, { now = () => Date.now() } = {}) {
    this.kind = kind;
    this.name = name;
    this.id = `${kind}:${name}`;
    this.#now = now;
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
    return this.items.find((item) => item.type === 'message' && this.#counts(item)) ?? null;
  }

  /** What stands under a number of the epoch in force. */
  #counts(item, epoch = this.epoch) {
    return item.epoch === epoch && !item.apart;
  }

  /** The item before which the line stands: the first that is new, or `null` where nothing is, or it is not loaded. */
  get firstNew() {
    if (this.newAfter === null || this.newUnloaded) return null;
    const { epoch, seq } = this.newAfter;
    const isNew = (item) => (item.type === 'message' ? !item.own && item.seq > seq : item.type === 'gap' && item.to > seq);
    return this.items.find((item) => this.#counts(item, epoch) && isNew(item)) ?? null;
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
    const known = this.last !== null && this.epoch === epoch && head >= this.last;
    if (!known) {
      const wentBack = this.last !== null && this.epoch === epoch;
      // After a position, `from` is how far the server still has what we have.
      this.#anew = wentBack || this.#isAnother(epoch);
      if (this.#anew) this.#begin(epoch, history && from <= (this.last ?? 0) ? from : 0);
      Object.assign(this, { epoch, last: from });
    }
    Object.assign(this, { head, online, topic: topic ?? '', history: Boolean(history), joined: true });
    if (!known) return null;
    return from > this.last ? this.miss({ epoch, from: this.last + 1, to: from, lost: false }) : null;
  }

  /**
   * A message that came of the server's own accord. Returns `{fresh, gap}`: whether it is new here, and what turned out
   * to be missing before it.
   */
  receive(message) {
    let gap = null;
    if (this.#isAnother(message.epoch)) {
      // How much of what we have is in the new epoch too is not known here.
      this.#begin(message.epoch, 0);
      this.last = null;
    } else if (this.#contradicts(message)) {
      this.#begin(message.epoch, message.seq - 1);
      this.last = Math.min(this.last, message.seq - 1);
    }
    this.epoch = message.epoch;
    this.#anew = false;
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

  #isAnother(epoch) {
    return epoch !== this.epoch && (this.last !== null || this.#seen.size > 0);
  }

  /** Whether another message stands here under the same number: the server has lost that one, and given its number again. */
  #contradicts({ epoch, seq, at }) {
    const known = this.#seen.get(`${epoch}:${seq}`);
    return known !== undefined && !known.byAck && known.at !== at;
  }

  /**
   * The server numbers anew, in `epoch`, and still has what we have up to `shared`. What lies above stays in sight, apart from
   * what is numbered; own messages of which only the ack came go out again, under their keys.
   */
  #begin(epoch, shared) {
    const former = this.epoch;
    // Several signs of one change make one line.
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

  /** A page of a direct conversation says in which epoch it is now, and, being the newest, how far it goes. */
  adopt(epoch, seq) {
    if (this.#isAnother(epoch)) this.#begin(epoch, 0);
    this.epoch = epoch;
    this.last = seq ?? null;
  }

  /** The user behind this direct conversation goes on under this name: what was said stays in sight, apart. */
  continueIn(other) {
    for (const item of this.items) {
      other.items.push(item.type === 'note' ? item : Object.assign(item, { apart: true }));
      // Who takes the former name again finds the same messages.
      if (item.type === 'message') other.#apart.set(`${item.seq}:${item.at}`, item);
    }
    other.pending = this.pending;
    for (const item of other.pending) if (item.acked) this.setPending(item, { state: 'waiting', acked: null });
    other.unread = this.unread;
  }

  /** Messages that will not come by themselves. Returns the gap, or `null` if it was known. */
  miss({ epoch, from, to, lost }) {
    // A loss that begins in what we have is one of former numbers: what comes now is told by `joined`, or by the newest page.
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
    // What was lost of a former epoch is told beside what is now, and does not move where we are.
    const gap = { type: 'gap', version: 0, epoch, from, to, state, apart: !current };
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
    // Notes stay behind the message they followed; a gap stands behind what it begins after.
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

  /** A line that is not a message: topic, rename, words of the system. */
  note(note) {
    const item = { at: this.#now(), ...note, type: 'note', version: 0 };
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
    const message = { epoch, seq, prev: Math.min(this.last ?? seq - 1, seq - 1), at, from, session, text, kind: 'text', own: true, mine: true, byAck: true };
    const known = this.#seen.get(`${epoch}:${seq}`);
    if (known && known.text === text && known.own) {
      this.discard(item);
    } else if (this.kind === 'peer') {
      this.discard(item);
      this.receive(message);
    } else if (known) {
      // A message of somebody else has our number: the server has given it again.
      this.#begin(epoch, seq - 1);
      this.last = seq - 1;
      this.setPending(item, { state: 'sent', acked: { epoch, seq }, at });
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
    // Another device of ours may say the same words: only this browser's count.
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
