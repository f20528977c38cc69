// The connection to `/chat`: one WebSocket at a time, JSON messages, requests and replies, heartbeats, reconnecting.
//
// Invariants: `onEvent` gets every server message in the order of the wire; every request settles, at the latest after its timeout or
// when the connection ends; the link reconnects by itself unless the server forbids it.
// Never: touches the DOM, or uses a clock, a socket or random numbers other than those it was given.

export const SUBPROTOCOL = 'plaza.v1.json';

/** Heartbeat interval before the first `welcome`, and if the server names none. */
const HEARTBEAT_MS = 25_000;
/** Gives up a connection without a `welcome` after this time. */
const WELCOME_MS = 10_000;
/** If nothing arrives for this time after a request, the connection becomes doubtful. */
const DOUBT_MS = 5_000;
/** Gives up a doubtful connection if nothing arrives for this time. Each such end doubles it, until answers are quick again. */
const PROBE_MS = 4_000;
const PROBE_LONGEST_MS = 12_000;
/** A timer that is this late slept with the page, which has not read what arrived meanwhile. */
const LATE_MS = 2_000;
/** A reply that is this late is lost, and the request may be repeated. */
const REPLY_MS = 15_000;
/** First and longest wait between two attempts (exponential backoff). */
export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_LONGEST_MS = 30_000;
/** Only a connection that lived this long resets the backoff, which spares a server that welcomes and drops. */
export const STABLE_MS = 5_000;

/** Close codes after which only the user reconnects, even without a goodbye. */
const forGood = (code) => code >= 4_500 && code <= 4_999;

export const systemClock = {
  now: () => Date.now(),
  /** Monotonic, in milliseconds. */
  elapsed: () => performance.now(),
  setTimeout: (f, ms) => setTimeout(f, ms),
  clearTimeout: (t) => clearTimeout(t),
};

/** A refused request. `code` is from the server's table, or `connection_lost` or `timeout`. */
export class Refused extends Error {
  constructor({ code, text = '', retry_after = 0 }) {
    super(`${code}: ${text}`);
    this.code = code;
    this.text = text;
    this.retryAfter = retry_after;
  }
}

/**
 * States: `idle`, `connecting`, `connected`, `slow` (a reply is due and nothing arrives), `waiting` (until `retryAt`), `refused` (the
 * server refused the hello), `away` (the page is hidden in the back/forward cache), `closed` (the server forbids reconnecting, or the
 * user left).
 */
export class Link {
  #open;
  #clock;
  #random;
  #hello;
  #onEvent;
  #onState;
  #socket = null;
  #helloId = 0;
  #nextId = 1;
  #requests = new Map();
  /** Number of received messages, and the number of the last one that was a reply. */
  #heard = 0;
  #heartbeat = HEARTBEAT_MS;
  #heardReply = 0;
  #began = 0;
  #beatTimer = null;
  /** Runs while the connection is doubtful. */
  #probeTimer = null;
  #probeMs = PROBE_MS;
  #timer = null;
  #stableTimer = null;
  #attempt = 0;
  #invitedAfter = null;
  #stayAway = false;

  state = 'idle';
  /** Time of the next attempt, while `waiting`. */
  retryAt = 0;

  /**
   * @param hello returns the body of the hello, for each attempt
   * @param onEvent (kind, body, id) for every server message, including replies
   * @param onState (state) after each change
   */
  constructor({ url, hello, onEvent, onState = () => {}, open, clock = systemClock, random = Math.random }) {
    this.#open = open ?? (() => new WebSocket(url, SUBPROTOCOL));
    this.#clock = clock;
    this.#random = random;
    this.#hello = hello;
    this.#onEvent = onEvent;
    this.#onState = onState;
  }

  get live() {
    return this.state === 'connected' || this.state === 'slow';
  }

  /** Connects now, whatever the state. */
  connect() {
    this.#drop();
    this.#invitedAfter = null;
    this.#stayAway = false;
    this.#enter('connecting');
    const socket = this.#open();
    this.#socket = socket;
    this.#began = this.#clock.elapsed();
    this.#timer = this.#clock.setTimeout(() => this.#lost(socket), WELCOME_MS);
    socket.onopen = () => this.sayHello();
    socket.onmessage = ({ data }) => this.#receive(socket, data);
    socket.onclose = ({ code = 0 } = {}) => {
      if (socket === this.#socket && forGood(code)) this.#stayAway = true;
      this.#lost(socket);
    };
    socket.onerror = () => {};
  }

  /** Sends the hello, also after a refused one. */
  sayHello() {
    if (this.state === 'refused') this.#enter('connecting');
    this.#helloId = this.#nextId++;
    this.#send({ id: this.#helloId, hello: this.#hello() });
  }

  /** Sends a request; resolves with `{kind, body}` of the reply, or rejects with `Refused`. */
  request(kind, body = {}) {
    if (!this.live) return Promise.reject(new Refused({ code: 'connection_lost' }));
    const id = this.#nextId++;
    const before = this.#heard;
    return new Promise((resolve, reject) => {
      const doubt = this.#clock.setTimeout(() => this.#heard === before && this.#doubt(), DOUBT_MS);
      const timer = this.#clock.setTimeout(() => {
        this.#requests.delete(id);
        reject(new Refused({ code: 'timeout' }));
        // Messages arrive, but no reply to anything: our requests do not get through.
        if (this.#heardReply <= before) this.#giveUp();
      }, REPLY_MS);
      this.#requests.set(id, { resolve, reject, timer, doubt, began: this.#clock.elapsed() });
      this.#send({ id, [kind]: body });
    });
  }

  /** Sends a request that has no reply. */
  tell(kind, body = {}) {
    if (this.live) this.#send({ id: 0, [kind]: body });
  }

  /** Checks that the server still answers, after the page slept or the network changed. */
  probe() {
    if (this.live) {
      this.#probe();
    } else if (this.state === 'waiting' || (this.state === 'connecting' && this.#clock.elapsed() - this.#began > PROBE_MS)) {
      // An attempt that began on another network may hang until its timeout.
      this.connect();
    }
  }

  /** The page goes into the back/forward cache: until it returns, the user is offline. */
  leave() {
    if (!['connecting', 'connected', 'slow', 'waiting', 'refused'].includes(this.state)) return;
    this.tell('exit');
    this.#drop();
    this.#enter('away');
  }

  /** The page returns from the back/forward cache. */
  comeBack() {
    if (this.state === 'away') this.connect();
  }

  /** Ends the session. */
  close() {
    this.tell('exit');
    this.#drop();
    this.#enter('closed');
  }

  #enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.#onState(state);
  }

  #send(message) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }

  #receive(socket, data) {
    if (socket !== this.#socket) return;
    this.#heard += 1;
    this.#trust();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // Ignores what is not JSON; such a server counts as silent.
    }
    if (message === null || typeof message !== 'object') return;
    const id = message.id ?? 0;
    if (id !== 0) this.#heardReply = this.#heard;
    for (const [kind, body] of Object.entries(message)) {
      if (kind === 'id' || body === null || typeof body !== 'object') continue;
      this.#route(kind, body, id);
    }
  }

  #route(kind, body, id) {
    if (kind === 'welcome') {
      this.#welcomed(body);
    } else if (kind === 'goodbye') {
      this.#invitedAfter = body.retry_after > 0 ? body.retry_after : null;
      this.#stayAway = !(body.retry_after > 0);
    } else if (kind === 'error' && id !== 0 && id === this.#helloId && !this.live) {
      this.#helloRefused(body);
      return;
    }
    const waiting = this.#requests.get(id);
    this.#onEvent(kind, body, id);
    if (!waiting) return;
    this.#requests.delete(id);
    this.#forget(waiting);
    if (this.#clock.elapsed() - waiting.began < PROBE_MS) this.#probeMs = PROBE_MS;
    if (kind === 'error') {
      waiting.reject(new Refused(body));
    } else {
      waiting.resolve({ kind, body });
    }
  }

  #welcomed(welcome) {
    this.#clock.clearTimeout(this.#timer);
    this.#heartbeat = Math.max(1_000, welcome.heartbeat_ms || HEARTBEAT_MS);
    this.#stableTimer = this.#clock.setTimeout(() => (this.#attempt = 0), STABLE_MS);
    this.#enter('connected');
    this.#planBeat();
  }

  #helloRefused(error) {
    this.#clock.clearTimeout(this.#timer);
    if (error.retry_after > 0) {
      const socket = this.#socket;
      this.#invitedAfter = error.retry_after;
      this.#lost(socket);
      return;
    }
    this.#enter('refused');
    this.#onEvent('refused', error, this.#helloId);
  }

  // The browser answers the server's pings and hides them from the page, so the page sends its own `ping` at half the interval.
  #planBeat() {
    this.#beatTimer = this.#clock.setTimeout(() => {
      this.#planBeat();
      this.#ping();
    }, this.#heartbeat / 2);
  }

  #ping() {
    this.request('ping').catch(() => {});
  }

  #doubt() {
    if (!this.live) return;
    this.#enter('slow');
    this.#probe();
  }

  /** Gives the connection up unless something arrives within a short time. */
  #probe() {
    if (this.#probeTimer !== null) return;
    this.#ping();
    this.#awaitSign(this.#probeMs, false);
  }

  #awaitSign(ms, again) {
    const due = this.#clock.elapsed() + ms;
    this.#probeTimer = this.#clock.setTimeout(() => {
      this.#probeTimer = null;
      const slept = this.#clock.elapsed() - due > LATE_MS;
      if (slept && !again) this.#awaitSign(ms, true);
      else this.#giveUp();
    }, ms);
  }

  #trust() {
    this.#clock.clearTimeout(this.#probeTimer);
    if (this.#probeTimer !== null) this.#probeMs = PROBE_MS;
    this.#probeTimer = null;
    if (this.state === 'slow') this.#enter('connected');
  }

  /** The connection is dead. Reconnects at once, because that says nothing about the server. */
  #giveUp() {
    if (!this.live) return;
    this.#probeMs = Math.min(2 * this.#probeMs, PROBE_LONGEST_MS);
    this.connect();
  }

  #forget({ timer, doubt }) {
    this.#clock.clearTimeout(timer);
    this.#clock.clearTimeout(doubt);
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    const refused = this.state === 'refused';
    this.#drop();
    if (this.#stayAway || refused) {
      this.#enter('closed');
      return;
    }
    const wait = this.#invitedAfter === null ? this.#backoff() : this.#invitedAfter * (1 + 0.1 * this.#random());
    this.#invitedAfter = null;
    this.retryAt = this.#clock.now() + wait;
    this.#timer = this.#clock.setTimeout(() => this.connect(), wait);
    this.#enter('waiting');
  }

  #backoff() {
    const longest = Math.min(BACKOFF_LONGEST_MS, BACKOFF_FIRST_MS * 2 ** this.#attempt);
    this.#attempt = Math.min(this.#attempt + 1, 16);
    return longest * (0.5 + 0.5 * this.#random());
  }

  #drop() {
    for (const timer of [this.#timer, this.#beatTimer, this.#stableTimer, this.#probeTimer]) this.#clock.clearTimeout(timer);
    this.#probeTimer = null;
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      try {
        socket.close();
      } catch {
        // The socket was never open.
      }
    }
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) {
      this.#forget(request);
      request.reject(new Refused({ code: 'connection_lost' }));
    }
  }
}
