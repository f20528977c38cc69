// The unsent messages of all conversations.
//
// Invariants: a message is sent once, in order, under one idempotency key, however often the connection breaks or the tab reloads; one
// message per conversation is in flight, so that no later one overtakes a refused one.
// Never: drops a message unless the server refused it for good.

/** Wait before the next try if the server names none. */
const RETRY_MS = 1_000;
/** Refusals that do not concern the message itself. */
const AGAIN = ['connection_lost', 'timeout', 'not_member'];

export class Outbox {
  #chat;
  #clock;
  #emit;
  #makeKey;
  #retries = new Set();
  /** Number of saved messages. A sent one is removed, because the server could have forgotten its key when the tab returns. */
  #kept;

  constructor({ chat, clock, emit, makeKey }) {
    this.#kept = chat.store.unsent().length;
    this.#chat = chat;
    this.#clock = clock;
    this.#emit = emit;
    this.#makeKey = makeKey;
  }

  say(conversation, text) {
    const { author: from, session } = this.#chat;
    conversation.send({ key: this.#makeKey(), text, at: this.#chat.now(), from, session, own: true, attempts: 0 });
    conversation.markRead();
    this.#emit('items', conversation);
    this.sendNext(conversation);
  }

  /** Saves the unsent messages for a reload of this tab. */
  keep() {
    const unsent = this.#unsent.map(([{ kind, name }, { from, key, text, at, after, attempts }]) => ({ kind, name, from, key, text, at, after, attempts }));
    this.#chat.store.keepUnsent(unsent);
    this.#kept = unsent.length;
  }

  get #unsent() {
    return [...this.#chat.conversations.values()].flatMap((each) => each.pending.filter(({ acked }) => !acked).map((pending) => [each, pending]));
  }

  retry(conversation, pending) {
    conversation.setPending(pending, { state: 'waiting', error: null });
    this.#emit('items', conversation);
    this.sendNext(conversation);
  }

  discard(conversation, pending) {
    conversation.discard(pending);
    this.#emit('items', conversation);
    this.sendNext(conversation);
  }

  /** Sends the oldest waiting message, if none is in flight and the conversation accepts messages. */
  async sendNext(conversation) {
    if (this.#kept > 0 && this.#unsent.length < this.#kept) this.keep();
    const { link, session } = this.#chat;
    const next = conversation.pending.find((pending) => pending.state !== 'failed' && !pending.acked);
    const ready = link.live && (conversation.kind === 'peer' || conversation.joined);
    if (!next || next.state !== 'waiting' || this.#retries.has(conversation) || !ready) return;
    conversation.setPending(next, { state: 'sending', attempts: next.attempts + 1, session });
    const { key, text } = next;
    const [kind, body] =
      conversation.kind === 'room' ? ['talk', { room: conversation.name, text, key }] : ['direct', { to: conversation.name, text, key }];
    try {
      conversation.acknowledge(next, (await link.request(kind, body)).body);
      this.#chat.rememberPeer(conversation);
    } catch (refused) {
      this.#notSent(conversation, next, refused);
    }
    this.#emit('items', conversation);
    this.sendNext(conversation);
  }

  #notSent(conversation, pending, refused) {
    if (!conversation.pending.includes(pending)) return;
    if (!(refused.retryAfter > 0) && !AGAIN.includes(refused.code)) {
      conversation.setPending(pending, { state: 'failed', error: refused });
      return;
    }
    conversation.setPending(pending, { state: 'waiting' });
    if (!this.#chat.link.live) return;
    if (refused.code === 'not_member') {
      this.#chat.joinAgain(conversation);
      return;
    }
    this.#retries.add(conversation);
    this.#clock.setTimeout(() => {
      this.#retries.delete(conversation);
      this.sendNext(conversation);
    }, refused.retryAfter || RETRY_MS);
  }
}
