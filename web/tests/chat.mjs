// A chat in the lobby, with the clock, sockets and storages of the tests.

import { Chat } from '../chat.js';
import { Store } from '../store.js';
import { FakeClock, FakeSocket, fakeStorage } from './fakes.mjs';

export const EPOCH = 77;

export function chat({ storage = fakeStorage(), tab = fakeStorage(), mark = 'k' } = {}) {
  const clock = new FakeClock();
  const sockets = [];
  const said = [];
  let keys = 0;
  const store = new Store(storage, tab);
  store.addRoom('lobby');
  const made = new Chat({
    store,
    clock,
    random: () => 1,
    open: () => sockets[sockets.push(new FakeSocket()) - 1],
    emit: (event, detail) => said.push({ event, detail }),
    makeKey: () => `${mark}-${(keys += 1)}`,
  });
  const socket = () => sockets.at(-1);
  const welcome = async (session = 'aaaa') => {
    socket().open();
    const { id, hello } = socket().last('hello');
    await socket().hear('welcome', { session, name: 'ada', key: 'secret', heartbeat_ms: 600_000, at: clock.now() }, id);
    return hello;
  };
  const joined = (extra = {}, id = 0) =>
    socket().hear('joined', { room: 'lobby', epoch: EPOCH, head: 0, online: 1, topic: '', history: true, read: 0, from: 0, ...extra }, id);
  const enter = async (extra) => {
    made.start();
    await welcome();
    await joined(extra, socket().last('join').id);
  };
  const back = async (session, extra) => {
    await clock.pass(60_000);
    const hello = await welcome(session);
    await joined(extra);
    return hello;
  };
  const lobby = made.conversations.get('room:lobby');
  const texts = () => lobby.shown.map((item) => item.text ?? item.what ?? `${item.type} ${item.from}-${item.to} ${item.state}`);
  return { chat: made, store, clock, socket, sockets, said, welcome, joined, enter, back, lobby, texts };
}

export function message(seq, extra = {}) {
  return { room: 'lobby', seq, prev: seq - 1, at: 1_000, from: 'bob', session: 'bbbb', text: `m${seq}`, kind: 'text', epoch: EPOCH, ...extra };
}

/** The same, let in. */
export async function entered(extra) {
  const made = chat();
  await made.enter(extra);
  return made;
}
