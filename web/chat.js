// The chat as this page sees it: who we are, which conversations there are, and what each server message does to them.
//
// Promises: an unsent message goes out once, in order, under one idempotency key, however often the connection breaks, or
// the page is loaded again in its tab;
// what the server cannot do is asked once and then hidden. Never: touches the page.

import { Conversation } from './conversation.js';
import { Link, Refused, systemClock } from './protocol.js';

/** The newest messages asked for on joining, and the size of a page of older ones. */
export const PAGE = 50;
/** A gap up to this size is filled by itself; a larger one when the user asks. */
export const GAP_AUTO = 500;
/** How long somebody is said to be typing, and how often we say so ourselves. */
export const TYPING_SHOWN_MS = 5_000;
const TYPING_SAID_MS = 3_000;
const READ_PACE_MS = 2_000;
const RETRY_MS = 1_000;
/** Names of typists kept per conversation. */
const TYPISTS_MAX = 20;
/** Numbers are kept from 0 where the server knows nothing of the conversation. */
const NOWHERE = { epoch: 0, seq: 0 };

export class Chat {
  #clock;
  #emit;
  #makeKey;
  #ownSessions;
  #unsupported = new Set();
  #typingSaid = 0;
  #marks = new Map();
  #retries = new Set();

  conversations = new Map();
  name = '';
  session = '';
  limits = { text_bytes: 64_512, name_chars: 64, page: 200 };

  /** @param emit (event, detail): `state`, `me`, `list`, `header`, `items`, `typing`, `refused`, `notice`, `goodbye`, `abilities` */
  constructor({ url, store, emit, open, clock = systemClock, random, makeKey = randomKey }) {
    this.store = store;
    this.#clock = clock;
    this.#emit = emit;
    this.#makeKey = makeKey;
    this.#ownSessions = new Set(store.state.sessions);
    this.name = store.state.name ?? '';
    for (const room of store.state.rooms) this.#add(new Conversation('room', room));
    for (const peer of Object.keys(store.state.peers)) this.#add(new Conversation('peer', peer));
    for (const { kind, name, from, ...pending } of store.unsent()) {
      if (from !== this.name || !['room', 'peer'].includes(kind)) continue;
      const conversation = this.conversations.get(`${kind}:${name}`) ?? this.#add(new Conversation(kind, name));
      conversation.send({ ...pending, from, session: '', own: true });
    }
    this.link = new Link({
      url,
      open,
      clock,
      random,
      hello: () => this.#hello(),
      onEvent: (kind, body) => Object.hasOwn(this.#on, kind) && this.#on[kind](body),
      onState: (state) => this.#stateChanged(state),
    });
  }

  start() {
    this.link.connect();
  }

  can(kind) {
    return !this.#unsupported.has(kind);
  }

  isOwn(message) {
    return this.#ownSessions.has(message.session);
  }

  open(kind, name) {
    const known = this.conversations.get(`${kind}:${name}`);
    if (known) return known;
    const conversation = this.#add(new Conversation(kind, name));
    this.#emit('list');
    return conversation;
  }

  // ------------------------------------------------------------------------------------------- what the user does

  async join(room) {
    const conversation = this.open('room', room);
    if (conversation.joined) return conversation;
    const position = conversation.position;
    const from = position ? { epoch: position.epoch, seq: position.seq } : { last: PAGE };
    try {
      await this.link.request('join', { room, ...from });
    } catch (refused) {
      if (refused.code === 'already_member') return conversation;
      // Without a connection it is joined with the next one.
      if (!['connection_lost', 'timeout'].includes(refused.code)) this.#forget(conversation);
      throw refused;
    }
    this.#rememberRooms();
    return conversation;
  }

  async leave(conversation) {
    this.#forget(conversation);
    if (conversation.kind === 'room') await this.#quietly('leave', { room: conversation.name });
  }

  /** Opens the conversation with one user, and what is stored of it. */
  direct(name) {
    const conversation = this.open('peer', name);
    if (!this.store.state.peers[name]) this.store.peer(name, conversation.position ?? NOWHERE);
    this.loadPeer(conversation);
    return conversation;
  }

  async loadPeer(conversation) {
    if (conversation.kind !== 'peer' || conversation.asked || !this.link.live) return;
    conversation.asked = true;
    conversation.history = this.can('history');
    await this.loadOlder(conversation);
  }

  say(conversation, text) {
    const key = this.#makeKey();
    conversation.send({ key, text, at: this.#clock.now(), from: this.name, session: this.session, own: true, attempts: 0 });
    conversation.firstUnread = null;
    this.#typingSaid = 0;
    this.#emit('items', conversation);
    this.#sendNext(conversation);
  }

  /** Keeps what is written and not sent, for when this tab comes back. */
  keepUnsent() {
    const unsent = [...this.conversations.values()].flatMap(({ kind, name, pending }) =>
      pending.filter(({ acked }) => !acked).map(({ from, key, text, at, after, attempts }) => ({ kind, name, from, key, text, at, after, attempts })),
    );
    this.store.keepUnsent(unsent);
  }

  retry(conversation, pending) {
    conversation.setPending(pending, { state: 'waiting', error: null });
    this.#emit('items', conversation);
    this.#sendNext(conversation);
  }

  discard(conversation, pending) {
    conversation.discard(pending);
    this.#emit('items', conversation);
    this.#sendNext(conversation);
  }

  typing(conversation) {
    const now = this.#clock.now();
    if (now - this.#typingSaid < TYPING_SAID_MS || !this.can('typing')) return;
    this.#typingSaid = now;
    this.link.tell('typing', conversation.kind === 'room' ? { room: conversation.name } : { to: conversation.name });
  }

  async rename(name) {
    if (!this.link.live) {
      this.#take(name);
      if (this.link.state === 'refused') this.link.sayHello();
      else if (this.link.state !== 'connecting') this.link.connect();
      return;
    }
    const { body } = await this.link.request('rename', { name });
    this.#take(body.new ?? name);
  }

  setTopic(conversation, topic) {
    return this.link.request('topic', { room: conversation.name, topic });
  }

  async users(room, after = '') {
    return (await this.link.request('users', { room, after, limit: 100 })).body;
  }

  async rooms(after = '') {
    return (await this.link.request('rooms', { after, limit: 100 })).body;
  }

  async search(conversation, text, before = 0) {
    try {
      return (await this.link.request('search', { ...conversation.address, text, before, limit: 30 })).body;
    } catch (refused) {
      if (refused.code === 'no_history') conversation.history = false;
      this.#learn('search', refused);
      throw refused;
    }
  }

  /** A message with a few before and after it. */
  async around(conversation, seq) {
    return (await this.link.request('history', { ...conversation.address, before: seq + 4, limit: 7 })).body.messages;
  }

  /** Loads one page of older messages. Returns whether there was one. */
  async loadOlder(conversation) {
    if (conversation.loading || conversation.complete || !conversation.history || !this.link.live) return false;
    conversation.loading = true;
    this.#emit('items', conversation);
    const { epoch } = conversation;
    const before = conversation.oldest?.seq ?? 0;
    let found = 0;
    try {
      const { body } = await this.link.request('history', { ...conversation.address, before, limit: PAGE });
      conversation.loading = false;
      if (conversation.kind === 'peer' && conversation.last === null) {
        conversation.epoch = body.epoch;
        conversation.last = body.messages.at(-1)?.seq ?? null;
      }
      if (body.epoch === conversation.epoch) {
        for (const message of body.messages) found += conversation.insert(this.#own(message, conversation)) ? 1 : 0;
        conversation.complete = !body.more || body.messages.length === 0;
      }
      conversation.complete ||= epoch !== 0 && body.epoch !== epoch;
    } catch (refused) {
      conversation.loading = false;
      this.#historyFailed(conversation, refused);
    }
    this.#emit('items', conversation);
    return found > 0;
  }

  /** Fetches what a gap holds; one at a time per conversation, so that a flood is not answered with a flood. */
  async fillGap(conversation, gap) {
    if (gap.state !== 'open' || conversation.filling || !this.link.live) return;
    conversation.filling = true;
    conversation.setGap(gap, 'loading');
    this.#emit('items', conversation);
    try {
      let budget = GAP_AUTO;
      while (gap.from <= gap.to && budget > 0) {
        const limit = Math.min(this.limits.page || PAGE, 200);
        const { body } = await this.link.request('history', { ...conversation.address, after: gap.from - 1, limit });
        if (body.epoch !== gap.epoch) {
          conversation.setGap(gap, 'lost');
          return;
        }
        const inside = body.messages.filter((message) => message.seq <= gap.to);
        // What lies below the oldest stored message is gone, and says so.
        for (const message of inside) conversation.insert(this.#own(message, conversation));
        budget -= limit;
        const done = inside.length < body.messages.length || !body.more || inside.length === 0;
        conversation.fill(gap, done ? gap.to : inside.at(-1).seq);
      }
      if (gap.from <= gap.to) conversation.setGap(gap, 'open');
    } catch (refused) {
      conversation.setGap(gap, ['connection_lost', 'timeout'].includes(refused.code) ? 'open' : 'missed');
      this.#historyFailed(conversation, refused);
    } finally {
      conversation.filling = false;
      this.#emit('items', conversation);
    }
  }

  /** A message has come that the user does not see now. */
  unseen(conversation, message) {
    const read = this.store.state.read[conversation.id];
    if (message.own || (read?.epoch === message.epoch && message.seq <= read.seq)) return;
    // Once all was read the line moves to what is new now.
    if (conversation.unread === 0) conversation.firstUnread = message.seq;
    conversation.firstUnread ??= message.seq;
    const { epoch, seq } = conversation.counted;
    if (message.epoch !== epoch || message.seq > seq) conversation.unread += 1;
    this.#emit('list');
  }

  /** The user has seen everything in this conversation. */
  seen(conversation) {
    if (conversation.unread > 0) {
      conversation.unread = 0;
      this.#emit('list');
    }
    const position = conversation.position;
    if (!position || position.seq === 0) return;
    const { id } = conversation;
    const kept = this.store.state.read[id];
    if (kept && kept.epoch === position.epoch && kept.seq >= position.seq) return;
    this.store.read(id, { epoch: position.epoch, seq: position.seq });
    if (!conversation.history || !this.can('read') || this.#marks.has(id)) return;
    const say = () => {
      this.#marks.delete(id);
      if (conversation.last) this.#quietly('read', { ...conversation.address, seq: conversation.last });
    };
    this.#marks.set(id, this.#clock.setTimeout(say, READ_PACE_MS));
  }

  // ------------------------------------------------------------------------------------------- what the server says

  #on = {
    welcome: (welcome) => this.#welcomed(welcome),
    joined: (joined) => {
      const conversation = this.open('room', joined.room);
      const first = conversation.last === null;
      const read = this.store.state.read[conversation.id];
      const gap = conversation.enter(joined);
      // A new view of a room that this browser has read: the divider stands where it stopped.
      if (first) conversation.readUpTo = read?.epoch === joined.epoch ? read.seq : joined.read > 0 ? joined.read : null;
      this.#emit('header', conversation);
      this.#emit('joined', conversation);
      this.#changed(conversation, gap);
      this.#sendNext(conversation);
    },
    left: ({ room }) => {
      const conversation = this.conversations.get(`room:${room}`);
      if (conversation) this.#forget(conversation);
    },
    message: (message) => this.#received(this.#room(message.room), message),
    direct: (message) => {
      const peer = message.from === this.name || this.isOwn(message) ? message.to : message.from;
      const conversation = this.open('peer', peer);
      this.#received(conversation, message);
      this.#rememberPeer(conversation);
    },
    topic: ({ room, topic, from }) => {
      const conversation = this.#room(room);
      if (!conversation || conversation.topic === topic) return;
      conversation.topic = topic;
      conversation.note({ what: 'topic', topic, from, at: this.#clock.now() });
      this.#emit('header', conversation);
      this.#emit('items', conversation);
    },
    presence: (presence) => {
      const conversation = this.#room(presence.room);
      if (!conversation) return;
      conversation.online = presence.online;
      const mine = (name) => name !== this.name;
      const joined = (presence.joined ?? []).filter(mine);
      const left = (presence.left ?? []).filter(mine);
      for (const name of left) conversation.typing.delete(name);
      conversation.presence({ joined, left });
      this.#emit('header', conversation);
      this.#emit('presence', { conversation, joined, left, digest: (presence.names ?? []).length > 0 });
      if (joined.length + left.length > 0) this.#emit('items', conversation);
    },
    renamed: ({ room, old, new: now, session }) => {
      if (session === this.session) this.#take(now);
      const conversation = room ? this.#room(room) : null;
      if (!conversation) return;
      conversation.typing.delete(old);
      conversation.note({ what: 'renamed', old, now, at: this.#clock.now() });
      this.#emit('presence', { conversation, joined: [now], left: [old], digest: false });
      this.#emit('items', conversation);
    },
    read: ({ room, peer, seq, unread }) => {
      const conversation = room ? this.#room(room) : this.conversations.get(`peer:${peer}`);
      if (!conversation || unread !== 0 || seq < (conversation.last ?? 0) || conversation.unread === 0) return;
      conversation.unread = 0;
      this.#emit('list');
    },
    unread: ({ conversations = [] }) => {
      for (const { room, peer, epoch, read, head, unread } of conversations) {
        if (unread === 0 || (room && !this.#room(room))) continue;
        const conversation = room ? this.#room(room) : this.open('peer', peer);
        // What was read here a moment ago may not have been told yet, and what has come since was not counted.
        const here = this.store.state.read[conversation.id];
        const readUpTo = here?.epoch === epoch ? Math.max(here.seq, read) : read;
        const since = conversation.items.filter((item) => item.type === 'message' && !item.own && item.epoch === epoch && item.seq > Math.max(head, readUpTo));
        conversation.counted = { epoch, seq: head };
        conversation.unread = Math.max(0, unread - (readUpTo - read)) + since.length;
      }
      this.#emit('list');
    },
    typing: ({ room, from }) => {
      const conversation = room ? this.#room(room) : this.conversations.get(`peer:${from}`);
      if (!conversation || from === this.name) return;
      conversation.typing.delete(from);
      conversation.typing.set(from, this.#clock.now() + TYPING_SHOWN_MS);
      if (conversation.typing.size > TYPISTS_MAX) conversation.typing.delete(conversation.typing.keys().next().value);
      this.#emit('typing', conversation);
    },
    gap: ({ room, peer, epoch, from, to, lost }) => {
      const conversation = room ? this.#room(room) : this.conversations.get(`peer:${peer}`);
      if (!conversation) return;
      this.#changed(conversation, conversation.miss({ epoch, from, to, lost }));
    },
    system: ({ room, text }) => {
      const at = this.#clock.now();
      const places = room ? [this.#room(room)].filter(Boolean) : this.#rooms();
      for (const conversation of places) {
        conversation.note({ what: 'system', text, at });
        this.#emit('items', conversation);
      }
    },
    goodbye: (goodbye) => this.#emit('goodbye', goodbye),
    refused: (error) => this.#emit('refused', error),
  };

  #welcomed(welcome) {
    this.session = welcome.session;
    this.#ownSessions.add(welcome.session);
    this.store.session(welcome.session);
    if (welcome.key) this.store.keep(welcome.name, welcome.key);
    if (welcome.limits) this.limits = { ...this.limits, ...welcome.limits };
    this.#take(welcome.name);
    const resumed = new Set(this.#resumed);
    for (const conversation of this.conversations.values()) {
      if (conversation.kind === 'room') {
        if (!resumed.has(conversation.id)) this.join(conversation.name).catch((refused) => this.#say(refused));
      } else {
        this.#sendNext(conversation);
      }
    }
    this.#quietly('unread');
    this.#emit('welcome');
  }

  #hello() {
    const { name, keys, peers } = this.store.state;
    const resume = [];
    for (const conversation of this.conversations.values()) {
      conversation.joined = false;
      const kept = conversation.kind === 'peer' ? peers[conversation.name] : null;
      const position = conversation.position ?? (kept?.seq > 0 ? { ...conversation.address, ...kept } : null);
      if (position) resume.push(position);
    }
    this.#resumed = resume.map(({ room, peer }) => (room === undefined ? `peer:${peer}` : `room:${room}`));
    const key = Object.hasOwn(keys, name ?? '') ? keys[name] : '';
    return { name: name ?? '', key, resume };
  }

  #resumed = [];

  #room(name) {
    return this.conversations.get(`room:${name}`) ?? null;
  }

  #add(conversation) {
    this.conversations.set(conversation.id, conversation);
    return conversation;
  }

  #rooms() {
    return [...this.conversations.values()].filter((conversation) => conversation.kind === 'room');
  }

  // In a room only the session tells who spoke: a name proves nothing. A direct conversation has two sides, by name.
  #own(message, { kind, name }) {
    const mySide = kind === 'peer' && message.from === this.name && name !== this.name;
    return { ...message, own: mySide || this.isOwn(message) };
  }

  #received(conversation, message) {
    if (!conversation) return;
    message = this.#own(message, conversation);
    const { fresh, gap } = conversation.receive(message);
    conversation.typing.delete(message.from);
    if (fresh) {
      if (conversation.readUpTo != null && message.seq > conversation.readUpTo && !message.own) {
        conversation.firstUnread = message.seq;
        conversation.readUpTo = null;
      }
      this.#emit('message', { conversation, message });
    }
    this.#changed(conversation, gap);
    this.#sendNext(conversation);
  }

  #changed(conversation, gap) {
    this.#emit('items', conversation);
    if (gap && gap.to - gap.from < GAP_AUTO) this.fillGap(conversation, gap);
  }

  // One message of a conversation is on its way at a time: a refused one cannot be overtaken.
  async #sendNext(conversation) {
    const next = conversation.pending.find((pending) => pending.state !== 'failed' && !pending.acked);
    const ready = this.link.live && (conversation.kind === 'peer' || conversation.joined);
    if (!next || next.state !== 'waiting' || this.#retries.has(conversation) || !ready) return;
    conversation.setPending(next, { state: 'sending', attempts: next.attempts + 1, session: this.session });
    const { key, text } = next;
    const [kind, body] =
      conversation.kind === 'room' ? ['talk', { room: conversation.name, text, key }] : ['direct', { to: conversation.name, text, key }];
    try {
      conversation.acknowledge(next, (await this.link.request(kind, body)).body);
      this.#rememberPeer(conversation);
    } catch (refused) {
      this.#notSent(conversation, next, refused);
    }
    this.#emit('items', conversation);
    this.#sendNext(conversation);
  }

  #notSent(conversation, pending, refused) {
    if (!conversation.pending.includes(pending)) return;
    const again = refused.retryAfter > 0 || ['connection_lost', 'timeout', 'not_member'].includes(refused.code);
    if (!again) {
      conversation.setPending(pending, { state: 'failed', error: refused });
      return;
    }
    conversation.setPending(pending, { state: 'waiting' });
    if (!this.link.live) return;
    if (refused.code === 'not_member') {
      conversation.joined = false;
      this.join(conversation.name).catch((why) => this.#say(why));
      return;
    }
    this.#retries.add(conversation);
    this.#clock.setTimeout(() => {
      this.#retries.delete(conversation);
      this.#sendNext(conversation);
    }, refused.retryAfter || RETRY_MS);
  }

  #stateChanged(state) {
    if (state !== 'connected' && state !== 'slow') {
      for (const conversation of this.conversations.values()) conversation.joined = false;
    }
    this.#emit('state', state);
  }

  #take(name) {
    this.name = name;
    this.store.set({ name });
    this.#emit('me');
  }

  #forget(conversation) {
    conversation.joined = false;
    this.conversations.delete(conversation.id);
    if (conversation.kind === 'peer') this.store.forgetPeer(conversation.name);
    this.#rememberRooms();
    this.#emit('list');
    this.#emit('gone', conversation);
  }

  #rememberPeer({ kind, name, epoch, last }) {
    if (kind === 'peer' && last !== null) this.store.peer(name, { epoch, seq: last });
  }

  #rememberRooms() {
    this.store.set({ rooms: this.#rooms().map(({ name }) => name) });
  }

  #historyFailed(conversation, refused) {
    if (refused.code === 'no_history') conversation.history = false;
    this.#learn('history', refused);
    if (!this.can('history')) conversation.history = false;
    this.#emit('header', conversation);
  }

  #learn(kind, refused) {
    if (refused.code !== 'unknown_request') return;
    this.#unsupported.add(kind);
    this.#emit('abilities');
  }

  async #quietly(kind, body) {
    if (!this.can(kind)) return;
    try {
      await this.link.request(kind, body);
    } catch (refused) {
      this.#learn(kind, refused);
    }
  }

  #say(refused) {
    if (refused instanceof Refused && refused.code !== 'connection_lost') this.#emit('notice', refused);
  }
}

// Not `randomUUID`, which browsers keep from pages that come over plain http from another machine.
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
