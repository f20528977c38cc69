// The pages of document 003, which speak the dialect `action`: one to one at `/home/index?uid=1&to_uid=2`, a group at
// `/home/room?uid=1&groups_id=1` (group 1 if the address names none).

import { link, webAddress } from '../dom.js';
import { t } from '../i18n.js';
import { isEncodedPicture } from '../images.js';
import { encodedPicture, webPicture } from '../pictures.js';
import { addNote, addTalk, byId, showState, stay, wire } from '../simple.js';

/** The heartbeat interval of the original. */
const HEARTBEAT_MS = 30_000;
const APP_ID = 1;
const SUCCESS = 200;

const query = new URL(location.href).searchParams;
const uid = query.get('uid') ?? '';
const group = query.get('groups_id') ?? (location.pathname.endsWith('/home/room') ? '1' : '0');
const toUid = query.get('to_uid') ?? '0';
const inGroup = group !== '0';
const complete = uid !== '' && (inGroup || toUid !== '0');
let seq = 0;
let line = null;

wire({
  say: sendMessage,
  shown() {
    byId('title').textContent = complete ? t(inGroup ? 'action.title.group' : 'action.title.one', { name: inGroup ? group : toUid }) : 'Plaza';
    document.title = byId('title').textContent;
  },
});

if (complete) {
  const url = new URL('/ws/action', location.href.replace(/^http/, 'ws'));
  url.search = new URLSearchParams({ uid, to_uid: toUid, groups_id: group }).toString();
  line = stay({
    url,
    opened: () => ask('login', { appId: APP_ID, userId: uid, toUid, groupsId: group }),
    received,
  });
  setInterval(() => ask('heartbeat', {}), HEARTBEAT_MS);
} else {
  showState('closed');
  addNote(t('action.missing'));
}

function ask(action, data) {
  seq += 1;
  return line?.send(JSON.stringify({ seq: String(seq), action, data })) ?? false;
}

function sendMessage(message) {
  const msgType = byId('kind').value;
  if (!ask('sendmsg', { msgType, message })) return false;
  // In a group the sender also gets the push; one to one only the receiver does.
  if (!inGroup) show({ msgType, content: message, from: uid });
  return true;
}

function received(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    addNote(text);
    return;
  }
  const { response, data } = message ?? {};
  if (response && response.code !== SUCCESS) addNote(`${response.code} ${response.msg}`);
  else if (data?.action === 'sendmsg') show(data);
  else if (data?.action) addNote(data.action === 'exit' && data.from ? `${data.from}: ${data.content}` : String(data.content));
}

function show({ msgType, content, from, msgTimestamp }) {
  const text = String(content);
  const at = Number(msgTimestamp) * 1_000 || Date.now();
  addTalk({ from: String(from), own: String(from) === uid, at, text, content: shown(msgType, text) });
}

function shown(msgType, text) {
  if (msgType === 'image' && isEncodedPicture(text)) return [encodedPicture(text, t('kind.image'))];
  if (msgType === 'image' && webAddress(text)) return [webPicture(webAddress(text), t('kind.image'))];
  if ((msgType === 'video' || msgType === 'voice') && webAddress(text)) return [`${t(`kind.${msgType}`)}: `, link(webAddress(text))];
  return undefined;
}
