// Stored messages of the server: older ones, gaps, and search results.
//
// Invariants: one page per conversation loads at a time; the page asks once for a history that the server does not have.

/** Number of newest messages that a join asks for, and the size of a page of older ones. */
export const PAGE = 50;
/** The page fills a gap up to this size by itself, and a larger one when the user asks. */
export const GAP_AUTO = 500;
/** Most unread messages loaded at once; the user can ask for more. */
const NEW_MAX = 2_000;

export class HistoryPages {
  #chat;
  #emit;

  constructor({ chat, emit }) {
    this.#chat = chat;
    this.#emit = emit;
  }

  async search(conversation, text, before = 0) {
    try {
      return (await this.#chat.link.request('search', { ...conversation.address, text, before, limit: 30 })).body;
    } catch (refused) {
      if (refused.code === 'no_history') conversation.history = false;
      this.#chat.learn('search', refused);
      throw refused;
    }
  }

  /** A message with a few before and after it. */
  async around(conversation, seq) {
    return (await this.#chat.link.request('history', { ...conversation.address, before: seq + 4, limit: 7 })).body.messages;
  }

  /** Loads one page of older messages. Resolves with whether there was one. */
  async loadOlder(conversation, limit = PAGE) {
    if (conversation.loading) return conversation.loading;
    if (conversation.complete || !conversation.history || !this.#chat.link.live) return false;
    return (conversation.loading = this.#older(conversation, limit));
  }

  /** Loads older messages until the first unread one is among them. */
  async loadNew(conversation) {
    const limit = Math.max(PAGE, this.#chat.limits.page);
    for (let budget = NEW_MAX; conversation.newUnloaded && budget > 0; budget -= limit) {
      if (!(await this.loadOlder(conversation, limit))) return;
    }
  }

  async #older(conversation, limit) {
    this.#emit('items', conversation);
    const { epoch } = conversation;
    const before = conversation.oldest?.seq ?? 0;
    let found = 0;
    try {
      const { body } = await this.#chat.link.request('history', { ...conversation.address, before, limit });
      conversation.loading = null;
      const unknown = conversation.last === null || (body.epoch !== conversation.epoch && body.messages.length > 0);
      if (conversation.kind === 'peer' && unknown) conversation.adopt(body.epoch, before === 0 ? body.messages.at(-1)?.seq : undefined);
      if (body.epoch === conversation.epoch) {
        for (const message of body.messages) found += conversation.insert(this.#chat.own(message, conversation)) ? 1 : 0;
        conversation.complete = !body.more || body.messages.length === 0;
      }
      conversation.complete ||= epoch !== 0 && body.epoch !== epoch;
    } catch (refused) {
      conversation.loading = null;
      this.#failed(conversation, refused);
    }
    this.#emit('items', conversation);
    return found > 0;
  }

  /** Fetches the messages of a gap; one gap per conversation at a time, so that many gaps do not cause many requests. */
  async fillGap(conversation, gap) {
    if (gap.state !== 'open' || conversation.filling || !this.#chat.link.live) return;
    conversation.filling = true;
    conversation.setGap(gap, 'loading');
    this.#emit('items', conversation);
    try {
      let budget = GAP_AUTO;
      while (gap.from <= gap.to && budget > 0) {
        const limit = Math.min(this.#chat.limits.page || PAGE, 200);
        const { body } = await this.#chat.link.request('history', { ...conversation.address, after: gap.from - 1, limit });
        if (body.epoch !== gap.epoch) {
          conversation.setGap(gap, 'lost');
          return;
        }
        const inside = body.messages.filter((message) => message.seq <= gap.to);
        // The server no longer has messages below its oldest one; the gap shows that.
        for (const message of inside) conversation.insert(this.#chat.own(message, conversation));
        budget -= limit;
        const done = inside.length < body.messages.length || !body.more || inside.length === 0;
        conversation.fill(gap, done ? gap.to : inside.at(-1).seq);
      }
      if (gap.from <= gap.to) conversation.setGap(gap, 'open');
    } catch (refused) {
      conversation.setGap(gap, ['connection_lost', 'timeout'].includes(refused.code) ? 'open' : 'missed');
      this.#failed(conversation, refused);
    } finally {
      conversation.filling = false;
      this.#emit('items', conversation);
    }
  }

  #failed(conversation, refused) {
    if (refused.code === 'no_history') conversation.history = false;
    this.#chat.learn('history', refused);
    if (!this.#chat.can('history')) conversation.history = false;
    this.#emit('header', conversation);
  }
}
