// The page: connects the chat, the list of messages and the panels. Code that belongs to one of them is not here.

import { Chat } from './chat.js';
import { Composer } from './composer.js';
import { sends, sentence } from './dom.js';
import { Drafts } from './drafts.js';
import { parting, why } from './errors.js';
import { frames } from './frames.js';
import { choose, currentLang, languages, setLang, t, translate } from './i18n.js';
import { Jumps } from './jumps.js';
import { Lists } from './lists.js';
import { MessageList } from './messages.js';
import { NameDialog } from './namedialog.js';
import { hue, initial, typedRoom } from './names.js';
import { Browser, Finder, People } from './panels.js';
import { Store } from './store.js';

const $ = (id) => document.getElementById(id);
/** What the browser could not store and the user has not been told yet: `key` or `other`. */
const unkept = new Set();
const store = new Store(storage('localStorage'), storage('sessionStorage'), { troubled: (what) => unkept.add(what) });
const drafts = new Drafts(storage('sessionStorage'));
setLang(choose(store.lang));

const chat = new Chat({
  url: new URL('chat', location.href.replace(/^http/, 'ws')).href,
  store,
  emit: (event, detail) => on[event]?.(detail),
});
const messages = new MessageList($('log'), {
  older: (conversation) => chat.history.loadOlder(conversation),
  loadNew: (conversation) => chat.history.loadNew(conversation),
  fill: (conversation, gap) => chat.history.fillGap(conversation, gap),
  retry: (conversation, item) => chat.outbox.retry(conversation, item),
  discard: (conversation, item) => chat.outbox.discard(conversation, item),
  direct: openDirect,
  scrolled: () => jumps.render(),
  now: () => chat.now(),
});
const jumps = new Jumps({
  chat, messages, log: $('log'), first: $('new'), toFirst: $('new-jump'), read: $('new-read'), newest: $('jump'),
});
const composer = new Composer({
  chat, drafts, form: $('composer'), field: $('text'), button: $('send'), long: $('long'), said: () => messages.jump(),
});
const wide = matchMedia('(min-width: 1000px)');
const people = new People({
  chat, list: $('member-list'), more: $('members-more'), count: $('members-count'), direct: openDirect,
  shown: () => wide.matches || $('app').dataset.drawer === 'members',
});
const browser = new Browser({ chat, list: $('browse-list'), more: $('browse-more'), choose: (name) => joinRoom(name) });
const finder = new Finder({ chat, list: $('results'), more: $('results-more'), failed: (refused) => searchFailed(refused) });

let active = null;
/** The last goodbye of the server, or `null`. */
let goodbye = null;
const lists = new Lists({
  chat, rooms: $('room-list'), directs: $('direct-list'), directHead: $('direct-head'), dot: $('menu-dot'), choose: go, active: () => active,
});
const nameDialog = new NameDialog({
  chat, dialog: $('name-dialog'), form: $('name-form'), field: $('name-input'), title: $('name-title'), help: $('name-help'),
  wrong: $('name-wrong'), go: $('name-go'), cancel: $('name-cancel'), done: () => $(wide.matches ? 'text' : 'log').focus(),
});

const on = {
  state: showState,
  me: showMe,
  welcome() {
    nameDialog.welcomed();
    if (active) chat.loadPeer(active);
    showMe();
    tellUnkept();
  },
  refused: (error) => nameDialog.ask(error),
  list() {
    plan(showLists);
    plan(showHeader);
  },
  header: () => plan(showHeader),
  abilities: () => plan(showHeader),
  items(conversation) {
    if (conversation === active) messages.changed();
  },
  joined(conversation) {
    if (conversation === active) people.refresh();
    plan(showLists);
  },
  presence(change) {
    if (change.conversation !== active) return;
    people.changed(change);
    plan(showCount);
  },
  message({ conversation, message }) {
    if (conversation === active) jumps.heard(message);
    else chat.unread.add(conversation, message);
  },
  typing: () => plan(showTyping),
  notice: (refused) => toast(sentence(why(refused))),
  goodbye: (said) => (goodbye = said),
  replaced({ former, next }) {
    drafts.write(next, drafts.of(former));
    if (former.id !== next.id) drafts.write(former, '');
    if (former === active) activate(next, 'replaceState');
  },
  gone(conversation) {
    drafts.write(conversation, '');
    if (conversation === active) activate(firstConversation(), 'replaceState');
  },
};

// ----------------------------------------------------------------------------------------------------- display

function plan(show) {
  frames.plan(show);
}

function firstConversation() {
  return chat.conversations.get('room:lobby') ?? chat.conversations.values().next().value ?? enterRoom('lobby');
}

/** The conversation of a room, joined now or with the next connection. */
function enterRoom(name) {
  const room = chat.open('room', name);
  store.addRoom(name);
  chat.join(name).catch((refused) => chat.link.live && on.notice(refused));
  return room;
}

/** The conversation in the page's address: `#room`, or `#@user`. */
function named() {
  const hash = location.hash.slice(1);
  let name;
  try {
    name = decodeURIComponent(hash).normalize('NFC');
  } catch {
    return null;
  }
  if (hash.startsWith('@')) return name === '@' ? null : chat.direct(name.slice(1));
  return name === '' ? null : enterRoom(name);
}

function address({ kind, name }) {
  return `#${kind === 'peer' ? '@' : ''}${encodeURIComponent(name)}`;
}

/** Shows a conversation, as a new entry of the browser's history or (`replaceState`) in place of the current one. */
function activate(conversation, step = 'pushState') {
  if (location.hash !== address(conversation)) history[step](null, '', address(conversation));
  active = conversation;
  jumps.show(conversation);
  store.active = conversation.id;
  composer.show(conversation);
  $('app').dataset.drawer = '';
  closeSearch();
  messages.show(conversation);
  if (conversation.kind === 'peer') chat.loadPeer(conversation);
  people.show(conversation);
  showHeader();
  showLists();
  showTyping();
}

function showAll() {
  translate();
  const other = languages.find((lang) => lang !== currentLang());
  for (const id of ['lang', 'name-lang']) {
    $(id).textContent = t('lang.other');
    $(id).setAttribute('aria-label', t('lang.switch'));
    $(id).lang = other;
  }
  showState(chat.link.state);
  showMe();
  if (nameDialog.open) nameDialog.render();
  if (!active) return;
  composer.render();
  showHeader();
  showLists();
  showTyping();
  jumps.render();
  messages.changed();
  people.render();
}

function showMe() {
  const name = chat.name || '…';
  $('me-name').textContent = name;
  $('me-tag').textContent = chat.session ? `#${chat.session.slice(0, 4)}` : '';
  $('me-avatar').textContent = initial(name);
  $('me-avatar').className = `avatar hue-${hue(name)}`;
}

let countdown = null;

function showState(state) {
  clearInterval(countdown);
  $('state').className = `state ${state}`;
  $('state').textContent = t(`state.${state}`);
  if (chat.link.live) goodbye = null;
  const cut = state === 'waiting' || state === 'closed' || (state === 'connecting' && chat.session !== '');
  $('banner').hidden = !cut && state !== 'slow';
  const reason =
    state === 'slow' ? t('state.silent')
    : goodbye || state === 'closed' ? parting(goodbye ?? {})
    : t(chat.session === '' ? 'state.unreachable' : 'state.lost');
  $('banner-text').textContent = state === 'waiting' || state === 'connecting' ? t('state.kept', { reason }) : reason;
  $('banner-button').hidden = state === 'connecting';
  // Outside of the state's element, because screen readers announce every change there.
  const count = () => {
    const n = Math.ceil((chat.link.retryAt - Date.now()) / 1_000);
    $('banner-wait').textContent = state === 'waiting' && n > 1 ? t('state.inSeconds', { n }) : '';
  };
  count();
  if (state === 'waiting') countdown = setInterval(count, 1_000);
  if (state === 'waiting') nameDialog.unreachable();
}

function showHeader() {
  const room = active.kind === 'room';
  $('title').textContent = active.name;
  $('title').className = active.kind;
  $('topic').textContent = room ? active.topic || t('topic.none') : t('direct.with', { name: active.name });
  $('topic').disabled = !room || !chat.can('topic');
  $('topic').title = room ? active.topic || t('topic.set') : '';
  $('online').hidden = !room || active.online === 0;
  $('online').textContent = t('members.online', { n: active.online });
  $('search-open').hidden = !active.history || !chat.can('search');
  $('leave').hidden = active.id === 'room:lobby' && chat.conversations.size === 1;
  $('leave').setAttribute('aria-label', t(room ? 'rooms.leave' : 'direct.close'));
  $('leave').title = t(room ? 'rooms.leave' : 'direct.close');
}

function showCount() {
  $('members-count').textContent = active.kind === 'room' ? t('members.online', { n: active.online }) : '';
}

function showLists() {
  lists.show();
}

function showTyping() {
  const names = chat.typists(active);
  const [a, b] = names;
  const words = names.length === 0 ? '' : names.length === 1 ? t('typing.one', { a }) : names.length === 2 ? t('typing.two', { a, b }) : t('typing.many');
  if ($('typing').textContent !== words) $('typing').textContent = words;
}

let toastTimer = null;
const TOAST_MS = 6_000;
/** How long the warning about storage stays: it is long and important. */
const UNKEPT_MS = 20_000;

function toast(text, ms = TOAST_MS) {
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($('toast').hidden = true), ms);
}

/** Warns once that the browser could not store something; the key of a name matters most. */
function tellUnkept() {
  const what = unkept.has('key') ? 'key' : unkept.has('other') ? 'other' : null;
  if (what !== null) toast(t(`unkept.${what}`), UNKEPT_MS);
  unkept.clear();
}

// ----------------------------------------------------------------------------------------------------- actions

/** Shows the conversation that the user chose, and puts the focus into the field; not on a phone, where that opens the keyboard. */
function go(conversation) {
  activate(conversation);
  $(wide.matches ? 'text' : 'log').focus();
}

function openDirect(name) {
  go(chat.direct(name));
}

async function joinRoom(name) {
  if (name === '') return;
  $('room-wrong').textContent = '';
  try {
    const conversation = await chat.enter(name);
    $('rooms-dialog').close();
    go(conversation);
  } catch (refused) {
    $('room-wrong').textContent = sentence(why(refused));
  }
}

function closeSearch() {
  $('search-panel').hidden = true;
  finder.clear();
}

function searchFailed(refused) {
  if (refused.code === 'no_history' || refused.code === 'unknown_request') closeSearch();
  else toast(sentence(why(refused)));
  showHeader();
}

function speak(lang) {
  setLang(lang);
  showAll();
}

const DRAWERS = { rooms: 'menu', members: 'online' };

function drawer(name) {
  const opener = DRAWERS[$('app').dataset.drawer];
  $('app').dataset.drawer = name;
  if (name === 'members') {
    closeSearch();
    people.refresh();
  }
  if (name !== '') $(`${name}-panel`).querySelector('.close').focus();
  else if (opener) $(opener).focus();
}

function keep() {
  store.now();
  drafts.now();
  chat.outbox.keep();
}

/** The user is back, or may be: some windows get the focus before they are visible, others after. */
function lookedAt() {
  chat.link.probe();
  if (active) jumps.render();
}

function storage(kind) {
  try {
    return window[kind];
  } catch {
    return null;
  }
}

function submit(id, act) {
  $(id).addEventListener('submit', (event) => {
    event.preventDefault();
    act();
  });
}

function click(id, act) {
  $(id).addEventListener('click', act);
}

submit('rooms-form', () => joinRoom(typedRoom($('room-input').value)));
submit('search-form', () => finder.find(active, $('search-text').value.trim()));
submit('topic-form', async () => {
  try {
    await chat.setTopic(active, $('topic-input').value.trim());
    $('topic-dialog').close();
  } catch (refused) {
    $('topic-wrong').textContent = sentence(why(refused));
  }
});
// In a one-line field, the Enter that ends a composition must not submit the form.
for (const field of document.querySelectorAll('input')) {
  field.addEventListener('keydown', (event) => event.key === 'Enter' && !sends(event) && event.preventDefault());
}
click('me', () => nameDialog.ask());
click('rooms-add', () => {
  $('room-wrong').textContent = '';
  $('room-input').value = '';
  $('rooms-dialog').showModal();
  browser.load();
});
click('rooms-cancel', () => $('rooms-dialog').close());
click('topic', () => {
  $('topic-wrong').textContent = '';
  $('topic-input').value = active.topic;
  $('topic-dialog').showModal();
});
click('topic-cancel', () => $('topic-dialog').close());
click('leave', () => chat.leave(active));
click('menu', () => drawer('rooms'));
click('online', () => drawer('members'));
for (const id of ['shade', 'rooms-close', 'members-close']) click(id, () => drawer(''));
click('shade', closeSearch);
click('search-open', () => {
  $('search-panel').hidden = false;
  $('search-text').focus();
});
click('search-close', () => {
  closeSearch();
  $('search-open').focus();
});
click('banner-button', () => chat.link.connect());
for (const id of ['lang', 'name-lang']) {
  click(id, () => {
    const lang = languages.find((other) => other !== currentLang());
    store.lang = lang;
    speak(lang);
  });
}
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  if (!$('search-panel').hidden) $('search-close').click();
  else if ($('app').dataset.drawer) drawer('');
});
// Another tab changed the language.
store.watch('lang', (lang) => languages.includes(lang) && speak(lang));
for (const event of ['focus', 'online', 'offline']) window.addEventListener(event, lookedAt);
navigator.connection?.addEventListener?.('change', () => chat.link.probe());
document.addEventListener('resume', () => chat.link.probe());
document.addEventListener('visibilitychange', () => {
  if (document.hidden) keep();
  else lookedAt();
});
window.addEventListener('pagehide', () => {
  keep();
  // The browser may put the page, and its connection, into its back/forward cache.
  chat.link.leave();
});
window.addEventListener('pageshow', ({ persisted }) => persisted && chat.link.comeBack());
window.addEventListener('hashchange', () => {
  const conversation = named();
  if (conversation && conversation !== active) activate(conversation, 'replaceState');
});
wide.addEventListener('change', () => people.refresh());
setInterval(() => active && active.typing.size > 0 && plan(showTyping), 1_000);

activate(named() ?? chat.conversations.get(store.active) ?? firstConversation(), 'replaceState');
showAll();
if (store.name === null && store.wanted === null) nameDialog.ask();
else chat.start();
