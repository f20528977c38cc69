// Names: requested, refused, changed by the user and by others; and what depends on them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, entered, message } from './chat.mjs';
import { fakeStorage } from './fakes.mjs';

const direct = (seq, extra = {}) => ({ from: 'bob', to: 'ada', seq, prev: seq - 1, at: seq, session: 'bbbb', text: `d${seq}`, kind: 'text', epoch: 3, ...extra });

test('a name that is refused is not shown as ours, nor kept', async () => {
  const { chat: it, store, socket } = chat();
  it.rename('taken');
  socket().open();
  assert.equal(it.name, '');
  await socket().hear('error', { code: 'name_reserved', text: '', retry_after: 0 }, socket().last('hello').id);
  assert.deepEqual([it.name, store.name, store.wanted], ['', null, null]);
  it.rename('free');
  assert.equal(it.name, '');
  await socket().hear('welcome', { session: 'aaaa', name: 'free', key: '', heartbeat_ms: 600_000, at: 5 }, socket().last('hello').id);
  assert.deepEqual([it.name, store.name], ['free', 'free']);
});

test('a name of ours that is refused after a reconnect is not shown as ours any more', async () => {
  const { chat: it, clock, socket, said } = await entered();
  await socket().cut();
  await clock.pass(60_000);
  socket().open();
  await socket().hear('error', { code: 'name_reserved', text: '', retry_after: 0 }, socket().last('hello').id);
  assert.equal(it.name, '');
  assert.ok(said.findLastIndex(({ event }) => event === 'me') > said.findLastIndex(({ event }) => event === 'welcome'));
});

test('a name that the server refuses while we have one changes nothing', async () => {
  const { chat: it, socket } = await entered();
  const renaming = assert.rejects(it.rename('taken'), { code: 'name_reserved' });
  await socket().hear('error', { code: 'name_reserved', text: '', retry_after: 0 }, socket().last('rename').id);
  await renaming;
  assert.equal(it.name, 'ada');
});

test('a retry carries the same client and key after a reconnect, a rename and a reload', async () => {
  const [storage, tab] = [fakeStorage(), fakeStorage()];
  const first = chat({ storage, tab });
  await first.enter();
  const { client } = first.socket().last('hello').hello;
  first.chat.say(first.lobby, 'once');
  await first.socket().cut();
  assert.equal((await first.back('cccc')).client, client);
  first.chat.rename('eve');
  await first.socket().hear('renamed', { room: '', old: 'ada', new: 'eve', session: 'cccc', key: '' }, first.socket().last('rename').id);
  assert.deepEqual(first.socket().last('talk').talk, { room: 'lobby', text: 'once', key: 'k-1' });
  first.chat.outbox.keep();
  const again = chat({ storage, tab });
  again.chat.start();
  again.socket().open();
  const { id, hello } = again.socket().last('hello');
  assert.deepEqual([hello.client, hello.name], [client, 'eve']);
  await again.socket().hear('welcome', { session: 'eeee', name: 'eve', key: '', heartbeat_ms: 600_000, at: 5 }, id);
  await again.joined({}, again.socket().last('join').id);
  assert.equal(again.socket().last('talk').talk.key, 'k-1');
  assert.notEqual((await chat({ storage }).enter(), chat({ storage })).store.client(() => 'other'), client);
});

test('who writes to us under a new name is found under it, with what was said', async () => {
  const { chat: it, socket, said } = await entered();
  await socket().hear('direct', direct(1));
  await socket().hear('renamed', { room: 'lobby', old: 'bob', new: 'rob', session: 'bbbb' });
  assert.deepEqual([...it.conversations.keys()], ['room:lobby', 'peer:rob']);
  const rob = it.conversations.get('peer:rob');
  assert.deepEqual(rob.shown.map((item) => item.text ?? item.what), ['d1', 'renamed']);
  assert.ok(said.some(({ event, detail }) => event === 'replaced' && detail.next === rob));
  it.say(rob, 'hello');
  assert.equal(socket().last('direct').direct.to, 'rob');
  await socket().hear('direct', direct(1, { from: 'rob', at: 50, text: 'new' }));
  assert.equal(rob.items.at(-1).text, 'new');
});

test('somebody else of the same name does not take a direct conversation along', async () => {
  const { chat: it, socket } = await entered();
  await socket().hear('direct', direct(1));
  await socket().hear('renamed', { room: 'lobby', old: 'bob', new: 'evil', session: 'ffff' });
  assert.deepEqual([...it.conversations.keys()], ['room:lobby', 'peer:bob']);
});

test('direct conversations after an own rename have numbers of their own, and go on in sight', async () => {
  const { chat: it, back, socket, store } = await entered();
  await socket().hear('direct', direct(7));
  it.rename('eve');
  await socket().hear('renamed', { room: '', old: 'ada', new: 'eve', session: 'aaaa', key: '' }, socket().last('rename').id);
  const bob = it.conversations.get('peer:bob');
  assert.deepEqual([bob.position, bob.shown.map(({ text }) => text)], [null, ['d7']]);
  await socket().hear('direct', direct(1, { to: 'eve', at: 90, text: 'to eve' }));
  assert.deepEqual(bob.shown.map(({ text }) => text), ['d7', 'to eve']);
  store.now();
  assert.deepEqual([store.peers('ada'), store.peers('eve')], [[['bob', { epoch: 3, seq: 7 }]], [['bob', { epoch: 3, seq: 1 }]]]);
  it.rename('ada');
  await socket().hear('renamed', { room: '', old: 'eve', new: 'ada', session: 'aaaa', key: '' }, socket().last('rename').id);
  const { id } = socket().last('history');
  await socket().hear('history', { peer: 'bob', epoch: 3, messages: [direct(7)], more: false, first: 7 }, id);
  assert.deepEqual(it.conversations.get('peer:bob').shown.map(({ text }) => text), ['d7', 'to eve']);
});

test('somebody whose message has come, or who has left or has another name, is not typing any more', async () => {
  const { chat: it, socket, lobby, said } = await entered();
  const typing = () => socket().hear('typing', { room: 'lobby', from: 'bob' });
  const ends = [
    () => socket().hear('message', message(1)),
    () => socket().hear('presence', { room: 'lobby', online: 1, version: 1, left: ['bob'] }),
    () => socket().hear('renamed', { room: 'lobby', old: 'bob', new: 'rob', session: 'bbbb' }),
  ];
  for (const end of ends) {
    await typing();
    assert.deepEqual(it.typists(lobby), ['bob']);
    said.length = 0;
    await end();
    assert.deepEqual(it.typists(lobby), []);
    assert.ok(said.some(({ event }) => event === 'typing'), 'the page is told');
  }
});

test('an own change of the topic names us, whoever of answer and announcement is first', async () => {
  for (const order of [['answer', 'announcement'], ['announcement', 'answer']]) {
    const { chat: it, enter, socket, lobby } = chat();
    await enter();
    it.setTopic(lobby, 'Engines');
    const { id } = socket().last('topic');
    for (const which of order) await socket().hear('topic', { room: 'lobby', topic: 'Engines', from: which === 'answer' ? '' : 'ada' }, which === 'answer' ? id : 0);
    assert.deepEqual(lobby.items.map(({ what, from }) => [what, from]), [['topic', 'ada']]);
    await socket().hear('topic', { room: 'lobby', topic: 'by the operator', from: '' });
    assert.equal(lobby.items.at(-1).from, '');
  }
});

test('who comes for another room is not taken into the lobby', async () => {
  const { chat: it, store, socket, welcome } = chat();
  store.removeRoom('lobby');
  it.conversations.delete('room:lobby');
  it.enter('den').catch(() => {});
  it.start();
  await welcome();
  assert.deepEqual(socket().of('join').map(({ join }) => join.room), ['den']);
  await socket().hear('unread', { conversations: [{ room: 'lobby', epoch: 1, read: 0, head: 9, unread: 9 }] });
  assert.deepEqual([...it.conversations.keys()], ['room:den']);
});

test('the time is the server’s: notes and own words stand on its day, and a clock set meanwhile changes nothing', async () => {
  const server = 5_000_000_000_000;
  const { chat: it, socket, clock, lobby } = await entered();
  await it.link.request('ping');
  await socket().hear('pong', { at: server }, 0);
  assert.equal(it.now(), server);
  clock.now = () => 7;
  it.say(lobby, 'x');
  await socket().hear('topic', { room: 'lobby', topic: 'y', from: 'bob' });
  assert.deepEqual(lobby.shown.map(({ at }) => at), [server, server]);
  await clock.pass(1_000);
  assert.equal(it.now(), server + 1_000);
});
