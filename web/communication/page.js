// The page of document 000: speaks protobuf `Communication` on `/ws/communication?username=…`.

import { t } from '../i18n.js';
import { addNote, addTalk, byId, showState, stay, wire } from '../simple.js';
import { decode, encode } from './codec.js';

const TALK = '1';
const EXIT = '2';
const LIST = '3';

let line = null;
let username = new URL(location.href).searchParams.get('username') ?? '';

wire({
  say: (text) => tell({ Type: TALK, Msg: text }),
  shown() {
    document.title = `${t('communication.title')} · Plaza`;
    byId('who').textContent = username;
  },
});
byId('list').addEventListener('click', () => tell({ Type: LIST }));
byId('exit').addEventListener('click', () => {
  if (!tell({ Type: EXIT })) return;
  line.close();
  addNote(t('communication.left'));
});
byId('name-form').addEventListener('submit', (event) => {
  event.preventDefault();
  username = byId('name-input').value.trim();
  byId('name-dialog').close();
  connect();
});

if (username === '') {
  showState('idle');
  byId('name-dialog').addEventListener('cancel', (event) => event.preventDefault());
  byId('name-dialog').showModal();
} else {
  connect();
}

function connect() {
  byId('who').textContent = username;
  const url = new URL('/ws/communication', location.href.replace(/^http/, 'ws'));
  if (username !== '') url.searchParams.set('username', username);
  // URLSearchParams writes a space as `+`, which this dialect's query reads as a space too.
  line = stay({ url, received, binary: true });
}

function tell(message) {
  return line?.send(encode({ ...message, Username: username })) ?? false;
}

function received(data) {
  if (typeof data === 'string') data = new TextEncoder().encode(data);
  let message;
  try {
    message = decode(new Uint8Array(data));
  } catch (wrong) {
    addNote(String(wrong.message));
    return;
  }
  const { Type, Msg, Username, Userlist } = message;
  if (Userlist.length > 0) {
    addNote(`${t('communication.list')}: ${Userlist.join(', ')}`);
  } else if (Type === TALK && Msg.startsWith(`${Username}:`)) {
    // The protocol repeats the name in front of the text; the page shows it once.
    addTalk({ from: Username, own: Username === username, text: Msg.slice(Username.length + 1) });
  } else {
    addNote(Msg);
  }
}
