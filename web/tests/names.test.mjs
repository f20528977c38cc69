// Names as users type and see them, and texts cut at grapheme boundaries.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cut, firstGrapheme, from } from '../graphemes.js';
import { initial, typedRoom } from '../names.js';

test('what people type for one room leads to one room', () => {
  for (const typed of ['tea', 'Tea', ' TEA ', '#tea', '##Tea', '# tea', 'ｔｅａ', '＃Ｔｅａ']) {
    assert.equal(typedRoom(typed), 'tea', typed);
  }
  assert.equal(typedRoom('Café'), typedRoom('CAFE\u0301'));
  assert.equal(typedRoom('İstanbul'), typedRoom(typedRoom('İstanbul')));
  assert.equal(typedRoom('聊天　室'), '聊天 室');
  assert.equal(typedRoom('C#'), 'c#');
  for (const nothing of ['', ' ', '#', '＃ ']) assert.equal(typedRoom(nothing), '');
});

const CLUSTERS = ['🇨🇳', '👨‍👩‍👧‍👦', '👍🏽', '🏴󠁧󠁢󠁳󠁣󠁴󠁿', '❤️', '1️⃣', 'é', 'ญี', '각', '葛󠄀', '🧑🏿‍🚀', '张', '🏳️‍🌈'];

test('an avatar shows a whole character, with and without the browser’s help', () => {
  for (const cluster of CLUSTERS) {
    assert.equal(firstGrapheme(`${cluster}x`), cluster);
    assert.equal(firstGrapheme(`${cluster}x`, null), cluster, `${cluster} without a segmenter`);
  }
  assert.equal(firstGrapheme('🇨🇳🇩🇪', null), '🇨🇳');
  assert.deepEqual([initial(' ada '), initial(''), initial('  '), initial('🇨🇳 Li')], ['A', '?', '?', '🇨🇳']);
  assert.ok(firstGrapheme(`a${'\u0301'.repeat(1_000)}`).length <= 64);
});

test('a text is cut between characters, and never inside of one', () => {
  for (const segments of [undefined, null]) {
    for (const cluster of CLUSTERS) {
      const text = `${cluster.repeat(40)}`;
      for (let most = 0; most < 3 * cluster.length; most += 1) {
        const whole = Math.floor(most / cluster.length) * cluster.length;
        if (whole === 0) continue;
        assert.equal(cut(text, most, segments), text.slice(0, whole), `${cluster} at ${most}`);
      }
    }
    assert.equal(cut('short', 10, segments), 'short');
    assert.ok(!/[\ud800-\udbff]$/.test(cut(`x${'😀'.repeat(2_000)}`, 1_500, segments)));
  }
  assert.equal(from('a😀b', 2), 'b');
  assert.equal(from('a😀b', 1), '😀b');
});
