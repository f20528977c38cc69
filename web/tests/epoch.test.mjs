// A new epoch: the server was restored from a copy, lost the tail, or forgot the room. The page continues by itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chat, entered, EPOCH, message } from './chat.mjs';
import { settle } from './fakes.mjs';

const NEW = 78;

/** Ada has seen twenty messages of the lobby, the last one her own, when she loses the connection. */
async function twentySeen() {
  const it = chat();
  await it.enter();
  for (let seq = 1; seq <= 19; seq += 1) await it.socket().hear('message', message(seq, { at: seq }));
  it.chat.say(it.lobby, 'mine');
  await it.socket().hear('ack', { seq: 20, at: 20, epoch: EPOCH, duplicate: false }, it.socket().last('talk').id);
  await it.socket().hear('message', message(20, { at: 20, from: 'ada', session: 'aaaa', text: 'mine' }));
  await it.socket().cut();
  return it;
}

const after = (texts, word) => texts.slice(texts.lastIndexOf(word) + 1);

test('a restored server with a new epoch: new messages show, own ones too, and the next resume is from where they end', async () => {
  const { chat: it, back, socket, lobby, texts } = await twentySeen();
  await back('cccc', { epoch: NEW, head: 11, from: 10 });
  await socket().hear('gap', { room: 'lobby', peer: '', epoch: EPOCH, from: 11, to: 20, lost: true });
  await socket().hear('message', message(11, { epoch: NEW, at: 100, text: 'new' }));
  it.say(lobby, 'own');
  assert.equal(lobby.pending.length, 1);
  await socket().hear('ack', { seq: 12, at: 101, epoch: NEW, duplicate: false }, socket().last('talk').id);
  await socket().hear('message', message(12, { epoch: NEW, at: 101, text: 'own', from: 'ada', session: 'cccc' }));
  assert.deepEqual(after(texts(), 'epoch'), ['gap 11-20 lost', 'new', 'own']);
  assert.equal(texts().filter((text) => text === 'epoch').length, 1);
  assert.deepEqual([lobby.pending.length, lobby.position], [0, { room: 'lobby', epoch: NEW, seq: 12 }]);
  await socket().cut();
  assert.deepEqual((await back('dddd', { epoch: NEW, head: 12, from: 12 })).resume, [{ room: 'lobby', epoch: NEW, seq: 12 }]);
});

test('what both epochs share stands once, also when older pages bring it again', async () => {
  const { chat: it, back, socket, lobby, texts } = await twentySeen();
  await back('cccc', { epoch: NEW, head: 11, from: 10 });
  await socket().hear('message', message(11, { epoch: NEW, at: 100, text: 'new' }));
  const loading = it.history.loadOlder(lobby);
  const { id, history } = socket().last('history');
  assert.equal(history.before, 1);
  await socket().hear('history', { room: 'lobby', epoch: NEW, messages: [], more: false, first: 1 }, id);
  await loading;
  assert.deepEqual(texts().filter((text) => /^m\d+$/.test(text)).length, 19);
});

test('numbers that went back in the same epoch hide nothing: not the new messages, not our own after its ack', async () => {
  const { chat: it, back, socket, lobby, texts } = await twentySeen();
  await back('cccc', { head: 10, from: 10 });
  await socket().hear('gap', { room: 'lobby', peer: '', epoch: EPOCH, from: 1, to: 20, lost: true });
  await socket().hear('message', message(11, { at: 100, text: 'new' }));
  it.say(lobby, 'own');
  await socket().hear('ack', { seq: 12, at: 101, epoch: EPOCH, duplicate: false }, socket().last('talk').id);
  await socket().hear('message', message(12, { at: 101, text: 'own', from: 'ada', session: 'cccc' }));
  assert.deepEqual(after(texts(), 'epoch'), ['gap 1-20 lost', 'new', 'own']);
  assert.equal(texts().filter((text) => text === 'epoch').length, 1);
  assert.deepEqual(lobby.position, { room: 'lobby', epoch: EPOCH, seq: 12 });
});

test('numbers that went back are noticed by a message too, and by an ack', async () => {
  for (const first of ['message', 'ack']) {
    const { chat: it, back, socket, lobby, texts } = await twentySeen();
    // The server is past our position meanwhile, and does not say so.
    await back('cccc', { head: 25, from: 20 });
    it.say(lobby, 'own');
    const { id } = socket().last('talk');
    const own = () => socket().hear('message', message(12, { at: 101, prev: 11, text: 'own', from: 'ada', session: 'cccc' }));
    const ack = () => socket().hear('ack', { seq: 12, at: 101, epoch: EPOCH, duplicate: false }, id);
    if (first === 'message') await own();
    await ack();
    if (first === 'ack') await own();
    assert.deepEqual([after(texts(), 'epoch').includes('own'), lobby.pending.length], [true, 0], first);
  }
});

test('a server that begins before what we had, and says so in its old epoch, is followed to the end', async () => {
  const { back, socket, lobby, texts } = await twentySeen();
  await back('cccc', { head: 10, from: 0 });
  await socket().hear('gap', { room: 'lobby', peer: '', epoch: EPOCH, from: 1, to: 20, lost: true });
  for (let seq = 1; seq <= 10; seq += 1) await socket().hear('message', message(seq, { at: seq }));
  await socket().hear('message', message(11, { at: 100, text: 'new' }));
  assert.deepEqual(texts(), [...Array.from({ length: 19 }, (_, n) => `m${n + 1}`), 'mine', 'epoch', 'gap 1-20 lost', 'new']);
  assert.deepEqual(lobby.position, { room: 'lobby', epoch: EPOCH, seq: 11 });
});

test('an own message of which only the ack came before the loss goes out again under its key', async () => {
  const { chat: it, back, socket, lobby } = await entered();
  for (let seq = 1; seq <= 5; seq += 1) await socket().hear('message', message(seq, { at: seq }));
  it.say(lobby, 'acked');
  await socket().hear('ack', { seq: 6, at: 6, epoch: EPOCH, duplicate: false }, socket().last('talk').id);
  await socket().cut();
  await back('cccc', { epoch: NEW, head: 4, from: 4 });
  assert.deepEqual(socket().of('talk').map(({ talk }) => [talk.text, talk.key]), [['acked', 'k-1']]);
  await socket().hear('ack', { seq: 5, at: 50, epoch: NEW, duplicate: false }, socket().last('talk').id);
  await socket().hear('message', message(5, { epoch: NEW, at: 50, text: 'acked', from: 'ada', session: 'cccc' }));
  assert.deepEqual([lobby.pending.length, lobby.items.at(-1).text], [0, 'acked']);
});

test('a room without history that began anew has the same numbers for other messages', async () => {
  const { enter, back, socket, texts } = await entered({ history: false });
  for (let seq = 1; seq <= 5; seq += 1) await socket().hear('message', message(seq, { at: seq }));
  await socket().cut();
  await back('cccc', { epoch: NEW, head: 2, from: 2, history: false });
  await socket().hear('message', message(3, { epoch: NEW, at: 100, text: 'new' }));
  assert.deepEqual(texts(), ['m1', 'm2', 'm3', 'm4', 'm5', 'epoch', 'new']);
});

const direct = (seq, extra = {}) => ({ from: 'bob', to: 'ada', seq, prev: seq - 1, at: seq, session: 'bbbb', text: `d${seq}`, kind: 'text', epoch: 3, ...extra });

async function fiveDirects() {
  const it = chat();
  await it.enter();
  for (let seq = 1; seq <= 5; seq += 1) await it.socket().hear('direct', direct(seq));
  const bob = it.chat.conversations.get('peer:bob');
  const texts = () => bob.shown.map((item) => item.text ?? item.what ?? `${item.type} ${item.state}`);
  return { ...it, bob, texts };
}

test('a direct conversation that began anew shows what comes, and own words after their ack', async () => {
  const { chat: it, back, socket, bob, texts } = await fiveDirects();
  await socket().cut();
  const hello = await back('cccc');
  assert.deepEqual(hello.resume.at(-1), { peer: 'bob', epoch: 3, seq: 5 });
  await socket().hear('direct', direct(4, { epoch: 4, at: 100, text: 'new' }));
  it.say(bob, 'own');
  await socket().hear('ack', { seq: 5, at: 101, epoch: 4, duplicate: false }, socket().last('direct').id);
  await socket().hear('direct', direct(6, { epoch: 4, at: 102, text: 'answer' }));
  assert.deepEqual(after(texts(), 'epoch'), ['new', 'own', 'answer']);
  assert.deepEqual([bob.pending.length, bob.position], [0, { peer: 'bob', epoch: 4, seq: 6 }]);
});

test('a direct conversation whose end was lost asks how it stands, and shows what is shared once', async () => {
  const { back, socket, bob, texts } = await fiveDirects();
  await socket().cut();
  await back('cccc');
  await socket().hear('gap', { room: '', peer: 'bob', epoch: 3, from: 4, to: 5, lost: true });
  const { id, history } = socket().last('history');
  assert.equal(history.peer, 'bob');
  const messages = [1, 2, 3].map((seq) => direct(seq, { epoch: 4 }));
  await socket().hear('history', { peer: 'bob', epoch: 4, messages, more: false, first: 1 }, id);
  await socket().hear('direct', direct(4, { epoch: 4, at: 100, text: 'new' }));
  assert.deepEqual(texts().filter((text) => text !== 'epoch'), ['d1', 'd2', 'd3', 'd4', 'd5', 'new']);
  assert.deepEqual(bob.position, { peer: 'bob', epoch: 4, seq: 4 });
});

test('numbers of a direct conversation that went back hide nothing', async () => {
  const { chat: it, back, socket, bob, texts } = await fiveDirects();
  await socket().cut();
  await back('cccc');
  it.say(bob, 'own');
  await socket().hear('ack', { seq: 4, at: 100, epoch: 3, duplicate: false }, socket().last('direct').id);
  await socket().hear('direct', direct(5, { at: 101, text: 'new' }));
  await settle();
  assert.deepEqual([after(texts(), 'epoch'), bob.pending.length], [['own', 'new'], 0]);
});
