import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode } from '../communication/codec.js';

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const empty = { Type: '', Msg: '', Username: '', Userlist: [], IP: '' };

// Written by hand from the protobuf encoding: key, length, bytes, in the order of the field numbers.
const GOLDEN = [
  [{ Type: '1', Msg: 'tom:hi', Username: 'tom' }, '0a01311206746f6d3a68691a03746f6d'],
  [{ Type: '3', Msg: 'a,b,', Userlist: ['a', 'b'] }, '0a01331204612c622c220161220162'],
  [{ Type: '1', Msg: '张三:你好', Username: '张三', IP: '::1' }, '0a0131120de5bca0e4b8893ae4bda0e5a5bd1a06e5bca0e4b8892a033a3a31'],
  [{ Userlist: ['', 'x'] }, '2200220178'],
  [{}, ''],
];

test('messages are the golden bytes, both ways', () => {
  for (const [message, bytes] of GOLDEN) {
    assert.equal(hex(encode(message)), bytes);
    assert.deepEqual(decode(Buffer.from(bytes, 'hex')), { ...empty, ...message });
  }
});

test('a text of more than 127 bytes has a length of two bytes', () => {
  const Msg = '好'.repeat(100);
  const bytes = encode({ Msg });
  assert.equal(hex(bytes.subarray(0, 3)), '12ac02');
  assert.equal(decode(bytes).Msg, Msg);
});

test('unknown fields of every wire type are skipped, and the last of a field counts', () => {
  const bytes = '3a0178' + '30ffffffffffffffffff01' + '390000000000000000' + '3d00000000' + '120161' + '120162';
  assert.deepEqual(decode(Buffer.from(bytes, 'hex')), { ...empty, Msg: 'b' });
});

test('every message cut short is refused or is a whole shorter message, never half a field', () => {
  const whole = Buffer.from(GOLDEN[2][1], 'hex');
  const ends = new Set([0, 3, 18, 26, 31]);
  for (let length = 0; length < whole.length; length += 1) {
    const part = whole.subarray(0, length);
    if (ends.has(length)) assert.deepEqual(decode(encode(decode(part))), decode(part));
    else assert.throws(() => decode(part), RangeError);
  }
});

test('nonsense is refused with a reason', () => {
  for (const bytes of ['00', '0b', '0aff', '0affffffffffffffffffff01', '0affffffff0f', '0a02c328']) {
    assert.throws(() => decode(Buffer.from(bytes, 'hex')), (error) => error.message.length > 0);
  }
});
