// The user: the name in force, the name that the next hello asks for, and how the page recognises the user's own messages.
//
// Invariants: a key is saved before it is sent; the page shows a name only once the server has accepted it. Never: takes a message for
// the user's own by its name alone, unless the user claimed that name with a key.

export class Me {
  #store;
  #makeKey;
  #makeClient;
  /** The name for the next hello: the one in force, or the one that the user asks for. */
  #wanted;
  /** Tags of this page's sessions since it was loaded. */
  #sessions = new Set();

  /** The name in force; empty before the first welcome, and while the server refuses the requested name. */
  name;
  session = '';

  constructor({ store, makeKey, makeClient }) {
    this.#store = store;
    this.#makeKey = makeKey;
    this.#makeClient = makeClient;
    this.name = store.name ?? '';
    this.#wanted = store.wanted ?? this.name;
  }

  /** The name under which the user writes, even before the server has accepted it. */
  get author() {
    return this.name || this.#wanted;
  }

  /** Whether the next hello asks for the name in force. */
  get staysTheSame() {
    return this.#wanted === this.name;
  }

  get hello() {
    const name = this.#wanted;
    return { name, key: this.keyOf(name), client: this.#store.client(this.#makeClient) };
  }

  /** The key of a name, or a new one. A new key is saved before it is sent, so that a broken connection cannot lose it. */
  keyOf(name) {
    if (name === '') return '';
    if (this.#store.key(name) === null) this.#store.keep(name, this.#makeKey());
    return this.#store.key(name);
  }

  want(name) {
    this.#wanted = name;
    this.#store.wanted = name;
  }

  /** The server has accepted this name; `key` is not empty if that claimed it. */
  take(name, session, key = '') {
    if (key !== '') this.#store.claimed(name, key);
    this.name = name;
    this.#wanted = name;
    this.#store.wanted = null;
    this.session = session;
    this.#sessions.add(session);
    this.#store.name = name;
    this.#store.session(session, name);
  }

  /** The server checks keys, and has accepted the key of this name. */
  proved() {
    if (this.name !== '' && this.#store.key(this.name) !== null && !this.#store.isClaimed(this.name)) this.#store.claimed(this.name, this.#store.key(this.name));
  }

  /** The requested name belongs to somebody else. */
  refused() {
    this.name = '';
    this.#store.wanted = null;
  }

  /** Whether this page sent the message. */
  isMine({ session }) {
    return this.#sessions.has(session);
  }

  /**
   * Whether the user sent the message: from this tab under any name, or from another tab or device under the name in force, which
   * nobody else can use once it is claimed. A tab with another name is another user.
   */
  isUser({ session, from }) {
    if (this.isMine({ session }) || this.#store.isTabSession(session, from)) return true;
    return from !== '' && from === this.name && (this.#store.isSession(session, from) || this.#store.isClaimed(from));
  }
}
