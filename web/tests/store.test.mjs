// What the page remembers: with several tabs, in a browser that stores nothing, and from an older page.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Store } from '../store.js';
import { fakeStorage, fullStorage } from './fakes.mjs';

const LOBBY = { id: 'room:lobby' };

test('two tabs keep their own names, and do not take rooms, language, keys or positions from each other', () => {
  const shared = fakeStorage();
  const tabs = [fakeStorage(), fakeStorage()];
  const [one, two] = tabs.map((tab) => new Store(shared, tab));
  one.name = 'ada';
  one.keep('ada', 'key-a');
  one.lang = 'zh';
  one.addRoom('tea');
  two.name = 'bob';
  two.keep('bob', 'key-b');
  two.addRoom('coffee');
  one.addRoom('milk');
  two.removeRoom('tea');
  one.read('ada', LOBBY, { epoch: 7, seq: 20 });
  one.now();
  two.read('ada', LOBBY, { epoch: 7, seq: 5 });
  two.now();
  const again = new Store(shared, tabs[0]);
  const fresh = new Store(shared, fakeStorage());
  assert.deepEqual([again.name, fresh.name, again.lang, again.key('ada'), again.key('bob')], ['ada', 'bob', 'zh', 'key-a', 'key-b']);
  assert.deepEqual(again.rooms().sort(), ['coffee', 'milk']);
  assert.deepEqual(again.readUpTo('ada', LOBBY), { epoch: 7, seq: 20 });
});

test('positions belong to the name under which they were come to', () => {
  const store = new Store(fakeStorage());
  store.peer('ada', 'bob', { epoch: 3, seq: 9 });
  store.peer('ada', '__proto__', { epoch: 3, seq: 1 });
  store.peer('a', 'da.bob', { epoch: 3, seq: 2 });
  store.now();
  assert.deepEqual(new Map(store.peers('ada')), new Map([['bob', { epoch: 3, seq: 9 }], ['__proto__', { epoch: 3, seq: 1 }]]));
  assert.deepEqual([store.peers('eve'), store.peers('a')], [[], [['da.bob', { epoch: 3, seq: 2 }]]]);
});

test('where the browser keeps nothing, or no more, the page remembers all the same and says so once for each kind', () => {
  for (const storage of [null, fullStorage()]) {
    const told = [];
    const store = new Store(storage, null, { troubled: (what) => told.push(what) });
    store.name = 'ada';
    store.lang = 'zh';
    store.keep('ada', 'key-a');
    store.keep('bob', 'key-b');
    store.addRoom('tea');
    store.read('ada', LOBBY, { epoch: 7, seq: 5 });
    store.now();
    assert.deepEqual(told, ['other', 'key']);
    assert.deepEqual([store.name, store.lang, store.key('ada'), store.rooms()], ['ada', 'zh', 'key-a', ['tea']]);
    assert.deepEqual(store.readUpTo('ada', LOBBY), { epoch: 7, seq: 5 });
    store.removeRoom('tea');
    assert.deepEqual(store.rooms(), []);
  }
});

test('for a key that does not fit, positions make room; if that is not enough the tab keeps it, and it is told', () => {
  const shared = fakeStorage();
  const told = [];
  let most = Infinity;
  const { setItem } = shared;
  shared.setItem = (key, value) => {
    if (shared.length >= most && shared.getItem(key) === null) throw new DOMException('full', 'QuotaExceededError');
    setItem(key, value);
  };
  const tab = fakeStorage();
  const store = new Store(shared, tab, { troubled: (what) => told.push(what) });
  store.read('ada', LOBBY, { epoch: 7, seq: 5 });
  store.now();
  most = shared.length;
  store.keep('ada', 'key-a');
  assert.deepEqual([new Store(shared).key('ada'), told], ['key-a', []]);
  store.keep('bob', 'key-b');
  assert.deepEqual([new Store(shared, tab).key('bob'), new Store(shared).key('bob'), told], ['key-b', null, ['key']]);
});

test('keys are not thrown away for newer ones', () => {
  const store = new Store(fakeStorage());
  for (let n = 0; n < 500; n += 1) store.keep(`name-${n}`, `key-${n}`);
  assert.equal(store.key('name-0'), 'key-0');
});

test('positions and sessions are bounded, and the newest stay', () => {
  const storage = fakeStorage();
  let at = 0;
  const store = new Store(storage, null, { clock: () => (at += 1) });
  for (let n = 0; n < 1_000; n += 1) {
    store.read('ada', { id: `room:${n}` }, { epoch: 1, seq: 1 });
    store.session(`tag-${n}`, 'ada');
    store.now();
  }
  assert.ok(storage.length < 600, `${storage.length} entries`);
  assert.ok(store.isSession('tag-999', 'ada') && !store.isSession('tag-0', 'ada'));
  assert.deepEqual([store.readUpTo('ada', { id: 'room:999' }), store.readUpTo('ada', { id: 'room:0' })], [{ epoch: 1, seq: 1 }, null]);
});

test('what a page before this one kept is taken over, and again when one that is still open changes it', () => {
  const shared = fakeStorage();
  shared.setItem('plaza.v1', '{"name":"ada","lang":"zh","keys":{"ada":"key-a","__proto__":"key-p"},"rooms":["lobby","tea"],"peers":{"bob":{"epoch":3,"seq":4}},"read":{"room:tea":{"epoch":1,"seq":2}},"sessions":["aaaa"],"active":"room:tea"}');
  const store = new Store(shared, fakeStorage());
  assert.deepEqual([store.name, store.lang, store.active, store.rooms()], ['ada', 'zh', 'room:tea', ['lobby', 'tea']]);
  assert.deepEqual([store.key('ada'), store.key('__proto__'), store.isSession('aaaa', 'ada')], ['key-a', 'key-p', true]);
  assert.deepEqual([store.peers('ada'), store.readUpTo('ada', { id: 'room:tea' })], [[['bob', { epoch: 3, seq: 4 }]], { epoch: 1, seq: 2 }]);
  store.name = 'countess';
  store.removeRoom('lobby');
  assert.deepEqual([new Store(shared).name, new Store(shared).rooms()], ['countess', ['tea']]);
  shared.setItem('plaza.v1', '{"name":"eve","keys":{"ada":"another","eve":"key-e"}}');
  const later = new Store(shared);
  assert.deepEqual([later.name, later.key('ada'), later.key('eve')], ['eve', 'key-a', 'key-e']);
});

test('a damaged store is passed over', () => {
  for (const kept of ['nonsense', 'null', '7', '{"rooms":7,"keys":[],"name":{},"peers":null,"read":{"x":7},"sessions":{}}']) {
    const shared = fakeStorage();
    shared.setItem('plaza.v1', kept);
    shared.setItem('plaza.v2.peer.ada.bob', kept);
    const tab = fakeStorage();
    tab.setItem('plaza.v2.unsent', kept);
    const store = new Store(shared, tab);
    assert.deepEqual([store.rooms(), store.name, store.peers('ada'), store.unsent()], [[], null, [], []]);
  }
});

test('entries that name nobody, and unsent messages without a time, are passed over', () => {
  const [shared, tab] = [fakeStorage(), fakeStorage()];
  const place = { epoch: 1, seq: 1 };
  shared.setItem('plaza.v2.room.', '3');
  shared.setItem('plaza.v2.peer.ada.', JSON.stringify(place));
  const message = { kind: 'room', name: 'lobby', from: 'ada', key: 'k', text: 'x' };
  tab.setItem('plaza.v2.unsent', JSON.stringify([message, { ...message, at: 1e300 }, { ...message, at: 5, name: '' }, { ...message, at: 5 }]));
  const store = new Store(shared, tab);
  assert.deepEqual([store.rooms(), store.peers('ada'), store.unsent()], [[], [], [{ ...message, at: 5 }]]);
});

test('a tab is one client to the server, over reloads and renames, and where nothing can be kept', () => {
  const tab = fakeStorage();
  const make = () => 'ab'.repeat(16);
  const never = () => assert.fail('made again');
  const store = new Store(fakeStorage(), tab);
  assert.equal(store.client(make), make());
  store.name = 'eve';
  assert.equal(new Store(null, tab).client(never), make());
  const blocked = new Store(null, null);
  blocked.client(make);
  assert.equal(blocked.client(never), make());
});
