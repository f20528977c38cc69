// A hand-written codec for the protobuf message `Communication` of document 000: five fields, all of them strings.
//
// On the wire a field is a key (number × 8 + wire type, as a varint) and, for strings, a length and UTF-8 bytes. The codec skips unknown
// fields. A truncated message or a wrong length is an error, never half a message.

const FIELDS = [null, 'Type', 'Msg', 'Username', 'Userlist', 'IP'];
const REPEATED = 'Userlist';
const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;
/** A varint of 64 bits takes at most this many bytes. */
const VARINT_BYTES = 10;

/** The bytes of a message; absent and empty fields take none. */
export function encode(message) {
  const parts = [];
  let size = 0;
  const push = (bytes) => {
    parts.push(bytes);
    size += bytes.length;
  };
  FIELDS.forEach((name, number) => {
    if (name === null) return;
    const value = message[name] ?? '';
    for (const text of name === REPEATED ? value || [] : value === '' ? [] : [value]) {
      const bytes = new TextEncoder().encode(text);
      push(varint(number * 8 + LENGTH));
      push(varint(bytes.length));
      push(bytes);
    }
  });
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The message in these bytes (`Uint8Array`). Throws a `RangeError` that says what is wrong. */
export function decode(bytes) {
  const message = { Type: '', Msg: '', Username: '', Userlist: [], IP: '' };
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  const reader = { bytes, at: 0 };
  while (reader.at < bytes.length) {
    const key = readVarint(reader);
    const number = Math.floor(key / 8);
    if (number === 0) throw new RangeError('a field with the number 0');
    const name = number < FIELDS.length ? FIELDS[number] : null;
    if (key % 8 !== LENGTH) {
      skip(reader, key % 8);
      continue;
    }
    const chunk = take(reader, readVarint(reader));
    if (name === null) continue;
    const text = utf8.decode(chunk);
    if (name === REPEATED) message.Userlist.push(text);
    else message[name] = text;
  }
  return message;
}

function varint(value) {
  const bytes = [];
  while (value > 127) {
    bytes.push((value % 128) + 128);
    value = Math.floor(value / 128);
  }
  return Uint8Array.from([...bytes, value]);
}

// Exact below 2^53, far above any key or length; larger values are only skipped.
function readVarint(reader) {
  let value = 0;
  for (let i = 0; i < VARINT_BYTES; i += 1) {
    if (reader.at >= reader.bytes.length) throw new RangeError('the message ends inside a number');
    const byte = reader.bytes[reader.at++];
    value += (byte % 128) * 128 ** i;
    if (byte < 128) return value;
  }
  throw new RangeError(`a number of more than ${VARINT_BYTES} bytes`);
}

function take(reader, length) {
  const left = reader.bytes.length - reader.at;
  if (length > left) throw new RangeError(`a field of ${length} bytes where ${left} are left`);
  reader.at += length;
  return reader.bytes.subarray(reader.at - length, reader.at);
}

function skip(reader, type) {
  if (type === VARINT) readVarint(reader);
  else if (type === FIXED64) take(reader, 8);
  else if (type === FIXED32) take(reader, 4);
  else throw new RangeError(`wire type ${type}`);
}
