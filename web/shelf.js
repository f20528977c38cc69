// One of the browser's storages, with a prefix of the page's own. It keeps in memory what the storage does not accept, so that the page
// reads what it wrote even if the storage is blocked, full or missing.

export class Shelf {
  #storage;
  #prefix;
  #former;
  #full;
  /** Entries that the storage did not accept; `null` for one that could not be removed. */
  #memory = new Map();

  /** @param former an older prefix that is also read  @param full (name) runs when an entry could not be written */
  constructor(storage, prefix, { former = null, full = () => {} } = {}) {
    this.#storage = storage;
    this.#prefix = prefix;
    this.#former = former;
    this.#full = full;
  }

  get(name) {
    if (this.#memory.has(name)) return this.#memory.get(name);
    return this.raw(this.#prefix + name) ?? (this.#former === null ? null : this.raw(this.#former + name));
  }

  /** Sets an entry. Returns whether the next visit will find it. */
  set(name, value) {
    if (this.fits(name, value)) return true;
    this.#memory.set(name, value);
    this.#full(name);
    return false;
  }

  /** Sets an entry only if the browser accepts it. */
  fits(name, value) {
    try {
      this.#storage.setItem(this.#prefix + name, value);
      this.#memory.delete(name);
      return true;
    } catch {
      return false;
    }
  }

  remove(name) {
    this.#memory.delete(name);
    try {
      this.#storage.removeItem(this.#prefix + name);
      if (this.#former !== null) this.#storage.removeItem(this.#former + name);
    } catch {
      this.#memory.set(name, null);
    }
  }

  /** The rest of the names of all entries that begin with `prefix`. */
  names(prefix) {
    const found = new Set();
    const whole = this.#prefix + prefix;
    try {
      for (let n = 0; n < this.#storage.length; n += 1) {
        const key = this.#storage.key(n);
        if (key.startsWith(whole)) found.add(key.slice(whole.length));
      }
    } catch {
      // The storage is blocked: only memory counts.
    }
    for (const [name, value] of this.#memory) {
      if (!name.startsWith(prefix)) continue;
      if (value === null) found.delete(name.slice(prefix.length));
      else found.add(name.slice(prefix.length));
    }
    return [...found];
  }

  /** An entry by its full name. */
  raw(name) {
    try {
      return this.#storage.getItem(name);
    } catch {
      return null;
    }
  }
}
