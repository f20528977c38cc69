// The state of the chat in this page: the user, the conversations, and the effect of each server event on them.
//
// Invariants: the page asks for a feature that the server lacks once, then hides it. Never: touches the DOM.

import { Conversation } from './conversation.js';
import { GAP_AUTO, HistoryPages, PAGE } from './history.js';
import { Me } from './me.js';
import { Outbox } from './outbox.js';
import { Link, systemClock } from './protocol.js';
import { Unread } from './unread.js';

/** How long a typing notice shows, and how often the page sends one. */
export const TYPING_SHOWN_MS = 5_000;
const TYPING_SAID_MS = 3_000;
/** Most typing users remembered per conversation. */
const TYPISTS_MAX = 20;
/** The position in a conversation of which the server knows nothing. */
const NOWHERE = { epoch: 0, seq: 0 };

export class Chat {
  #clock;
  #emit;
  /** The server's time in its last message with one, and the local clock at that moment. */
  #serverTime = null;
  #unsupported = new Set();
  #typingSaid = -Infinity;

  conversations = new Map();
  limits = { text_bytes: 64_512, name_chars: 64, page: 200 };

  /** @param emit (event, detail): `state`, `me`, `list`, `header`, `items`, `typing`, `refused`, `notice`, `goodbye`, `abilities`, `replaced` */
  constructor({ url, store, emit, open, clock = systemClock, random, makeKey = randomBits }) {
    this.store = store;
    this.#clock = clock;
    this.#emit = emit;
    this.me = new Me({ store, makeKey, makeClient: randomBits });
    this.history = new HistoryPages({ chat: this, emit });
    this.outbox = new Outbox({ chat: this, clock, emit, makeKey });
    this.unread = new Unread({ chat: this, clock, emit });
    for (const room of store.rooms()) this.#add('room', room);
    for (const [peer] of store.peers(this.name)) this.#add('peer', peer);
    for (const { kind, name, from, ...pending } of store.unsent()) {
      if (from !== this.name || !['room', 'peer'].includes(kind)) continue;
      const conversation = this.conversations.get(`${kind}:${name}`) ?? this.#add(kind, name);
      conversation.send({ ...pending, from, session: '', own: true });
    }
    this.link = new Link({
      url,
      open,
      clock,
      random,
      hello: () => this.#hello(),
      onEvent: (kind, body, id) => Object.hasOwn(this.#on, kind) && this.#on[kind](body, id),
      onState: (state) => this.#stateChanged(state),
    });
  }

  start() {
    this.link.connect();
  }

  can(kind) {
    return !this.#unsupported.has(kind);
  }

  /** The server's time; the local time until the server has sent one. */
  now() {
    if (this.#serverTime === null) return this.#clock.now();
    return Math.round(this.#serverTime.at + this.#clock.elapsed() - this.#serverTime.elapsed);
  }

  get name() {
    return this.me.name;
  }

  get session() {
    return this.me.session;
  }

  get author() {
    return this.me.author;
  }

  open(kind, name) {
    const known = this.conversations.get(`${kind}:${name}`);
    if (known) return known;
    const conversation = this.#add(kind, name);
    this.#emit('list');
    return conversation;
  }

  // ------------------------------------------------------------------------------------------- actions of the user

  /** Joins a room that the user chose, and remembers it for the next visit. */
  async enter(room) {
    const conversation = await this.join(room);
    this.store.addRoom(room);
    return conversation;
  }

  async join(room) {
    const conversation = this.open('room', room);
    if (conversation.joined) return conversation;
    const position = conversation.position;
    const from = position ? { epoch: position.epoch, seq: position.seq } : { last: PAGE };
    try {
      await this.link.request('join', { room, ...from });
    } catch (refused) {
      if (refused.code === 'already_member') return conversation;
      // Without a connection, the next one joins the room.
      if (!['connection_lost', 'timeout'].includes(refused.code)) this.#forget(conversation);
      throw refused;
    }
    return conversation;
  }

  /** Joins a remembered room; a refusal becomes a notice. */
  joinAgain(conversation) {
    conversation.joined = false;
    this.join(conversation.name).catch((refused) => refused.code !== 'connection_lost' && this.#emit('notice', refused));
  }

  async leave(conversation) {
    this.#forget(conversation);
    if (conversation.kind === 'room') await this.ask('leave', { room: conversation.name });
  }

  /** Opens the conversation with one user, and loads its stored messages. */
  direct(name) {
    const conversation = this.open('peer', name);
    if (conversation.position === null && !new Map(this.store.peers(this.author)).has(name)) this.store.peer(this.author, name, NOWHERE);
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
    this.#typingSaid = -Infinity;
    this.outbox.say(conversation, text);
  }

  typing(conversation) {
    const now = this.#clock.elapsed();
    if (now - this.#typingSaid < TYPING_SAID_MS || !this.can('typing')) return;
    this.#typingSaid = now;
    this.link.tell('typing', conversation.kind === 'room' ? { room: conversation.name } : { to: conversation.name });
  }

  /** The users who are typing now. */
  typists({ typing }) {
    const now = this.#clock.elapsed();
    for (const [name, until] of typing) if (until <= now) typing.delete(name);
    return [...typing.keys()];
  }

  async rename(name) {
    if (!this.link.live) {
      this.me.want(name);
      if (this.link.state === 'refused') this.link.sayHello();
      else if (this.link.state !== 'connecting') this.link.connect();
      return;
    }
    const { body } = await this.link.request('rename', { name, key: this.me.keyOf(name) });
    this.#take(body.new ?? name, body.key);
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

  // ------------------------------------------------------------------------------------------- events of the server

  #on = {
    welcome: (welcome) => this.#welcomed(welcome),
    joined: (joined) => {
      const conversation = this.open('room', joined.room);
      const gap = conversation.enter(joined);
      // Only a server with a store checks keys.
      if (joined.history) this.me.proved();
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
      const peer = message.from === this.name || this.me.isMine(message) ? message.to : message.from;
      const conversation = this.open('peer', peer);
      this.#received(conversation, message);
      this.rememberPeer(conversation);
    },
    topic: ({ room, topic, from }, id) => {
      const conversation = this.#room(room);
      if (!conversation || conversation.topic === topic) return;
      conversation.topic = topic;
      // The answer to the user who set the topic has no name.
      conversation.note({ what: 'topic', topic, from: from || (id === 0 ? '' : this.name) });
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
      for (const name of left) this.#stopsTyping(conversation, name);
      conversation.presence({ joined, left });
      this.#emit('header', conversation);
      this.#emit('presence', { conversation, joined, left, digest: (presence.names ?? []).length > 0 });
      if (joined.length + left.length > 0) this.#emit('items', conversation);
    },
    renamed: ({ room, old, new: now, session }) => {
      if (session === this.session) this.#take(now);
      else this.#peerRenamed(old, now, session);
      const conversation = room ? this.#room(room) : null;
      if (!conversation) return;
      this.#stopsTyping(conversation, old);
      conversation.note({ what: 'renamed', old, now });
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
      conversation.typing.set(from, this.#clock.elapsed() + TYPING_SHOWN_MS);
      if (conversation.typing.size > TYPISTS_MAX) conversation.typing.delete(conversation.typing.keys().next().value);
      this.#emit('typing', conversation);
    },
    gap: ({ room, peer, epoch, from, to, lost }) => {
      const conversation = this.#of({ room, peer });
      if (!conversation) return;
      const gap = conversation.miss({ epoch, from, to, lost });
      if (conversation.kind === 'peer' && conversation.position === null) {
        // Asks where the messages after the loss begin.
        this.store.peer(this.name, conversation.name, NOWHERE);
        this.loadPeer(conversation);
      }
      this.#changed(conversation, gap);
      this.outbox.sendNext(conversation);
    },
    system: ({ room, text }) => {
      const places = room ? [this.#room(room)].filter(Boolean) : this.#rooms();
      for (const conversation of places) {
        conversation.note({ what: 'system', text });
        this.#emit('items', conversation);
      }
    },
    goodbye: (goodbye) => this.#emit('goodbye', goodbye),
    pong: ({ at }) => this.#tellTime(at),
    refused: (error) => {
      this.me.refused();
      this.#emit('me');
      this.#emit('refused', error);
    },
  };

  #welcomed(welcome) {
    this.#tellTime(welcome.at);
    if (welcome.limits) this.limits = { ...this.limits, ...welcome.limits };
    this.#take(welcome.name, welcome.key, welcome.session);
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
    const { hello, staysTheSame } = this.me;
    const kept = new Map(this.store.peers(hello.name));
    const resume = [];
    for (const conversation of this.conversations.values()) {
      conversation.joined = false;
      const { kind, name, address } = conversation;
      // Under another name of ours, the direct conversation is another one.
      const here = kind === 'room' || staysTheSame ? conversation.position : null;
      const position = here ?? (kind === 'peer' && kept.get(name)?.seq > 0 ? { ...address, ...kept.get(name) } : null);
      if (position) resume.push(position);
    }
    this.#resumed = resume.map(({ room, peer }) => (room === undefined ? `peer:${peer}` : `room:${room}`));
    return { ...hello, resume };
  }

  #resumed = [];

  #room(name) {
    return this.conversations.get(`room:${name}`) ?? null;
  }

  /** The conversation of an event, by its room or the other user. */
  #of({ room, peer }) {
    return room ? this.#room(room) : (this.conversations.get(`peer:${peer}`) ?? null);
  }

  #add(kind, name) {
    const conversation = new Conversation(kind, name, { now: () => this.now() });
    this.conversations.set(conversation.id, conversation);
    return conversation;
  }

  #rooms() {
    return [...this.conversations.values()].filter((conversation) => conversation.kind === 'room');
  }

  /** Marks whose a message is: `own` if the user sent it from anywhere, `mine` if this page did. In a direct conversation names decide. */
  own(message, { kind, name }) {
    const mySide = kind === 'peer' && message.from === this.name && name !== this.name;
    return { ...message, mine: this.me.isMine(message), own: mySide || this.me.isUser(message) };
  }

  #received(conversation, message) {
    if (!conversation) return;
    message = this.own(message, conversation);
    const { fresh, gap } = conversation.receive(message);
    this.#stopsTyping(conversation, message.from);
    if (fresh) this.#emit('message', { conversation, message });
    this.#changed(conversation, gap);
    this.outbox.sendNext(conversation);
  }

  #stopsTyping(conversation, name) {
    if (conversation.typing.delete(name)) this.#emit('typing', conversation);
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

  #take(name, key, session = this.session) {
    const former = this.name;
    this.me.take(name, session, key);
    if (former !== name) this.#directsOf(name);
    this.#emit('me');
  }

  /** After a rename: direct conversations with the same people continue, with the numbers of the new name. */
  #directsOf(name) {
    for (const conversation of [...this.conversations.values()]) {
      for (const pending of conversation.pending) if (!pending.acked) pending.from = name;
      if (conversation.kind === 'peer') this.#replace(conversation, conversation.name);
    }
    for (const [peer] of this.store.peers(name)) this.open('peer', peer);
  }

  /** The peer of a direct conversation has another name now. Its session tells it from others with the same name. */
  #peerRenamed(old, now, session) {
    const conversation = this.conversations.get(`peer:${old}`);
    if (!conversation || old === now) return;
    const heard = conversation.items.findLast((item) => item.type === 'message' && !item.own);
    const another = heard ? heard.session !== session : this.#rooms().some((room) => room.ambiguous(old));
    if (another) return;
    this.store.forgetPeer(this.name, old);
    this.#replace(conversation, now).note({ what: 'renamed', old, now });
  }

  /** Replaces a direct conversation by one with another name, keeping its messages in sight. */
  #replace(former, name) {
    const id = `peer:${name}`;
    const known = id === former.id ? undefined : this.conversations.get(id);
    const next = known ?? new Conversation('peer', name, { now: () => this.now() });
    if (!known) {
      former.continueIn(next);
      this.conversations = new Map([...this.conversations].map(([key, each]) => (each === former ? [id, next] : [key, each])));
    } else {
      this.conversations.delete(former.id);
    }
    this.store.peer(this.name, name, next.position ?? NOWHERE);
    this.#emit('list');
    this.#emit('replaced', { former, next });
    this.loadPeer(next);
    this.outbox.sendNext(next);
    return next;
  }

  #tellTime(at) {
    if (Number.isFinite(at) && at > 0) this.#serverTime = { at, elapsed: this.#clock.elapsed() };
  }

  #forget(conversation) {
    conversation.joined = false;
    this.conversations.delete(conversation.id);
    if (conversation.kind === 'peer') this.store.forgetPeer(this.author, conversation.name);
    else this.store.removeRoom(conversation.name);
    this.#emit('list');
    this.#emit('gone', conversation);
  }

  /** Saves the position in a direct conversation, to resume from there. */
  rememberPeer({ kind, name, epoch, last }) {
    if (kind === 'peer' && last !== null) this.store.peer(this.author, name, { epoch, seq: last });
  }

  /** Notes a kind of request that the server does not know. */
  learn(kind, refused) {
    if (refused.code !== 'unknown_request') return;
    this.#unsupported.add(kind);
    this.#emit('abilities');
  }

  /** Sends a request that may fail without consequence. */
  async ask(kind, body) {
    if (!this.can(kind)) return;
    try {
      await this.link.request(kind, body);
    } catch (refused) {
      this.learn(kind, refused);
    }
  }
}

// Not `randomUUID`: browsers do not offer it to pages over plain http from another machine.
function randomBits() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
