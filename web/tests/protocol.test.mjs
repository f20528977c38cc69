import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BACKOFF_LONGEST_MS, Link } from '../protocol.js';
import { FakeClock, FakeSocket, settle } from './fakes.mjs';

const HEARTBEAT = 10_000;

function link({ random = () => 1, heartbeat = HEARTBEAT } = {}) {
  const clock = new FakeClock();
  const sockets = [];
  const states = [];
  const events = [];
  const made = new Link({
    open: () => sockets[sockets.push(new FakeSocket()) - 1],
    hello: () => ({ name: 'ada' }),
    onEvent: (kind, body) => events.push({ kind, body }),
    onState: (state) => states.push(state),
    clock,
    random,
  });
  const socket = () => sockets.at(-1);
  const welcome = async () => {
    socket().open();
    await socket().hear('welcome', { session: 'aa', name: 'ada', heartbeat_ms: heartbeat }, socket().last('hello').id);
  };
  return { link: made, clock, sockets, socket, states, events, welcome };
}

/** The same, welcomed. */
async function connected(options) {
  const made = link(options);
  made.link.connect();
  await made.welcome();
  return made;
}

test('hello is said first, and welcome makes it connected', async () => {
  const { link: it, socket, states, welcome } = link();
  it.connect();
  assert.equal(socket().sent.length, 0);
  await welcome();
  assert.deepEqual(socket().sent[0].hello, { name: 'ada' });
  assert.deepEqual(states, ['connecting', 'connected']);
});

test('a request is settled by the reply that names it, and by no other', async () => {
  const { link: it, socket } = await connected();
  socket().alive = false;
  const first = it.request('ping');
  const second = it.request('users', { room: 'lobby' });
  const [{ id: ping }, { id: users }] = [socket().last('ping'), socket().last('users')];
  await socket().hear('error', { code: 'not_member', text: 'x', retry_after: 0 }, users);
  await assert.rejects(second, { code: 'not_member' });
  await socket().hear('pong', { at: 4 }, ping);
  assert.deepEqual((await first).body, { at: 4 });
});

test('a dead connection is noticed within ten seconds of a request, and a new one is made at once', async () => {
  const { link: it, clock, sockets, socket, states, welcome } = await connected({ heartbeat: 600_000 });
  socket().alive = false;
  const rejected = assert.rejects(it.request('talk', {}), { code: 'connection_lost' });
  await clock.pass(5_000);
  assert.deepEqual([it.state, socket().of('ping').length], ['slow', 1]);
  await clock.pass(4_000);
  await rejected;
  assert.deepEqual([sockets.length, it.state], [2, 'connecting']);
  await welcome();
  assert.deepEqual(states, ['connecting', 'connected', 'slow', 'connecting', 'connected']);
});

test('a request that is answered late on a living connection is only late', async () => {
  const { link: it, clock, sockets, socket, states } = await connected({ heartbeat: 600_000 });
  const request = it.request('history', {});
  await clock.pass(14_000);
  await socket().hear('history', {}, socket().last('history').id);
  await request;
  assert.deepEqual([sockets.length, states], [1, ['connecting', 'connected', 'slow', 'connected']]);
});

test('where what we say does not get through, what is heard does not keep the connection', async () => {
  const { link: it, clock, sockets, socket } = await connected({ heartbeat: 600_000 });
  socket().alive = false;
  it.request('talk', {}).catch(() => {});
  for (let second = 0; second < 15; second += 1) {
    await clock.pass(1_000);
    if (sockets.length === 1) await socket().hear('message', {});
  }
  assert.equal(sockets.length, 2);
});

test('when the network comes back or the page is looked at again, silence of four seconds means a new connection', async () => {
  const { link: it, clock, sockets, socket } = await connected({ heartbeat: 600_000 });
  it.probe();
  await settle();
  await clock.pass(10_000);
  assert.equal(sockets.length, 1);
  socket().alive = false;
  it.probe();
  it.probe();
  await clock.pass(3_999);
  assert.deepEqual([sockets.length, socket().of('ping').length], [1, 2]);
  await clock.pass(1);
  assert.equal(sockets.length, 2);
  // An attempt that began on the lost network.
  await clock.pass(5_000);
  it.probe();
  assert.equal(sockets.length, 3);
});

test('a server that is slow for longer is given more time after each new connection', async () => {
  const { link: it, clock, sockets, socket, welcome } = link({ heartbeat: 600_000 });
  it.connect();
  for (const patience of [4_000, 8_000, 12_000, 12_000]) {
    await welcome();
    socket().alive = false;
    const before = sockets.length;
    it.probe();
    await clock.pass(patience - 1);
    assert.equal(sockets.length, before);
    await clock.pass(1);
    assert.equal(sockets.length, before + 1);
  }
});

test('a server that answers quickly again is given no more time than at first', async () => {
  const { link: it, clock, sockets, socket, welcome } = link({ heartbeat: 600_000 });
  it.connect();
  for (const fault of [1, 2, 3]) {
    await welcome();
    await it.request('ping');
    socket().alive = false;
    it.probe();
    await clock.pass(4_000);
    assert.equal(sockets.length, 1 + fault);
  }
});

test('a page that is left says so, and connects again when it is shown again', async () => {
  const { link: it, clock, sockets, socket, welcome } = await connected();
  it.leave();
  assert.deepEqual([it.state, socket().of('exit').length, socket().readyState], ['away', 1, 3]);
  await clock.pass(600_000);
  assert.equal(sockets.length, 1);
  it.comeBack();
  await welcome();
  assert.deepEqual([it.state, sockets.length], ['connected', 2]);
  it.close();
  it.leave();
  it.comeBack();
  assert.equal(it.state, 'closed');
});

test('a request that nobody answers times out', async () => {
  const { link: it, clock } = await connected();
  assert.equal(it.state, 'connected');
  const request = it.request('talk', {});
  const rejected = assert.rejects(request, { code: 'timeout' });
  await clock.pass(15_000);
  await rejected;
});

test('a lost connection rejects its requests, and the next attempt waits', async () => {
  const { link: it, socket, sockets, clock } = await connected();
  const rejected = assert.rejects(it.request('talk', {}), { code: 'connection_lost' });
  await socket().cut();
  await rejected;
  assert.equal(it.state, 'waiting');
  assert.equal(sockets.length, 1);
  await clock.pass(500);
  assert.equal(sockets.length, 2);
});

test('pauses double up to the longest, with a half of chance', async () => {
  const { link: it, socket, clock } = link();
  it.connect();
  const waits = [];
  for (let i = 0; i < 10; i += 1) {
    await socket().cut();
    waits.push(it.retryAt - clock.now());
    await clock.pass(waits.at(-1));
  }
  assert.deepEqual(waits.slice(0, 4), [500, 1_000, 2_000, 4_000]);
  assert.equal(waits.at(-1), BACKOFF_LONGEST_MS);
  const lucky = link({ random: () => 0 });
  lucky.link.connect();
  await lucky.socket().cut();
  assert.equal(lucky.link.retryAt - lucky.clock.now(), 250);
});

test('a server that welcomes and drops does not make the pause short again; a stable one does', async () => {
  const { link: it, socket, clock, welcome } = link();
  it.connect();
  for (let i = 0; i < 3; i += 1) {
    await welcome();
    await socket().cut();
    await clock.pass(it.retryAt - clock.now());
  }
  await welcome();
  await socket().cut();
  assert.equal(it.retryAt - clock.now(), 4_000);
  await clock.pass(4_000);
  await welcome();
  await clock.pass(5_000);
  await socket().cut();
  assert.equal(it.retryAt - clock.now(), 500);
});

test('the wait that goodbye names is kept, and a goodbye without one is final', async () => {
  const { link: it, socket, sockets, clock, welcome } = await connected({ random: () => 0 });
  await socket().hear('goodbye', { code: 'draining', text: '', retry_after: 7_000 });
  await socket().cut();
  assert.equal(it.retryAt - clock.now(), 7_000);
  await clock.pass(6_999);
  assert.equal(sockets.length, 1);
  await clock.pass(1);
  assert.equal(sockets.length, 2);
  await welcome();
  await socket().hear('goodbye', { code: 'kicked', text: '', retry_after: 0 });
  await socket().cut();
  await clock.pass(600_000);
  assert.equal(it.state, 'closed');
  assert.equal(sockets.length, 2);
});

test('an idle page asks now and then, and what is not answered is the end; anything heard is a sign of life', async () => {
  const { link: it, socket, sockets, clock, states } = await connected();
  await clock.pass(HEARTBEAT);
  assert.equal(socket().of('ping').length, 2);
  assert.ok(socket().of('ping').every(({ id }) => id > 0), 'a ping without an id asks for no answer');
  socket().alive = false;
  await clock.pass(HEARTBEAT / 2 + 5_000);
  assert.equal(it.state, 'slow');
  await socket().hear('presence', { room: 'lobby', online: 1 });
  assert.equal(it.state, 'connected');
  socket().alive = true;
  await clock.pass(HEARTBEAT);
  socket().alive = false;
  await clock.pass(HEARTBEAT / 2 + 9_000);
  assert.equal(sockets.length, 2);
  assert.deepEqual(states, ['connecting', 'connected', 'slow', 'connected', 'slow', 'connecting']);
});

test('after a sleep the connection gets one more chance', async () => {
  const { link: it, socket, clock } = await connected();
  await clock.sleep(HEARTBEAT * 30);
  assert.notEqual(it.state, 'waiting');
  await socket().hear('pong', { at: 1 });
  await clock.pass(HEARTBEAT / 2);
  assert.equal(it.state, 'connected');
});

test('a refused hello is said again on the same connection, and does not hammer the server', async () => {
  const { link: it, socket, sockets, clock, events, welcome } = link();
  it.connect();
  socket().open();
  await socket().hear('error', { code: 'name_reserved', text: '', retry_after: 0 }, socket().last('hello').id);
  assert.equal(it.state, 'refused');
  assert.equal(events.at(-1).kind, 'refused');
  it.sayHello();
  await socket().hear('welcome', { session: 'aa', name: 'b', heartbeat_ms: HEARTBEAT }, socket().last('hello').id);
  assert.equal(it.state, 'connected');
  it.connect();
  socket().open();
  await socket().hear('error', { code: 'bad_name', text: '', retry_after: 0 }, socket().last('hello').id);
  await socket().cut();
  await clock.pass(600_000);
  assert.equal(it.state, 'closed');
  assert.equal(sockets.length, 2);
  it.connect();
  await welcome();
  assert.equal(it.state, 'connected');
});

test('what an old socket still says is not heard', async () => {
  const { link: it, sockets, events } = await connected();
  const old = sockets[0];
  const listener = old.onmessage;
  it.connect();
  await settle();
  const before = events.length;
  listener({ data: '{"id":0,"message":{}}' });
  assert.equal(events.length, before);
});

test('what is not a message of the protocol is passed over', async () => {
  const { link: it, socket, events } = await connected();
  const before = events.length;
  for (const data of ['nonsense', 'null', '7', '[]', '{"id":1}', '{"id":0,"message":null}']) socket().onmessage({ data });
  assert.equal(events.length, before);
});
