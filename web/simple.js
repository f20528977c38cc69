// Shared parts of the two small pages (`action/`, `communication/`): a log of lines, an input field, a state, a language, and a socket
// that reconnects. Never: knows a dialect.

import { el, linked, sends } from './dom.js';
import { choose, currentLang, languages, setLang, t, time, translate } from './i18n.js';
import { hue, initial } from './names.js';
import { BACKOFF_FIRST_MS, BACKOFF_LONGEST_MS, STABLE_MS } from './protocol.js';

/** Most lines in the page. */
const LINES_MAX = 600;

export const byId = (id) => document.getElementById(id);

/** Connects the page's elements. `say(text)` returns whether it was sent; `shown()` runs after each change of language. */
export function wire({ say, shown }) {
  setLang(choose(new URL(location.href).searchParams.get('lang')));
  const speak = () => {
    translate();
    byId('lang').textContent = t('lang.other');
    byId('lang').setAttribute('aria-label', t('lang.switch'));
    showState(byId('state').dataset.state ?? 'connecting');
    shown();
  };
  byId('lang').addEventListener('click', () => {
    setLang(languages.find((lang) => lang !== currentLang()));
    speak();
  });
  const send = () => {
    const text = byId('text').value.replace(/\r\n?/g, '\n').trim();
    if (text !== '' && say(text)) byId('text').value = '';
  };
  byId('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    send();
  });
  byId('text').addEventListener('keydown', (event) => {
    if (!sends(event)) return;
    event.preventDefault();
    send();
  });
  speak();
}

export function showState(state) {
  byId('state').dataset.state = state;
  byId('state').className = `state ${state}`;
  byId('state').textContent = t(`state.${state}`);
}

/** Adds a message: its sender, content (text or elements), time, and whether it is the user's own. */
export function addTalk({ from, own, at = Date.now(), text, content }) {
  const heading = el('div', { class: 'heading' }, el('span', { class: 'name' }, from),
    own ? el('span', { class: 'you' }, t('log.you')) : null, el('time', { datetime: new Date(at).toISOString() }, time(at)));
  const side = el('div', { class: `side avatar hue-${hue(from)}`, 'aria-hidden': 'true' }, initial(from));
  const body = el('div', { class: 'body' }, heading, el('div', { class: 'text' }, ...(content ?? linked(text))));
  addLine(el('article', { class: own ? 'talk own' : 'talk' }, side, body));
}

export function addNote(text) {
  addLine(el('p', { class: 'note' }, text));
}

function addLine(line) {
  const log = byId('log');
  const pinned = log.scrollHeight - log.scrollTop - log.clientHeight < 48;
  log.append(el('div', { class: 'row' }, line));
  while (log.children.length > LINES_MAX) log.firstChild.remove();
  if (pinned) log.scrollTop = log.scrollHeight;
}

/** A socket that reconnects with exponential backoff and jitter, until `close` is called on the result. */
export function stay({ url, opened, received, binary = false }) {
  let attempt = 0;
  let socket = null;
  let left = false;
  const connect = () => {
    showState('connecting');
    const mine = new WebSocket(url);
    socket = mine;
    if (binary) socket.binaryType = 'arraybuffer';
    let stable = null;
    socket.onopen = () => {
      stable = setTimeout(() => (attempt = 0), STABLE_MS);
      showState('connected');
      opened?.();
    };
    socket.onmessage = ({ data }) => received(data);
    socket.onclose = () => {
      clearTimeout(stable);
      if (mine !== socket) return;
      showState(left ? 'closed' : 'waiting');
      if (left) return;
      const longest = Math.min(BACKOFF_LONGEST_MS, BACKOFF_FIRST_MS * 2 ** attempt);
      attempt = Math.min(attempt + 1, 16);
      setTimeout(() => mine === socket && connect(), longest * (0.5 + 0.5 * Math.random()));
    };
  };
  connect();
  // The browser may put the page into its back/forward cache: until it returns, the user is offline.
  addEventListener('pagehide', () => {
    const leaving = socket;
    socket = null;
    leaving?.close();
  });
  addEventListener('pageshow', ({ persisted }) => persisted && !left && connect());
  return {
    send(data) {
      if (socket?.readyState !== WebSocket.OPEN) return false;
      socket.send(data);
      return true;
    },
    close() {
      left = true;
      socket?.close();
    },
  };
}
