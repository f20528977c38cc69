// Unread counts, the divider before the first unread message, and read markers, here and on the server.
//
// Invariants: each message counts once, whether the server counted it or it arrived live; read markers go to the server at a limited rate
// and never move back.

const READ_PACE_MS = 2_000;

export class Unread {
  #chat;
  #clock;
  #emit;
  #marks = new Map();

  constructor({ chat, clock, emit }) {
    this.#chat = chat;
    this.#clock = clock;
    this.#emit = emit;
  }

  /** A room was joined: messages after the user's read position, here or on another device, are unread. */
  entered(conversation, { epoch, head, read }) {
    if (this.#stands(conversation, epoch)) return;
    const here = this.#here(conversation);
    // Without `read` the server does not know the position.
    const seq = Math.max(read ?? 0, here?.epoch === epoch ? here.seq : 0);
    if (seq > 0 && seq < head) conversation.markNew({ epoch, seq });
  }

  /** A message has arrived that the user does not see now. */
  add(conversation, message) {
    const read = this.#here(conversation);
    if (message.own || (read?.epoch === message.epoch && message.seq <= read.seq)) return;
    if (!this.#stands(conversation, message.epoch)) conversation.markNew({ epoch: message.epoch, seq: message.seq - 1 });
    const { epoch, seq } = conversation.counted;
    if (message.epoch !== epoch || message.seq > seq) conversation.unread += 1;
    this.#emit('list');
  }

  /** The user has seen everything in this conversation. The divider stays for a while. */
  seen(conversation) {
    if (conversation.replaying) return;
    conversation.lineSeen = true;
    if (conversation.unread > 0) {
      conversation.unread = 0;
      this.#emit('list');
    }
    const position = conversation.position;
    if (!position || position.seq === 0) return;
    const { id } = conversation;
    const kept = this.#here(conversation);
    if (kept && kept.epoch === position.epoch && kept.seq >= position.seq) return;
    this.#chat.store.read(this.#chat.author, conversation, { epoch: position.epoch, seq: position.seq });
    if (!conversation.history || !this.#chat.can('read') || this.#marks.has(id)) return;
    const say = () => {
      this.#marks.delete(id);
      const { epoch, seq } = this.#here(conversation) ?? {};
      if (epoch === conversation.epoch) this.#chat.ask('read', { ...conversation.address, seq });
    };
    this.#marks.set(id, this.#clock.setTimeout(say, READ_PACE_MS));
  }

  /** The user has read on another device. */
  readElsewhere(conversation, { seq, unread }) {
    if (!conversation || unread !== 0 || seq < (conversation.last ?? 0) || conversation.unread === 0) return;
    conversation.unread = 0;
    conversation.markRead();
    this.#emit('list');
    this.#emit('items', conversation);
  }

  /** The server has sent its unread count. */
  counted(conversation, { epoch, read, head, unread }) {
    // The server may not know yet what was read here a moment ago, and its count does not include later messages.
    const here = this.#here(conversation);
    const readUpTo = here?.epoch === epoch ? Math.max(here.seq, read) : read;
    const since = conversation.items.filter((item) => item.type === 'message' && !item.own && item.epoch === epoch && item.seq > Math.max(head, readUpTo));
    conversation.counted = { epoch, seq: head };
    conversation.unread = Math.max(0, unread - (readUpTo - read)) + since.length;
    if (conversation.unread > 0 && !this.#stands(conversation, epoch)) conversation.markNew({ epoch, seq: readUpTo });
  }

  // Once everything was read, the divider moves to the next unread message.
  #stands({ newAfter, lineSeen, unread }, epoch) {
    return newAfter?.epoch === epoch && !(lineSeen && unread === 0);
  }

  #here(conversation) {
    return this.#chat.store.readUpTo(this.#chat.author, conversation);
  }
}
