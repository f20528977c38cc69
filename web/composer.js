// The input field with its button, and the draft of the conversation in view.

import { sends } from './dom.js';
import { t } from './i18n.js';

/** The field grows with its text, up to this height in pixels. */
const HEIGHT_MAX = 200;

const encoder = new TextEncoder();

export class Composer {
  #conversation = null;

  /** @param said runs after each message  @param long the element that shows by how much a text is too long */
  constructor({ chat, drafts, form, field, button, long, said }) {
    Object.assign(this, { chat, drafts, field, button, long, said });
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    field.addEventListener('keydown', (event) => {
      if (!sends(event)) return;
      event.preventDefault();
      this.#send();
    });
    field.addEventListener('input', () => {
      drafts.write(this.#conversation, field.value);
      this.render();
      if (field.value.trim() !== '') chat.typing(this.#conversation);
    });
  }

  show(conversation) {
    // Keeps what the user typed before this script loaded.
    const early = this.#conversation === null ? this.field.value : '';
    if (early !== '' && this.drafts.of(conversation) === '') this.drafts.write(conversation, early);
    this.#conversation = conversation;
    this.field.value = this.drafts.of(conversation);
    this.render();
  }

  render() {
    const { field } = this;
    field.placeholder = t('compose.to', { name: this.#conversation.name });
    field.style.height = 'auto';
    field.style.height = `${Math.min(field.scrollHeight, HEIGHT_MAX)}px`;
    this.button.disabled = field.value.trim() === '';
    const over = this.#bytesOver(field.value);
    this.long.textContent = over > 0 ? t('compose.long', { n: over }) : '';
  }

  #send() {
    const text = this.field.value.replace(/\r\n?/g, '\n').trim();
    if (text === '' || this.#bytesOver(text) > 0) return;
    this.chat.say(this.#conversation, text);
    this.drafts.write(this.#conversation, '');
    this.field.value = '';
    this.render();
    this.said();
  }

  #bytesOver(text) {
    const { text_bytes: most } = this.chat.limits;
    // UTF-8 needs at most three bytes per UTF-16 unit.
    return text.length * 3 > most ? encoder.encode(text).length - most : 0;
  }
}
