// The size of a picture, from its first bytes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEncodedPicture, objection, pictureSize, PIXELS_MAX, SIDE_MAX } from '../images.js';
import { address, avif, bmp, gif, jpeg, png, webp } from './pictures.mjs';

const size = (bytes, type = 'png') => pictureSize(address(bytes, type));

test('the declared size of every format is read', () => {
  const found = { width: 640, height: 480, moves: false };
  assert.deepEqual(size(png(640, 480)), found);
  assert.deepEqual(size(jpeg(640, 480), 'jpeg'), found);
  assert.deepEqual(size(gif([[640, 480]]), 'gif'), found);
  for (const kind of ['VP8 ', 'VP8L', 'VP8X']) assert.deepEqual(size(webp(kind, 640, 480), 'webp'), found, kind);
  assert.deepEqual(size(avif([[640, 480]]), 'avif'), found);
  assert.deepEqual(size(bmp(640, -480), 'bmp'), found);
});

test('of several declared sizes the largest counts', () => {
  assert.deepEqual(size(gif([[10, 10]], { frames: [[20_000, 5, 3, 4]] }), 'gif'), { width: 20_003, height: 10, moves: false });
  assert.equal(size(jpeg(10, 10, [[30_000, 20]]), 'jpeg').width, 30_000);
  assert.equal(size(avif([[10, 10], [9_000, 8_000]]), 'avif').height, 8_000);
  assert.equal(size(webp('VP8X', 10, 10, webp('VP8 ', 9_000, 20).subarray(12)), 'webp').width, 9_000);
});

test('an AVIF is as large as its coded picture says, and not shown where that cannot be found', () => {
  assert.deepEqual(size(avif([[100, 100]], [[12_000, 9_000]]), 'avif'), { width: 12_000, height: 9_000, moves: false });
  assert.equal(size(avif([[100, 100]], [[100, 100], [20, 16_000]]), 'avif').height, 16_000);
  // A frame may be as large as the bits of its size allow.
  assert.equal(size(avif([[100, 100]], [[100, 100, 16]]), 'avif').width, 65_536);
  const nowhere = [0, 1, 0, 1, 0, 0, 0, 0];
  const inParts = [0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1];
  const inTheTable = [0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 9];
  for (const items of [[0, 0], nowhere, inParts]) assert.equal(size(avif([[100, 100]], [[100, 100]], { items }), 'avif'), null);
  assert.equal(size(avif([[100, 100]], [[100, 100]], { items: inTheTable, version: 1 }), 'avif'), null);
});

test('a picture that moves says so', () => {
  assert.equal(size(gif([[10, 10]], { frames: [[10, 10, 0, 0], [10, 10, 0, 0]] }), 'gif').moves, true);
  assert.equal(size(png(10, 10, ['acTL'])).moves, true);
  assert.equal(size(webp('VP8X', 10, 10, undefined, 2), 'webp').moves, true);
});

test('it is the bytes that count, and not what the address calls them', () => {
  assert.deepEqual(size(png(19_800, 19_800), 'jpeg'), { width: 19_800, height: 19_800, moves: false });
  assert.deepEqual(pictureSize(`  data:image/PNG;base64,${address(png(7, 8)).split(',')[1].replace(/(.{10})/g, '$1\n')} `), { width: 7, height: 8, moves: false });
});

test('what cannot be read is not shown: SVG, other things, and every picture that is cut off', () => {
  for (const other of ['data:image/svg+xml;base64,PHN2Zy8+', 'data:image/svg+xml,<svg/>', 'data:text/html;base64,AAAA', 'data:image/png;base64,', 'data:image/png;base64,####', 'data:image/x-icon;base64,AAAA', 'https://example.com/a.png', '']) {
    assert.equal(pictureSize(other), null, other);
  }
  for (const whole of [png(640, 480), jpeg(640, 480), gif([[640, 480]]), webp('VP8X', 640, 480), webp('VP8L', 640, 480), avif([[640, 480]]), bmp(640, 480)]) {
    for (let length = 0; length < whole.length; length += 1) {
      const found = size(whole.subarray(0, length));
      assert.ok(found === null || (found.width <= 640 && found.height <= 480), `${length} of ${whole.length} bytes`);
    }
  }
  assert.deepEqual([isEncodedPicture('data:image/svg+xml,<svg/>'), isEncodedPicture(' data:image/png;base64,AA'), isEncodedPicture('data: see below')], [true, true, false]);
});

test('no header makes reading it take long', () => {
  const many = [1, 0, ...Array.from({ length: 256 }, () => [0, 1, 0, 0, 0, 1, 0, 0, 15, 0, 0, 0, 0, 0]).flat()];
  for (const start of [png(1, 1), gif([[1, 1]]), jpeg(1, 1), webp('VP8X', 1, 1), avif([[2, 2]]), avif([[2, 2]], [[2, 2]], { items: many })]) {
    for (const fill of [0, 0x02, 0x2c, 0x21, 0x69, 0xff]) {
      const bytes = new Uint8Array(48_000).fill(fill);
      bytes.set(start);
      const began = performance.now();
      size(bytes);
      assert.ok(performance.now() - began < 500);
    }
  }
});

test('what is too large to decode is refused, sides and moving pictures too', () => {
  const still = (width, height) => objection({ width, height, moves: false });
  assert.deepEqual([still(4_000, 4_000), still(19_800, 19_800), still(SIDE_MAX + 1, 1), still(0, 5)], [null, 'large', 'large', 'unknown']);
  assert.equal(still(PIXELS_MAX / 1_000 + 1, 1_000), 'large');
  assert.deepEqual([objection({ width: 1_000, height: 1_000, moves: true }), objection({ width: 2_000, height: 1_000, moves: true }), objection(null)], [null, 'moving', 'unknown']);
});
