// Who the user is: the name that the server has given, the one that is asked for, and by what one's own words are known.
//
// Promises: a key is kept before it is said; a name is shown as ours only once the server has taken it. Never: takes a message
// for our own by its name alone, unless that name was claimed with our key.

export class Me {
  #store;
  #makeKey;
  #makeClient;
  /** What the next hello says: the name in force, or the one that the user asks for. */
  #wanted;
  /** The sessions of this page, in this tab, since it was loaded. */
  #sessions = new Set();

  /** The name that the server has given us; empty before, and while it refuses the one we asked for. */
  name;
  session = '';

  constructor({ store, makeKey, makeClient }) {
    this.#store = store;
    this.#makeKey = makeKey;
    this.#makeClient = makeClient;
    this.name = store.name ?? '';
    this.#wanted = store.wanted ?? this.name;
  }

  /** Under which name the user writes, before the server has taken it too. */
  get author() {
    return this.name || this.#wanted;
  }

  /** Whether the next hello says the name in force. */
  get staysTheSame() {
    return this.#wanted === this.name;
  }

  get hello() {
    const name = this.#wanted;
    return { name, key: this.keyOf(name), client: this.#store.client(this.#makeClient) };
  }

  /** The key of a name; for one without, a new one, kept before it is sent: a connection that breaks cannot lose it. */
  keyOf(name) {
    if (name === '') return '';
    if (this.#store.key(name) === null) this.#store.keep(name, this.#makeKey());
    return this.#store.key(name);
  }

  want(name) {
    this.#wanted = name;
    this.#store.wanted = name;
  }

  /** The server calls us by this name now; `key` is not empty where that was its first use. */
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

  /** The server keeps whose a name is, and has taken our key of this one. */
  proved() {
    if (this.name !== '' && this.#store.key(this.name) !== null && !this.#store.isClaimed(this.name)) this.#store.claimed(this.name, this.#store.key(this.name));
  }

  /** The name that was asked for belongs to somebody else. */
  refused() {
    this.name = '';
    this.#store.wanted = null;
  }

  /** Said by this page. */
  isMine({ session }) {
    return this.#sessions.has(session);
  }

  /**
   * Said by the user: in this tab, under whatever name; in another tab or on another device under the name that is ours now,
   * which nobody else can say once it is claimed. A tab that has another name is another user.
   */
  isUser({ session, from }) {
    if (this.isMine({ session }) || this.#store.isTabSession(session, from)) return true;
    return from !== '' && from === this.name && (this.#store.isSession(session, from) || this.#store.isClaimed(from));
  }
}
