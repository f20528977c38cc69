// A small stand-in for the server: serves the page and speaks `plaza.v1.json`, in memory. It is for work on the page, and for faults that a
// real server cannot produce on request. It is not a reference: where the two differ, the real server is right.
//
//   node tests/peer.mjs [port]

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';

const WEB = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };
const PAGES = { '/': 'index.html', '/home/index': 'action/home.html', '/home/room': 'action/home.html', '/communication': 'communication/home.html' };
export const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PICTURES_CSP = CSP.replace("img-src 'self' data:", "img-src 'self' data: https: http:");

export class Peer {
  /** A function (message) → what to do instead of answering, or nothing. */
  fault = null;
  /** Whether connections are dead: they accept messages and send nothing. */
  dead = false;
  /** Sends a room's messages to a new member. */
  replay = (messages, say) => messages.forEach(say);
  heartbeatMs = 25_000;
  history = true;
  tutorial = null;
  sessions = new Set();
  rooms = new Map();
  received = [];
  #keys = new Map();

  static async start({ port = 0, ...settings } = {}) {
    const peer = Object.assign(new Peer(), settings);
    await peer.listen(port);
    return peer;
  }

  async listen(port) {
    this.server = http.createServer((request, response) => this.#serve(request, response));
    this.sockets = new WebSocketServer({ server: this.server, handleProtocols: (offered) => (offered.has('plaza.v1.json') ? 'plaza.v1.json' : false) });
    this.sockets.on('connection', (socket, request) => {
      const { pathname } = new URL(request.url, 'http://peer');
      if (pathname === '/chat') this.#open(socket);
      else if (this.other) this.other(pathname, socket, request);
      else socket.close();
    });
    await new Promise((resolve) => this.server.listen(port, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
  }

  /** Ends like a killed server, without a goodbye or a close frame. Durable rooms survive in `rooms`. */
  async kill() {
    for (const socket of this.sockets.clients) socket.terminate();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    this.sessions.clear();
    for (const room of this.rooms.values()) room.members.clear();
  }

  async #serve(request, response) {
    const { pathname } = new URL(request.url, 'http://peer');
    const file = path.join(WEB, PAGES[pathname] ?? pathname.slice(1));
    try {
      const inside = file.startsWith(WEB + path.sep) && !/node_modules|tests|package/.test(file);
      const body = pathname === '/connect.proto' ? await readFile(path.join(WEB, '../proto/legacy/communication.proto')) : inside ? await readFile(file) : null;
      if (body === null) throw new Error('not ours');
      const csp = pathname.startsWith('/home/') ? PICTURES_CSP : CSP;
      response.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'text/plain', 'content-security-policy': csp, 'cache-control': 'no-store' });
      response.end(body);
    } catch {
      response.writeHead(404).end('404');
    }
  }

  room(name) {
    if (!this.rooms.has(name)) this.rooms.set(name, { name, epoch: 1 + (randomBytes(4).readUInt32LE() >>> 1), log: [], topic: '', members: new Set(), read: new Map(), version: 0 });
    return this.rooms.get(name);
  }

  names(room) {
    return [...new Set([...room.members].map((session) => session.name))].sort();
  }

  say(session, kind, body, id = 0) {
    if (session.socket.readyState === 1) session.socket.send(JSON.stringify({ id, [kind]: body }));
  }

  tell(room, kind, body, except = null) {
    const text = JSON.stringify({ id: 0, [kind]: body });
    for (const session of room.members) if (session !== except && session.socket.readyState === 1) session.socket.send(text);
  }

  /** Sends a message from a user without a connection. `hidden`: numbered, but sent to nobody. */
  talk(roomName, from, text, { hidden = false, kind = 'text', at = Date.now(), session = 'feedc0de' } = {}) {
    const room = this.room(roomName);
    const prev = room.log.at(-1)?.seq ?? 0;
    const message = { room: roomName, seq: prev + 1, prev, at, from, session, text, kind, epoch: room.epoch };
    room.log.push(message);
    if (!hidden) this.tell(room, 'message', message);
    return message;
  }

  #open(socket) {
    const session = { socket, name: '', tag: randomBytes(4).toString('hex'), direct: 0 };
    socket.on('message', (data) => {
      const message = JSON.parse(data.toString());
      const [kind] = Object.keys(message).filter((key) => key !== 'id');
      if (this.dead) return;
      this.received.push(message);
      if (this.received.length > 10_000) this.received.shift();
      if (this.fault?.({ kind, body: message[kind], id: message.id, session, peer: this }) === 'handled') return;
      this.answer(session, kind, message[kind], message.id ?? 0);
    });
    socket.on('close', () => {
      this.sessions.delete(session);
      for (const room of this.rooms.values()) if (room.members.has(session)) this.#leave(room, session);
    });
  }

  answer(session, kind, body, id) {
    const answers = {
      hello: () => {
        session.name = body.name || `guest-${this.sessions.size + 1}`;
        this.sessions.add(session);
        const limits = { message_bytes: 65536, text_bytes: 64512, name_chars: 64, rooms: 256, page: 200 };
        this.say(session, 'welcome', { session: session.tag, name: session.name, key: body.key ? '' : `key-of-${session.name}`, heartbeat_ms: this.heartbeatMs, limits, version: 'peer', at: Date.now() }, id);
        for (const { room, epoch, seq } of body.resume ?? []) if (room) this.#join(session, room, { epoch, seq }, 0);
      },
      join: () => this.#join(session, body.room, body, id),
      leave: () => {
        this.#leave(this.room(body.room), session);
        this.say(session, 'left', { room: body.room }, id);
      },
      talk: () => {
        const key = `${session.name}/${body.room}/${body.key}`;
        const known = body.key ? this.#keys.get(key) : undefined;
        const { seq, at, epoch } = known ?? this.talk(body.room, session.name, body.text, { session: session.tag });
        if (body.key && !known) this.#keys.set(key, { seq, at, epoch });
        this.say(session, 'ack', { seq, at, epoch, duplicate: known !== undefined }, id);
      },
      direct: () => {
        const targets = [...this.sessions].filter(({ name }) => name === body.to);
        if (targets.length === 0) return this.say(session, 'error', { code: 'no_such_user', text: 'nobody', retry_after: 0 }, id);
        this.pairs ??= new Map();
        const pair = [session.name, body.to].sort().join('\n');
        const prev = this.pairs.get(pair) ?? 0;
        this.pairs.set(pair, prev + 1);
        const message = { from: session.name, to: body.to, seq: prev + 1, prev, at: Date.now(), session: session.tag, text: body.text, kind: 'text', epoch: 5 };
        for (const other of this.sessions) if (other !== session && (other.name === body.to || other.name === session.name)) this.say(other, 'direct', message);
        this.say(session, 'ack', { seq: message.seq, at: message.at, epoch: 5, duplicate: false }, id);
      },
      users: () => {
        const room = this.room(body.room);
        const all = this.names(room);
        const from = body.after ? all.findIndex((name) => name > body.after) : 0;
        const names = from < 0 ? [] : all.slice(from, from + (body.limit || 50));
        this.say(session, 'users', { room: body.room, online: all.length, names, next: names.length > 0 && names.at(-1) !== all.at(-1) ? names.at(-1) : '' }, id);
      },
      rooms: () => {
        const rooms = [...this.rooms.values()].map((room) => ({ name: room.name, topic: room.topic, online: this.names(room).length }));
        this.say(session, 'rooms', { rooms, next: '' }, id);
      },
      topic: () => {
        const room = this.room(body.room);
        room.topic = body.topic;
        this.say(session, 'topic', { room: body.room, topic: body.topic, from: '' }, id);
        this.tell(room, 'topic', { room: body.room, topic: body.topic, from: session.name }, session);
      },
      rename: () => {
        const old = session.name;
        session.name = body.name;
        this.say(session, 'renamed', { room: '', old, new: body.name, session: session.tag }, id);
        for (const room of this.rooms.values()) if (room.members.has(session)) this.tell(room, 'renamed', { room: room.name, old, new: body.name, session: session.tag });
      },
      history: () => {
        const room = body.room ? this.room(body.room) : null;
        if (!room || !this.history) return this.say(session, 'error', { code: 'no_history', text: 'not stored', retry_after: 0 }, id);
        const limit = body.limit || 50;
        const all = body.after ? room.log.filter(({ seq }) => seq > body.after) : room.log.filter(({ seq }) => !body.before || seq < body.before);
        const messages = body.after ? all.slice(0, limit) : all.slice(-limit);
        this.say(session, 'history', { room: body.room, peer: '', epoch: room.epoch, messages, more: all.length > messages.length, first: room.log[0]?.seq ?? 0 }, id);
      },
      search: () => {
        const found = this.room(body.room).log.filter(({ text, seq }) => text.includes(body.text) && (!body.before || seq < body.before)).reverse();
        const messages = found.slice(0, body.limit);
        this.say(session, 'search', { room: body.room, peer: '', messages, next: found.length > messages.length ? messages.at(-1).seq : 0 }, id);
      },
      read: () => {
        const room = this.room(body.room);
        room.read.set(session.name, Math.max(body.seq, room.read.get(session.name) ?? 0));
        const unread = room.log.filter(({ seq }) => seq > room.read.get(session.name)).length;
        this.say(session, 'read', { room: body.room, seq: room.read.get(session.name), unread }, id);
      },
      typing: () => body.room && this.tell(this.room(body.room), 'typing', { room: body.room, from: session.name }, session),
      ping: () => this.say(session, 'pong', { at: Date.now() }, id),
      exit: () => {
        this.say(session, 'goodbye', { code: 'exit', text: '', retry_after: 0 }, id);
        session.socket.close(1000);
      },
    };
    if (Object.hasOwn(answers, kind)) answers[kind]();
    else this.say(session, 'error', { code: 'unknown_request', text: kind, retry_after: 0 }, id);
  }

  #join(session, name, { epoch = 0, seq = 0, last = 0 }, id) {
    const room = this.room(name);
    const head = room.log.at(-1)?.seq ?? 0;
    const from = epoch === room.epoch && seq > 0 ? seq : Math.max(0, head - (this.history ? last : 0));
    const fresh = !this.names(room).includes(session.name);
    room.members.add(session);
    const online = this.names(room).length;
    this.say(session, 'joined', { room: name, epoch: room.epoch, head, online, topic: room.topic, history: this.history, read: room.read.get(session.name) ?? 0, from: epoch && epoch !== room.epoch ? head : from }, id);
    const missed = room.log.filter(({ seq }) => seq > from && (!epoch || epoch === room.epoch));
    this.replay(missed, (message) => this.say(session, 'message', message));
    if (fresh) this.tell(room, 'presence', { room: name, online, version: ++room.version, joined: [session.name], left: [], names: [] }, session);
  }

  #leave(room, session) {
    room.members.delete(session);
    if (this.names(room).includes(session.name)) return;
    this.tell(room, 'presence', { room: room.name, online: this.names(room).length, version: ++room.version, joined: [], left: [session.name], names: [] });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const peer = await Peer.start({ port: Number(process.argv[2] ?? 8088) });
  console.log(`listening on ${peer.url}`);
}
