// The chat as this page sees it: who we are, which conversations there are, and what each server message does to them.
//
// Promises: what the server cannot do is asked once and then hidden. Never: touches the page.

import { Conversation } from './conversation.js';
import { GAP_AUTO, HistoryPages, PAGE } from './history.js';
import { Outbox } from './outbox.js';
import { Link, systemClock } from './protocol.js';
import { Unread } from './unread.js';

/** How long somebody is said to be typing, and how often we say so ourselves. */
export const TYPING_SHOWN_MS = 5_000;
const TYPING_SAID_MS = 3_000;
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

  conversations = new Map();
  name = '';
  session = '';
  limits = { text_bytes: 64_512, name_chars: 64, page: 200 };

  /** @param emit (event, detail): `state`, `me`, `list`, `header`, `items`, `typing`, `refused`, `notice`, `goodbye`, `abilities` */
  constructor({ url, store, emit, open, clock = systemClock, random, makeKey = randomKey }) {
    this.store = store;
    this.#clock = clock;
    this.#emit = emit;
    this.#ownSessions = new Set(store.state.sessions);
    this.name = store.state.name ?? '';
    this.history = new HistoryPages({ chat: this, emit });
    this.#makeKey = makeKey;
    this.outbox = new Outbox({ chat: this, clock, emit, makeKey });
    this.unread = new Unread({ chat: this, clock, emit });
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

  /** Joins a room that the user chose before: a refusal comes as a notice. */
  joinAgain(conversation) {
    conversation.joined = false;
    this.join(conversation.name).catch((refused) => refused.code !== 'connection_lost' && this.#emit('notice', refused));
  }

  async leave(conversation) {
    this.#forget(conversation);
    if (conversation.kind === 'room') await this.ask('leave', { room: conversation.name });
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
    await this.history.loadOlder(conversation);
  }

  say(conversation, text) {
    this.#typingSaid = 0;
    this.outbox.say(conversation, text);
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
    const { body } = await this.link.request('rename', { name, key: this.#keyOf(name) });
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

  // ------------------------------------------------------------------------------------------- what the server says

  #on = {
    welcome: (welcome) => this.#welcomed(welcome),
    joined: (joined) => {
      const conversation = this.open('room', joined.room);
      const gap = conversation.enter(joined);
      this.unread.entered(conversation, joined);
      this.#emit('header', conversation);
      this.#emit('joined', conversation);
      this.#changed(conversation, gap);
      this.outbox.sendNext(conversation);
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
      this.rememberPeer(conversation);
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
    read: (read) => this.unread.readElsewhere(this.#of(read), read),
    unread: ({ conversations = [] }) => {
      for (const counted of conversations) {
        const { room, peer, unread } = counted;
        const conversation = unread === 0 ? null : room ? this.#room(room) : this.open('peer', peer);
        if (conversation) this.unread.counted(conversation, counted);
      }
      this.#emit('list');
    },
    typing: ({ room, from }) => {
      const conversation = this.#of({ room, peer: from });
      if (!conversation || from === this.name) return;
      conversation.typing.delete(from);
      conversation.typing.set(from, this.#clock.now() + TYPING_SHOWN_MS);
      if (conversation.typing.size > TYPISTS_MAX) conversation.typing.delete(conversation.typing.keys().next().value);
      this.#emit('typing', conversation);
    },
    gap: ({ room, peer, epoch, from, to, lost }) => {
      const conversation = this.#of({ room, peer });
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
        if (!resumed.has(conversation.id)) this.joinAgain(conversation);
      } else {
        this.outbox.sendNext(conversation);
      }
    }
    this.ask('unread');
    this.#emit('welcome');
  }

  #hello() {
    const { name, peers } = this.store.state;
    const resume = [];
    for (const conversation of this.conversations.values()) {
      conversation.joined = false;
      const kept = conversation.kind === 'peer' ? peers[conversation.name] : null;
      const position = conversation.position ?? (kept?.seq > 0 ? { ...conversation.address, ...kept } : null);
      if (position) resume.push(position);
    }
    this.#resumed = resume.map(({ room, peer }) => (room === undefined ? `peer:${peer}` : `room:${room}`));
    return { name: name ?? '', key: name ? this.#keyOf(name) : '', resume };
  }

  /** The key of a name; for one without, a new one, kept before it is sent: a connection that breaks cannot lose it. */
  #keyOf(name) {
    const known = () => Object.hasOwn(this.store.state.keys, name);
    // Another tab may have one.
    if (!known()) this.store.now();
    if (!known()) this.store.keep(name, this.#makeKey());
    return known() ? this.store.state.keys[name] : '';
  }

  #resumed = [];

  #room(name) {
    return this.conversations.get(`room:${name}`) ?? null;
  }

  /** The conversation that an event names by its room or by the other user. */
  #of({ room, peer }) {
    return room ? this.#room(room) : (this.conversations.get(`peer:${peer}`) ?? null);
  }

  #add(conversation) {
    this.conversations.set(conversation.id, conversation);
    return conversation;
  }

  #rooms() {
    return [...this.conversations.values()].filter((conversation) => conversation.kind === 'room');
  }

  /** Whose a message is. In a room only the session tells: a name proves nothing. A direct conversation has two sides, by name. */
  own(message, { kind, name }) {
    const mySide = kind === 'peer' && message.from === this.name && name !== this.name;
    return { ...message, own: mySide || this.isOwn(message) };
  }

  #received(conversation, message) {
    if (!conversation) return;
    message = this.own(message, conversation);
    const { fresh, gap } = conversation.receive(message);
    conversation.typing.delete(message.from);
    if (fresh) this.#emit('message', { conversation, message });
    this.#changed(conversation, gap);
    this.outbox.sendNext(conversation);
  }

  #changed(conversation, gap) {
    this.#emit('items', conversation);
    if (gap && gap.to - gap.from < GAP_AUTO) this.history.fillGap(conversation, gap);
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

  /** Keeps how far a direct conversation has come, to go on from there. */
  rememberPeer({ kind, name, epoch, last }) {
    if (kind === 'peer' && last !== null) this.store.peer(name, { epoch, seq: last });
  }

  #rememberRooms() {
    this.store.set({ rooms: this.#rooms().map(({ name }) => name) });
  }

  /** A request of this kind was refused: is it one that the server does not know? */
  learn(kind, refused) {
    if (refused.code !== 'unknown_request') return;
    this.#unsupported.add(kind);
    this.#emit('abilities');
  }

  /** Asks where nothing depends on the answer. */
  async ask(kind, body) {
    if (!this.can(kind)) return;
    try {
      await this.link.request(kind, body);
    } catch (refused) {
      this.learn(kind, refused);
    }
  }
}

// Not `randomUUID`, which browsers keep from pages that come over plain http from another machine.
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
