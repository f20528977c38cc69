// The dialog that asks for a name: on a first visit, after the server refused a name, and when the user wants another one.

import { why } from './errors.js';
import { t } from './i18n.js';
import { sentence } from './dom.js';

export class NameDialog {
  #refused = null;
  /** Whether the user has a name and wants another one. */
  #renaming = false;
  #focusAfter = false;

  /** @param done runs after the answer, to move the focus */
  constructor({ chat, dialog, form, field, title, help, wrong, go, cancel, done }) {
    Object.assign(this, { chat, dialog, field, title, help, wrong, goButton: go, cancel, done });
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#take();
    });
    cancel.addEventListener('click', () => this.#close());
    dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      if (this.#renaming) this.#close();
    });
  }

  get open() {
    return this.dialog.open;
  }

  ask(refused = null) {
    this.#refused = refused;
    this.#renaming = refused === null && (this.chat.link.live || this.chat.name !== '');
    this.#focusAfter = true;
    this.field.value = this.chat.author;
    this.render();
    if (!this.dialog.open) this.dialog.showModal();
    this.field.select();
  }

  /** Sets the texts in the current language. */
  render() {
    this.title.textContent = t(this.#renaming ? 'name.rename' : 'name.title');
    this.goButton.textContent = t(this.#renaming ? 'save' : 'name.enter');
    this.cancel.hidden = !this.#renaming;
    this.help.hidden = this.#renaming;
    this.wrong.textContent = this.#refused ? sentence(why(this.#refused)) : '';
  }

  /** The server accepted a name: closes the dialog, unless the user is changing the name. */
  welcomed() {
    if (!this.#renaming) this.#close();
  }

  /** The server is unreachable: closes the dialog, so that the state behind it shows. */
  unreachable() {
    if (!this.#renaming && this.dialog.open) this.dialog.close();
  }

  async #take() {
    const name = this.field.value.trim().normalize('NFC');
    if (!this.chat.link.live) {
      this.#renaming = false;
      this.chat.rename(name);
      return;
    }
    if (name === '' || name === this.chat.name) {
      this.#close();
      return;
    }
    try {
      await this.chat.rename(name);
      this.#close();
    } catch (refused) {
      this.#refused = refused;
      this.render();
    }
  }

  #close() {
    if (this.dialog.open) this.dialog.close();
    if (this.#focusAfter) this.done();
    this.#focusAfter = false;
    this.#renaming = false;
  }
}
