// A clock, a socket and a storage under the control of tests.

import { webcrypto } from 'node:crypto';

// A global in browsers, and a module in Node 18.
globalThis.crypto ??= webcrypto;

export class FakeClock {
  #now = 1_000_000;
  #timers = [];
  #next = 1;

  now = () => this.#now;
  elapsed = () => this.#now;
  setTimeout = (act, ms) => {
    this.#timers.push({ id: this.#next, at: this.#now + ms, act });
    return this.#next++;
  };
  clearTimeout = (id) => {
    this.#timers = this.#timers.filter((timer) => timer.id !== id);
  };

  /** Advances the time and runs due timers in order. */
  async pass(ms) {
    const until = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at || a.id - b.id)[0];
      if (!due) break;
      this.clearTimeout(due.id);
      this.#now = Math.max(this.#now, due.at);
      due.act();
      await settle();
    }
    this.#now = until;
    await settle();
  }

  /** Advances the time while the timers sleep, as in a closed laptop. They run when it wakes. */
  async sleep(ms) {
    this.#now += ms;
    await this.pass(0);
  }
}

/** Lets all settled promises continue. */
export async function settle() {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

export class FakeSocket {
  readyState = 0;
  sent = [];

  /** Answers pings, as a live server does. */
  alive = true;

  open() {
    this.readyState = 1;
    this.onopen?.();
  }

  send(text) {
    const message = JSON.parse(text);
    this.sent.push(message);
    if (message.ping && this.alive) Promise.resolve().then(() => this.hear('pong', {}, message.id));
  }

  async hear(kind, body, id = 0) {
    this.onmessage?.({ data: JSON.stringify({ id, [kind]: body }) });
    await settle();
  }

  /** Ends the connection without a close frame. */
  async cut() {
    this.readyState = 3;
    this.onclose?.();
    await settle();
  }

  close() {
    this.readyState = 3;
  }

  /** The sent requests of one kind. */
  of(kind) {
    return this.sent.filter((message) => Object.hasOwn(message, kind));
  }

  last(kind) {
    return this.of(kind).at(-1);
  }
}

export function fakeStorage() {
  const kept = new Map();
  return {
    get length() {
      return kept.size;
    },
    key: (n) => [...kept.keys()][n] ?? null,
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, String(value)),
    removeItem: (key) => kept.delete(key),
  };
}

/** A storage that accepts nothing: blocked, or full. */
export function fullStorage(storage = fakeStorage()) {
  return Object.assign(Object.create(storage), {
    setItem: () => {
      throw new DOMException('full', 'QuotaExceededError');
    },
  });
}
