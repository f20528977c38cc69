// Makes the first bytes of pictures, and one whole picture: a small PNG of one colour, in any size.

import zlib from 'node:zlib';

const { crc32, deflateSync } = zlib;

const text = (letters) => [...letters].map((letter) => letter.charCodeAt(0));
const be32 = (n) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
const be16 = (n) => [(n >>> 8) & 255, n & 255];
const le16 = (n) => [n & 255, (n >>> 8) & 255];
const le32 = (n) => [...le16(n & 0xffff), ...le16(n >>> 16)];

export function address(bytes, type = 'png') {
  return `data:image/${type};base64,${Buffer.from(bytes).toString('base64')}`;
}

export function png(width, height, chunks = []) {
  const chunk = (name, data) => [...be32(data.length), ...text(name), ...data, 0, 0, 0, 0];
  return Uint8Array.from([
    ...text('\x89PNG\r\n\x1a\n'), ...chunk('IHDR', [...be32(width), ...be32(height), 8, 2, 0, 0, 0]),
    ...chunks.flatMap((name) => chunk(name, be32(1))), ...chunk('IDAT', []),
  ]);
}

/** A valid PNG: black, one bit per pixel. */
export function wholePng(width, height) {
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
    return Buffer.concat([Buffer.from(be32(data.length)), body, Buffer.from(be32(sum(body)))]);
  };
  const rows = Buffer.alloc(height * (1 + Math.ceil(width / 8)));
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', Buffer.from([...be32(width), ...be32(height), 1, 0, 0, 0, 0])),
    chunk('IDAT', deflateSync(rows, { level: 9 })), chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** Node 18 has no crc32. */
function sum(bytes) {
  if (crc32) return crc32(bytes);
  let rest = 0xffffffff;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  }
  return ~rest >>> 0;
}

export function gif([[width, height]], { frames = [[width, height, 0, 0]] } = {}) {
  const frame = ([w, h, left, top]) => [0x2c, ...le16(left), ...le16(top), ...le16(w), ...le16(h), 0, 2, 1, 0, 0];
  return Uint8Array.from([...text('GIF89a'), ...le16(width), ...le16(height), 0x80, 0, 0, 0, 0, 0, 255, 255, 255, 0x21, 0xf9, 4, 0, 0, 0, 0, 0, ...frames.flatMap(frame), 0x3b]);
}

export function jpeg(width, height, more = []) {
  const frame = ([w, h], marker = 0xc0) => [0xff, marker, ...be16(11), 8, ...be16(h), ...be16(w), 1, 1, 0x11, 0];
  return Uint8Array.from([0xff, 0xd8, 0xff, 0xe0, ...be16(4), 0, 0, 0xff, 0xff, 0xc4, ...be16(3), 0, ...frame([width, height]), ...more.flatMap((each) => frame(each, 0xc2)), 0xff, 0xda]);
}

export function webp(kind, width, height, more = [], flags = 0) {
  const body = {
    'VP8 ': () => [0, 0, 0, 0x9d, 1, 0x2a, ...le16(width), ...le16(height)],
    VP8L: () => [0x2f, ...le32(((width - 1) | ((height - 1) << 14)) >>> 0), 0],
    VP8X: () => [flags, 0, 0, 0, ...le32(width - 1).slice(0, 3), ...le32(height - 1).slice(0, 3)],
  }[kind]();
  return Uint8Array.from([...text('RIFF'), ...le32(0), ...text('WEBP'), ...text(kind), ...le32(body.length), ...body, ...more]);
}

/** @param sizes the sizes in the boxes  @param coded those in the pictures themselves  @param items the items in the table, if others */
export function avif(sizes, coded = sizes, { items = null, version = 0 } = {}) {
  const box = (name, data) => [...be32(data.length + 8), ...text(name), ...data];
  const start = box('ftyp', text('avif'));
  const properties = box('iprp', box('ipco', sizes.flatMap(([width, height]) => box('ispe', [0, 0, 0, 0, ...be32(width), ...be32(height)]))));
  const pictures = coded.map(([width, height, bits]) => sequenceHeader(width, height, bits));
  const table = (from) => {
    let at = from;
    const entry = (picture, n) => {
      at += picture.length;
      return [...be16(n), ...be16(0), ...be16(1), ...be32(at - picture.length), ...be32(picture.length)];
    };
    const entries = items ?? [...be16(pictures.length), ...pictures.flatMap(entry)];
    return box('meta', [0, 0, 0, 0, ...properties, ...box('iloc', [version, 0, 0, 0, 0x44, 0, ...entries])]);
  };
  const data = start.length + table(0).length + 8;
  return Uint8Array.from([...start, ...table(data), ...box('mdat', pictures.flat())]);
}

/** A temporal delimiter and the header of a still AV1 picture. */
function sequenceHeader(width, height, bits = 0) {
  const least = (n) => Math.max(bits, (n - 1).toString(2).length);
  const field = (n, count) => n.toString(2).padStart(count, '0');
  const all = `00011${field(0, 5)}${field(least(width) - 1, 4)}${field(least(height) - 1, 4)}${field(width - 1, least(width))}${field(height - 1, least(height))}1`;
  const bytes = all.padEnd(Math.ceil(all.length / 8) * 8, '0').match(/.{8}/g).map((byte) => parseInt(byte, 2));
  return [0x12, 0, 0x0a, bytes.length, ...bytes];
}

export function bmp(width, height) {
  return Uint8Array.from([...text('BM'), ...new Array(12).fill(0), ...le32(40), ...le32(width >>> 0), ...le32(height >>> 0), 1, 0]);
}
