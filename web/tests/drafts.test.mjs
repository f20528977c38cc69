import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DRAFT_CHARACTERS, Drafts, DRAFTS_MAX } from '../drafts.js';
import { fakeStorage } from './fakes.mjs';

const room = (n) => ({ id: `room:${n}` });

/** The drafts after a reload of the tab. */
const found = (tab, n) => new Drafts(tab).of(room(n));

test('the drafts written last are kept, each up to a length', () => {
  const tab = fakeStorage();
  const drafts = new Drafts(tab);
  for (let n = 0; n <= DRAFTS_MAX; n += 1) drafts.write(room(n), `draft ${n}`);
  drafts.write(room(1), 'x'.repeat(DRAFT_CHARACTERS + 1));
  drafts.now();
  assert.deepEqual([found(tab, 0), found(tab, 2), found(tab, DRAFTS_MAX)], ['', 'draft 2', `draft ${DRAFTS_MAX}`]);
  assert.equal(found(tab, 1).length, DRAFT_CHARACTERS);
});

test('an emptied draft is forgotten at once', () => {
  const tab = fakeStorage();
  const drafts = new Drafts(tab);
  drafts.write(room(1), 'sent');
  drafts.now();
  drafts.write(room(1), ' ');
  assert.equal(found(tab, 1), '');
});

test('where the storage is full the oldest drafts give way, and nothing old is left behind', () => {
  const tab = fakeStorage();
  const { setItem } = tab;
  let most = Infinity;
  tab.setItem = (key, value) => {
    if (value.length > most) throw new DOMException('full', 'QuotaExceededError');
    setItem(key, value);
  };
  const drafts = new Drafts(tab);
  drafts.write(room(1), 'old');
  drafts.now();
  most = 40;
  drafts.write(room(2), 'x'.repeat(20));
  drafts.now();
  assert.deepEqual([found(tab, 1), found(tab, 2)], ['', 'x'.repeat(20)]);
  most = 0;
  drafts.write(room(2), 'y');
  drafts.now();
  assert.deepEqual([found(tab, 2), drafts.of(room(1)), drafts.of(room(2))], ['', 'old', 'y']);
});

test('a storage that is forbidden or damaged is passed over', () => {
  for (const tab of [null, { getItem: () => '{"room:1":7}' }, { getItem: () => '[7,["room:1",8]]' }]) {
    const drafts = new Drafts(tab);
    drafts.write(room(1), 'here');
    drafts.now();
    assert.equal(drafts.of(room(1)), 'here');
  }
});
