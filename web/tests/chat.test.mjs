import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ITEMS_HELD, ITEMS_MAX } from '../conversation.js';
import { chat, entered, EPOCH, message } from './chat.mjs';
import { fakeStorage, settle } from './fakes.mjs';

test('a first visit joins the lobby with the last fifty messages', async () => {
  const { socket } = await entered();
  assert.deepEqual(socket().last('join').join, { room: 'lobby', last: 50 });
  const { client, ...hello } = socket().last('hello').hello;
  assert.deepEqual(hello, { name: '', key: '', resume: [] });
  assert.match(client, /^[0-9a-f]{32}$/);
});

test('a new name has a key that is kept before it is said, so that a broken connection cannot lose it', async () => {
  const [storage, tab] = [fakeStorage(), fakeStorage()];
  const first = chat({ storage, tab });
  first.chat.rename('ada');
  first.socket().open();
  const { key } = first.socket().last('hello').hello;
  assert.ok(key);
  const { chat: again, socket } = chat({ storage, tab, mark: 'again' });
  again.start();
  socket().open();
  assert.deepEqual([socket().last('hello').hello.name, socket().last('hello').hello.key], ['ada', key]);
});

test('two tabs that take the same new name, one after the other, say the same key', async () => {
  const storage = fakeStorage();
  const [one, other] = [chat({ storage }), chat({ storage, mark: 'other' })];
  await other.enter();
  one.chat.rename('eve');
  one.socket().open();
  const { key } = one.socket().last('hello').hello;
  other.chat.rename('eve');
  assert.equal(other.socket().last('rename').rename.key, key);
});

test('names that objects have by themselves have keys as any other, here and after a reload', async () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    const [storage, tab] = [fakeStorage(), fakeStorage()];
    const { chat: made, socket, store } = chat({ storage, tab });
    made.rename(name);
    socket().open();
    const { id, hello } = socket().last('hello');
    assert.equal(hello.key, 'k-1', name);
    await socket().hear('welcome', { session: 'aaaa', name, key: 'k-1', heartbeat_ms: 600_000, at: 5 }, id);
    made.direct(name);
    made.enter(name);
    made.unread.seen(made.conversations.get(`peer:${name}`));
    store.now();
    const again = chat({ storage, tab, mark: 'again' });
    again.chat.start();
    again.socket().open();
    assert.deepEqual([again.socket().last('hello').hello.name, again.socket().last('hello').hello.key], [name, 'k-1']);
    assert.ok(again.chat.conversations.has(`peer:${name}`));
  }
});

test('a rename brings a key of the new name, which is kept', async () => {
  const { chat: made, socket, store } = await entered();
  made.rename('eve');
  const { id, rename } = socket().last('rename');
  assert.ok(rename.key);
  await socket().hear('renamed', { room: '', old: 'ada', new: 'eve', session: 'aaaa', key: rename.key }, id);
  assert.equal(store.key('eve'), rename.key);
  assert.equal(store.key('ada'), 'secret');
});

test('the key of a name is kept and shown again', async () => {
  const storage = fakeStorage();
  const first = chat({ storage });
  await first.enter();
  first.store.now();
  const second = chat({ storage });
  second.chat.start();
  const { name, key, resume } = await second.welcome();
  assert.deepEqual([name, key, resume], ['ada', 'secret', []]);
});

test('after a reconnect the hello resumes from the last position, and nothing stands twice', async () => {
  const { socket, back, texts } = await entered();
  for (const seq of [1, 2, 3]) await socket().hear('message', message(seq));
  await socket().cut();
  const hello = await back('cccc', { head: 5, from: 2 });
  assert.deepEqual(hello.resume, [{ room: 'lobby', epoch: EPOCH, seq: 3 }]);
  assert.equal(socket().of('join').length, 0);
  for (const seq of [3, 4, 5, 5]) await socket().hear('message', message(seq));
  assert.deepEqual(texts(), ['m1', 'm2', 'm3', 'm4', 'm5']);
});

test('the same number of another epoch is another message', async () => {
  const { socket, texts } = await entered();
  await socket().hear('message', message(1));
  await socket().hear('message', message(1, { epoch: 78, prev: 0, text: 'new life' }));
  assert.deepEqual(texts(), ['m1', 'epoch', 'new life']);
});

test('a gap is seen through prev and filled from history, in its place', async () => {
  const { socket, texts } = await entered();
  await socket().hear('message', message(1));
  await socket().hear('message', message(4));
  assert.deepEqual(texts(), ['m1', 'gap 2-3 loading', 'm4']);
  const { id, history } = socket().last('history');
  assert.deepEqual([history.room, history.after], ['lobby', 1]);
  await socket().hear('history', { room: 'lobby', peer: '', epoch: EPOCH, messages: [message(2), message(3), message(4)], more: false, first: 1 }, id);
  assert.deepEqual(texts(), ['m1', 'm2', 'm3', 'm4']);
});

test('holes in the numbers are no gap: only prev counts', async () => {
  const { socket, texts } = await entered();
  await socket().hear('message', message(1));
  await socket().hear('message', message(9, { prev: 1 }));
  assert.deepEqual(texts(), ['m1', 'm9']);
});

test('where nothing is stored, a gap is shown and not asked for', async () => {
  const { socket, texts } = await entered({ history: false });
  await socket().hear('message', message(1));
  await socket().hear('message', message(5));
  assert.deepEqual(texts(), ['m1', 'gap 2-4 missed', 'm5']);
  assert.equal(socket().of('history').length, 0);
});

test('a gap that the server announces is taken over, and a lost one says so', async () => {
  const { socket, texts } = await entered();
  await socket().hear('message', message(1));
  await socket().hear('gap', { room: 'lobby', peer: '', epoch: EPOCH, from: 2, to: 6, lost: true });
  await socket().hear('message', message(7));
  assert.deepEqual(texts(), ['m1', 'gap 2-6 lost', 'm7']);
});

test('a server without history is asked once', async () => {
  const { socket, lobby, chat: it } = await entered();
  await socket().hear('message', message(5, { prev: 0 }));
  const asked = it.history.loadOlder(lobby);
  await socket().hear('error', { code: 'unknown_request', text: '', retry_after: 0 }, socket().last('history').id);
  assert.equal(await asked, false);
  assert.equal(await it.history.loadOlder(lobby), false);
  assert.equal(socket().of('history').length, 1);
});

test('a talk is pending until its message comes, in whichever order the ack does', async () => {
  const { socket, chat: it, lobby, texts } = await entered();
  it.say(lobby, 'one');
  const { id, talk } = socket().last('talk');
  assert.deepEqual(talk, { room: 'lobby', text: 'one', key: 'k-1' });
  await socket().hear('ack', { seq: 1, at: 5, epoch: EPOCH, duplicate: false }, id);
  assert.equal(lobby.pending[0].state, 'sent');
  await socket().hear('message', message(1, { text: 'one', from: 'ada', session: 'aaaa' }));
  assert.deepEqual([lobby.pending.length, texts()], [0, ['one']]);
  it.say(lobby, 'two');
  await socket().hear('message', message(2, { text: 'two', from: 'ada', session: 'aaaa' }));
  assert.equal(lobby.pending.length, 0);
  await socket().hear('ack', { seq: 2, at: 5, epoch: EPOCH, duplicate: false }, socket().last('talk').id);
  assert.deepEqual(texts(), ['one', 'two']);
});

test('the same text of somebody else does not pass for ours', async () => {
  const { socket, chat: it, lobby } = await entered();
  it.say(lobby, 'hi');
  await socket().hear('message', message(1, { text: 'hi', from: 'ada', session: 'eeee' }));
  assert.equal(lobby.pending.length, 1);
});

test('what was written while away goes out once, in order, under the same keys', async () => {
  const { socket, back, chat: it, lobby, texts } = await entered();
  it.say(lobby, 'lost ack');
  await socket().cut();
  it.say(lobby, 'offline');
  assert.deepEqual(lobby.pending.map(({ state }) => state), ['waiting', 'waiting']);
  await back('cccc');
  assert.deepEqual(socket().of('talk').map(({ talk }) => talk.key), ['k-1']);
  await socket().hear('ack', { seq: 1, at: 5, epoch: EPOCH, duplicate: true }, socket().last('talk').id);
  assert.deepEqual(socket().of('talk').map(({ talk }) => talk.key), ['k-1', 'k-2']);
  await socket().hear('message', message(1, { text: 'lost ack', from: 'ada', session: 'aaaa' }));
  await socket().hear('message', message(2, { text: 'offline', from: 'ada', session: 'cccc' }));
  await socket().hear('ack', { seq: 2, at: 5, epoch: EPOCH, duplicate: false }, socket().last('talk').id);
  assert.deepEqual(texts(), ['lost ack', 'offline']);
  assert.equal(lobby.pending.length, 0);
});

test('a message that the replay brings is not sent again', async () => {
  const { socket, clock, welcome, joined, chat: it, lobby } = await entered();
  it.say(lobby, 'went through');
  await socket().cut();
  await clock.pass(60_000);
  await welcome('cccc');
  await socket().hear('message', message(1, { text: 'went through', from: 'ada', session: 'aaaa' }));
  await joined({ head: 1, from: 0 });
  assert.equal(socket().of('talk').length, 0);
  assert.equal(lobby.pending.length, 0);
});

test('what was not sent goes out after the page is loaded again, under the same key, whatever else was said before', async () => {
  const [storage, tab] = [fakeStorage(), fakeStorage()];
  const first = chat({ storage, tab });
  await first.enter();
  await first.socket().hear('message', message(1, { text: 'ok', from: 'ada', session: 'aaaa' }));
  await first.socket().cut();
  first.chat.say(first.lobby, 'ok');
  first.store.now();
  first.chat.outbox.keep();
  const second = chat({ storage, tab });
  await second.enter({ head: 1, from: 0 });
  assert.deepEqual(second.socket().of('talk').map(({ talk }) => talk), [{ room: 'lobby', text: 'ok', key: 'k-1' }]);
  // The replay contains an old message with the same text.
  await second.socket().hear('message', message(1, { text: 'ok', from: 'ada', session: 'aaaa' }));
  const lobby = second.chat.conversations.get('room:lobby');
  assert.equal(lobby.pending.length, 1);
  await second.socket().hear('ack', { seq: 2, at: 5, epoch: EPOCH, duplicate: false }, second.socket().last('talk').id);
  await second.socket().hear('message', message(2, { text: 'ok', from: 'ada', session: 'aaaa' }));
  assert.equal(lobby.pending.length, 0);
  // The tab may end without an event, and return.
  assert.deepEqual(second.store.unsent(), []);
});

test('what was not sent under another name, or is damaged, is not sent', async () => {
  const [storage, tab] = [fakeStorage(), fakeStorage()];
  storage.setItem('plaza.v1', '{"name":"ada"}');
  tab.setItem('plaza.v1.unsent', '[null,7,{"kind":"room","name":"lobby","from":"bob","key":"k","text":"no"},{"kind":"room"}]');
  const { enter, socket } = chat({ storage, tab });
  await enter();
  assert.equal(socket().of('talk').length, 0);
});

test('an ack that never comes makes the same key go out again', async () => {
  const { socket, clock, chat: it, lobby } = await entered();
  it.say(lobby, 'x');
  await clock.pass(17_000);
  assert.equal(socket().of('hello').length, 1);
  assert.deepEqual(socket().of('talk').map(({ talk }) => talk.key), ['k-1', 'k-1']);
});

test('busy waits as long as it is told and is not overtaken; a refusal for good is shown and holds nobody up', async () => {
  const { socket, clock, chat: it, lobby } = await entered();
  it.say(lobby, 'first');
  it.say(lobby, 'second');
  await socket().hear('error', { code: 'busy', text: '', retry_after: 2_000 }, socket().last('talk').id);
  await clock.pass(1_999);
  assert.equal(socket().of('talk').length, 1);
  await clock.pass(1);
  assert.equal(socket().last('talk').talk.text, 'first');
  await socket().hear('error', { code: 'invalid', text: 'too long', retry_after: 0 }, socket().last('talk').id);
  assert.equal(lobby.pending[0].state, 'failed');
  assert.equal(socket().last('talk').talk.text, 'second');
});

test('own words from another tab or device are own words; those of somebody else with our name are not', async () => {
  const storage = fakeStorage();
  const [here, there] = [chat({ storage }), chat({ storage })];
  await here.enter({ history: false });
  await there.enter({ history: false });
  there.chat.start();
  await there.welcome('tttt');
  await here.socket().hear('message', message(1, { from: 'ada', session: 'aaaa' }));
  await here.socket().hear('message', message(2, { from: 'ada', session: 'tttt' }));
  await here.socket().hear('message', message(3, { from: 'bob', session: 'tttt' }));
  assert.deepEqual(here.lobby.items.map(({ own, mine }) => [own, mine]), [[true, true], [true, false], [false, false]]);
  assert.equal(here.lobby.ambiguous('ada'), false);
  // A phone: this page does not know its session, but nobody else can use a name claimed with the user's key.
  await here.socket().hear('message', message(4, { from: 'ada', session: 'ffff' }));
  assert.equal(here.lobby.items.at(-1).own, true);
  const guest = chat();
  guest.chat.start();
  guest.socket().open();
  await guest.socket().hear('welcome', { session: 'gggg', name: 'guest-1', key: '', heartbeat_ms: 600_000, at: 5 }, guest.socket().last('hello').id);
  await guest.joined({ history: false }, guest.socket().last('join').id);
  await guest.socket().hear('message', message(1, { from: 'guest-1', session: 'ffff' }));
  assert.equal(guest.lobby.items.at(-1).own, false);
});

test('comings and goings share one line, and cancel out', async () => {
  const { socket, lobby } = await entered();
  for (let i = 0; i < 300; i += 1) await socket().hear('presence', { room: 'lobby', online: i + 2, version: i, joined: [`u${i}`], left: [], names: [] });
  assert.deepEqual([lobby.items.length, lobby.items[0].came, lobby.items[0].joined.length, lobby.online], [1, 300, 20, 301]);
  await socket().hear('message', message(1));
  await socket().hear('presence', { room: 'lobby', online: 302, version: 1, joined: ['zoe'], left: [], names: [] });
  await socket().hear('presence', { room: 'lobby', online: 301, version: 2, joined: [], left: ['zoe'], names: [] });
  assert.deepEqual(lobby.items.map(({ type }) => type), ['note', 'message']);
});

test('memory is bounded, and older messages can be loaded again', async () => {
  const { socket, lobby, chat: it } = await entered();
  for (let seq = 1; seq <= ITEMS_MAX + 1_000; seq += 1) socket().onmessage({ data: JSON.stringify({ id: 0, message: message(seq) }) });
  await settle();
  assert.ok(lobby.items.length <= ITEMS_MAX + 500);
  const { seq } = lobby.oldest;
  const loading = it.history.loadOlder(lobby);
  assert.equal(socket().last('history').history.before, seq);
  const older = [message(seq - 2), message(seq - 1)];
  await socket().hear('history', { room: 'lobby', peer: '', epoch: EPOCH, messages: older, more: true, first: 1 }, socket().last('history').id);
  assert.equal(await loading, true);
  assert.deepEqual(lobby.items.slice(0, 3).map((item) => item.seq), [seq - 2, seq - 1, seq]);
});

test('who reads further up keeps what they read, as long as memory allows', async () => {
  const { socket, lobby } = await entered();
  lobby.held = true;
  let seq = 0;
  const flood = async (count) => {
    for (const end = seq + count; seq < end; ) socket().onmessage({ data: JSON.stringify({ id: 0, message: message((seq += 1)) }) });
    await settle();
  };
  await flood(ITEMS_MAX + 2_000);
  assert.equal(lobby.oldest.seq, 1);
  await flood(ITEMS_HELD);
  assert.ok(lobby.items.length <= ITEMS_HELD + 500);
  lobby.held = false;
  await flood(1);
  assert.equal(lobby.items.length, ITEMS_MAX);
});

test('pages of history that overlap what is here, or each other, bring nothing twice', async () => {
  const { socket, lobby, chat: it, texts } = await entered({ head: 6, from: 4 });
  for (const seq of [5, 6]) await socket().hear('message', message(seq));
  for (const page of [[3, 4, 5], [2, 3, 4, 6]]) {
    const loading = it.history.loadOlder(lobby);
    await socket().hear('history', { room: 'lobby', epoch: EPOCH, messages: page.map((seq) => message(seq)), more: true, first: 1 }, socket().last('history').id);
    await loading;
  }
  assert.deepEqual(texts(), ['m2', 'm3', 'm4', 'm5', 'm6']);
});

test('direct messages stand in the conversation with the other one, on every device', async () => {
  const { socket, chat: it } = await entered();
  const direct = (seq, from, to, session) => socket().hear('direct', { from, to, seq, prev: seq - 1, at: 1, session, text: `d${seq}`, kind: 'text', epoch: 3 });
  await direct(1, 'bob', 'ada', 'bbbb');
  await direct(2, 'ada', 'bob', 'other-device');
  const bob = it.conversations.get('peer:bob');
  assert.deepEqual(bob.items.map(({ text, own }) => [text, own]), [['d1', false], ['d2', true]]);
  it.say(bob, 'hello');
  assert.deepEqual(socket().last('direct').direct, { to: 'bob', text: 'hello', key: 'k-1' });
});

test('what is unread is counted once, whether the server or the messages come first', async () => {
  const { socket, chat: it } = await entered();
  const direct = async (from, seq) => {
    const message = { from, to: 'ada', seq, prev: seq - 1, at: 1, session: 'bbbb', text: `d${seq}`, kind: 'text', epoch: 3 };
    await socket().hear('direct', message);
    it.unread.add(it.conversations.get(`peer:${from}`), message);
  };
  const unread = (count, read, head) => socket().hear('unread', { conversations: ['bob', 'eve'].map((peer) => ({ peer, epoch: 3, read, head, unread: count })) });
  await direct('eve', 1);
  await direct('eve', 2);
  await direct('eve', 3);
  await unread(2, 0, 2);
  await direct('bob', 1);
  await direct('bob', 2);
  await direct('bob', 3);
  assert.deepEqual(['bob', 'eve'].map((name) => it.conversations.get(`peer:${name}`).unread), [3, 3]);
  // Read here, and not sent to the server yet.
  it.unread.seen(it.conversations.get('peer:bob'));
  await unread(3, 0, 3);
  assert.deepEqual(['bob', 'eve'].map((name) => it.conversations.get(`peer:${name}`).unread), [0, 3]);
});

test('the line above what is new moves on once all was read', async () => {
  const { socket, lobby, chat: it } = await entered();
  const unseen = async (seq) => {
    await socket().hear('message', message(seq));
    it.unread.add(lobby, message(seq));
  };
  await unseen(1);
  await unseen(2);
  assert.deepEqual([lobby.newAfter?.seq + 1, lobby.unread], [1, 2]);
  it.unread.seen(lobby);
  assert.equal(lobby.newAfter?.seq + 1, 1);
  await unseen(3);
  await unseen(4);
  assert.deepEqual([lobby.newAfter?.seq + 1, lobby.unread], [3, 2]);
});

test('the line stands where the user stopped reading, here or on another device, and not where all was read', async () => {
  const storage = fakeStorage();
  storage.setItem('plaza.v1', JSON.stringify({ name: 'ada', read: { 'room:lobby': { epoch: EPOCH, seq: 3 } } }));
  for (const [read, head, stands] of [[0, 9, 3], [5, 9, 5], [9, 9, null], [2, 3, null]]) {
    const { enter, lobby } = chat({ storage });
    await enter({ head, read, from: head });
    assert.equal(lobby.newAfter?.seq ?? null, stands, `read ${read} of ${head}`);
  }
  const { enter, lobby } = await entered({ head: 9, from: 9 });
  assert.equal(lobby.newAfter, null, 'a first visit');
});

test('new messages that are not loaded are fetched in large pages, until the line has its place before the first of others', async () => {
  const { socket, lobby, chat: it } = await entered({ head: 400, read: 100, from: 399 });
  await socket().hear('message', message(400));
  assert.deepEqual([lobby.newUnloaded, lobby.firstNew], [true, null]);
  const loading = it.history.loadNew(lobby);
  for (const last of [399, 199]) {
    const { id, history } = socket().last('history');
    assert.deepEqual([history.before, history.limit], [last + 1, 200]);
    const own = { from: 'ada', session: 'aaaa' };
    const messages = Array.from({ length: 199 }, (_, n) => last - 198 + n).filter((seq) => seq > 0).map((seq) => message(seq, seq === 101 ? own : {}));
    await socket().hear('history', { room: 'lobby', epoch: EPOCH, messages: last === 399 ? [message(200), ...messages] : messages, more: last === 399, first: 1 }, id);
  }
  await loading;
  assert.equal(lobby.firstNew.seq, 102);
  it.say(lobby, 'who talks has seen it');
  assert.equal(lobby.firstNew, null);
});

test('what is read on another device is read here', async () => {
  const { socket, lobby, chat: it } = await entered({ head: 2, read: 1, from: 1 });
  await socket().hear('message', message(2));
  it.unread.add(lobby, message(2));
  assert.deepEqual([lobby.unread, lobby.firstNew.seq], [1, 2]);
  await socket().hear('read', { room: 'lobby', seq: 2, unread: 0 });
  assert.deepEqual([lobby.unread, lobby.firstNew], [0, null]);
});

test('an own direct message stands by its ack alone, and what it overtook still finds its place', async () => {
  const { socket, chat: it } = await entered();
  const bob = it.direct('bob');
  it.say(bob, 'mine');
  const direct = (seq, text) => socket().hear('direct', { from: 'bob', to: 'ada', seq, prev: seq - 1, at: 1, session: 'bbbb', text, kind: 'text', epoch: 3 });
  await socket().hear('ack', { seq: 2, at: 5, epoch: 3, duplicate: false }, socket().last('direct').id);
  await direct(1, 'overtaken');
  await direct(3, 'answer');
  await direct(3, 'answer');
  assert.deepEqual(bob.shown.map(({ text, type }) => [text, type]), [['overtaken', 'message'], ['mine', 'message'], ['answer', 'message']]);
});

test('messages the page does not know, and names that look like methods, do no harm', async () => {
  const { socket, texts } = await entered();
  socket().onmessage({ data: '{"id":0,"future":{"x":1},"__proto__":{"a":1},"constructor":{},"toString":{}}' });
  await socket().hear('message', message(1));
  assert.deepEqual(texts(), ['m1']);
});

