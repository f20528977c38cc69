// The page: puts the chat, the list of messages and the panels together. What belongs to one of them is not here.

import { Chat } from './chat.js';
import { Composer } from './composer.js';
import { el, hue, initial, refill, sends } from './dom.js';
import { Drafts } from './drafts.js';
import { parting, why } from './errors.js';
import { choose, currentLang, languages, setLang, t, translate } from './i18n.js';
import { Jumps } from './jumps.js';
import { MessageList } from './messages.js';
import { Browser, Finder, People } from './panels.js';
import { Store } from './store.js';

const $ = (id) => document.getElementById(id);
const store = new Store(storage('localStorage'), storage('sessionStorage'));
const drafts = new Drafts(storage('sessionStorage'));
setLang(choose(store.state.lang));

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
/** Why the server ended the last connection, if it said so. */
let goodbye = null;
/** Why the name that was asked for last cannot be had. */
let nameRefused = null;
let planned = new Set();

const on = {
  state: showState,
  me: showMe,
  welcome() {
    $('name-dialog').close();
    if (active) chat.loadPeer(active);
    showMe();
  },
  refused: (error) => askName(error),
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
  gone(conversation) {
    drafts.write(conversation, '');
    if (conversation === active) activate(firstConversation(), 'replaceState');
  },
};

// ----------------------------------------------------------------------------------------------------- what is shown

function plan(show) {
  if (planned.size === 0) requestAnimationFrame(() => {
    const shows = planned;
    planned = new Set();
    for (const each of shows) each();
  });
  planned.add(show);
}

function firstConversation() {
  return chat.conversations.get('room:lobby') ?? chat.conversations.values().next().value ?? enterRoom('lobby');
}

/** The room, which is joined now or with the next connection. */
function enterRoom(name) {
  const room = chat.open('room', name);
  chat.join(name).catch((refused) => chat.link.live && on.notice(refused));
  return room;
}

/** What the address of the page names: `#room`, or `#@user`. */
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

/** Shows a conversation, as a new step of the browser's history or (`replaceState`) in place of the one before. */
function activate(conversation, step = 'pushState') {
  if (location.hash !== address(conversation)) history[step](null, '', address(conversation));
  active = conversation;
  jumps.show(conversation);
  store.set({ active: conversation.id });
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
  // Beside the state, which is read aloud with every change.
  const count = () => {
    const n = Math.ceil((chat.link.retryAt - Date.now()) / 1_000);
    $('banner-wait').textContent = state === 'waiting' && n > 1 ? t('state.inSeconds', { n }) : '';
  };
  count();
  if (state === 'waiting') countdown = setInterval(count, 1_000);
  // The first visitor of a server that is not there shall see that, and need not wait before a question.
  if (state === 'waiting' && $('name-cancel').hidden) $('name-dialog').close();
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
  const all = [...chat.conversations.values()];
  const rooms = all.filter(({ kind }) => kind === 'room');
  const peers = all.filter(({ kind }) => kind === 'peer');
  refill($('room-list'), rooms.map(entry));
  refill($('direct-list'), peers.map(entry));
  $('direct-head').hidden = peers.length === 0;
  const unread = all.reduce((sum, conversation) => sum + conversation.unread, 0);
  $('menu-dot').hidden = !all.some((conversation) => conversation !== active && conversation.unread > 0);
  document.title = `${unread > 0 ? `(${unread > 99 ? '99+' : unread}) ` : ''}${active ? `${active.name} · ` : ''}Plaza`;
}

function entry(conversation) {
  const { kind, name, unread } = conversation;
  const mark =
    kind === 'room'
      ? el('span', { class: 'hash', 'aria-hidden': 'true' }, '#')
      : el('span', { class: `avatar small hue-${hue(name)}`, 'aria-hidden': 'true' }, initial(name));
  const count = unread > 0 ? el('span', { class: 'badge', 'aria-label': t('unread', { n: unread }) }, unread > 99 ? '99+' : String(unread)) : null;
  const current = conversation === active;
  const button = el('button',
    { type: 'button', class: `entry${unread > 0 ? ' unread' : ''}`, 'data-key': conversation.id, 'aria-current': current ? 'true' : null, onclick: () => go(conversation) },
    mark, el('span', { class: 'entry-name' }, name), count);
  return el('li', {}, button);
}

function showTyping() {
  const now = Date.now();
  for (const [name, until] of active.typing) if (until <= now) active.typing.delete(name);
  const names = [...active.typing.keys()];
  const [a, b] = names;
  const words = names.length === 0 ? '' : names.length === 1 ? t('typing.one', { a }) : names.length === 2 ? t('typing.two', { a, b }) : t('typing.many');
  if ($('typing').textContent !== words) $('typing').textContent = words;
}

let toastTimer = null;

function toast(text) {
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($('toast').hidden = true), 6_000);
}

function sentence(words) {
  return words.charAt(0).toLocaleUpperCase() + words.slice(1);
}

// ----------------------------------------------------------------------------------------------------- what is done

/** Shows what the user chose, and is ready for what they write; on a phone without its keyboard. */
function go(conversation) {
  activate(conversation);
  $(wide.matches ? 'text' : 'log').focus();
}

function openDirect(name) {
  go(chat.direct(name));
}

async function joinRoom(name) {
  const room = name.trim().normalize('NFC');
  if (room === '') return;
  $('room-wrong').textContent = '';
  try {
    const conversation = await chat.join(room);
    $('rooms-dialog').close();
    go(conversation);
  } catch (refused) {
    $('room-wrong').textContent = sentence(why(refused));
  }
}

function askName(error = null) {
  const renaming = chat.link.live;
  $('name-title').textContent = t(renaming ? 'name.rename' : 'name.title');
  $('name-go').textContent = t(renaming ? 'save' : 'name.enter');
  $('name-cancel').hidden = !renaming;
  $('name-help').hidden = renaming;
  nameRefused = error;
  $('name-wrong').textContent = error ? sentence(why(error)) : '';
  $('name-input').value = chat.name;
  if (!$('name-dialog').open) $('name-dialog').showModal();
  $('name-input').select();
}

async function takeName() {
  const name = $('name-input').value.trim().normalize('NFC');
  if (!chat.link.live) {
    store.set({ name: name === '' ? '' : name });
    chat.rename(name);
    return;
  }
  if (name === '' || name === chat.name) {
    $('name-dialog').close();
    return;
  }
  try {
    await chat.rename(name);
    $('name-dialog').close();
  } catch (refused) {
    nameRefused = refused;
    $('name-wrong').textContent = sentence(why(refused));
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

submit('name-form', takeName);
submit('rooms-form', () => joinRoom($('room-input').value));
submit('search-form', () => finder.find(active, $('search-text').value.trim()));
submit('topic-form', async () => {
  try {
    await chat.setTopic(active, $('topic-input').value.trim());
    $('topic-dialog').close();
  } catch (refused) {
    $('topic-wrong').textContent = sentence(why(refused));
  }
});
// In a one-line field the Enter that ends a composition must not submit either.
for (const field of document.querySelectorAll('input')) {
  field.addEventListener('keydown', (event) => event.key === 'Enter' && !sends(event) && event.preventDefault());
}
click('me', () => askName());
click('name-cancel', () => $('name-dialog').close());
$('name-dialog').addEventListener('cancel', (event) => {
  if (!chat.link.live) event.preventDefault();
});
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
    setLang(lang);
    store.set({ lang });
    showAll();
    if ($('name-dialog').open) askName(nameRefused);
  });
}
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  if (!$('search-panel').hidden) $('search-close').click();
  else if ($('app').dataset.drawer) drawer('');
});
for (const event of ['focus', 'online']) {
  window.addEventListener(event, () => {
    chat.link.probe();
    if (active) jumps.render();
  });
}
document.addEventListener('visibilitychange', () => {
  if (document.hidden) keep();
  else chat.link.probe();
});
window.addEventListener('pagehide', keep);
window.addEventListener('hashchange', () => {
  const conversation = named();
  if (conversation && conversation !== active) activate(conversation, 'replaceState');
});
wide.addEventListener('change', () => people.refresh());
setInterval(() => active && active.typing.size > 0 && showTyping(), 1_000);

activate(named() ?? chat.conversations.get(store.state.active) ?? firstConversation(), 'replaceState');
showAll();
if (store.state.name === null) askName();
else chat.start();
