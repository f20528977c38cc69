// One of the browser's storages, under a prefix of our own. What it does not take stays in memory, so that the page reads back
// what it wrote whatever the browser does: blocked by the user, full, or not there.

export class Shelf {
  #storage;
  #prefix;
  #former;
  #full;
  /** What the storage did not take; `null`: it could not be removed. */
  #memory = new Map();

  /** @param former an older prefix that is read too  @param full (name) runs when something could not be written */
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

  /** Keeps it. Returns whether it is there for the next visit too. */
  set(name, value) {
    if (this.fits(name, value)) return true;
    this.#memory.set(name, value);
    this.#full(name);
    return false;
  }

  /** Keeps it if the browser takes it. */
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

  /** What follows `prefix` in the names of all that is kept. */
  names(prefix) {
    const found = new Set();
    const whole = this.#prefix + prefix;
    try {
      for (let n = 0; n < this.#storage.length; n += 1) {
        const key = this.#storage.key(n);
        if (key.startsWith(whole)) found.add(key.slice(whole.length));
      }
    } catch {
      // Blocked: memory is all there is.
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
