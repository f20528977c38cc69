// The size of an encoded picture, and whether it moves, before it is decoded. Pure.
//
// Invariants: reads only the given bytes, in one pass; the largest of several declared sizes counts; the answer for anything else is
// `null`, and the page does not show it. Sources: PNG 3rd edition, GIF89a, ITU T.81, RFC 9649 (WebP), ISO 23008-12 (AVIF), BMP.

import { codedSize } from './avif.js';

/** Longest side, and most pixels of one picture: four bytes each when decoded, 64 MiB for the largest. */
export const SIDE_MAX = 16_384;
export const PIXELS_MAX = 16_000_000;
/** Most pixels of a moving picture, which the browser decodes again for each frame. */
export const MOVING_PIXELS_MAX = 1_000_000;
/** Most bytes of a picture that are read. The longest message has 64 KiB. */
const BYTES_MAX = 256 * 1024;

const DATA_ADDRESS = /^data:image\/(png|jpeg|jpg|gif|webp|avif|bmp);base64,([a-z0-9+/\s]+=*\s*)$/iu;
const ANY_PICTURE = /^data:image\/[a-z0-9.+-]+[;,]/iu;

/** Whether a text is an encoded picture, in any format. */
export function isEncodedPicture(text) {
  return ANY_PICTURE.test(text.trimStart().slice(0, 100));
}

/** `{width, height, moves}` of an encoded picture (`data:image/…;base64,…`), or `null` if it cannot be determined. */
export function pictureSize(address) {
  const match = DATA_ADDRESS.exec(address.trim());
  if (!match) return null;
  let bytes;
  try {
    const binary = atob(match[2].replace(/\s/gu, '').slice(0, Math.ceil(BYTES_MAX / 3) * 4));
    bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
  try {
    return sizeOf(bytes);
  } catch (wrong) {
    // The picture ends inside its header.
    if (wrong instanceof RangeError) return null;
    throw wrong;
  }
}

/** Why the page does not show a picture of this size: `large`, `moving`, `unknown`; `null` if it does. */
export function objection(size) {
  if (size === null || size.width < 1 || size.height < 1) return 'unknown';
  const pixels = size.width * size.height;
  if (pixels > PIXELS_MAX || size.width > SIDE_MAX || size.height > SIDE_MAX) return 'large';
  return size.moves && pixels > MOVING_PIXELS_MAX ? 'moving' : null;
}

/** Decides by the first bytes, as a browser does; the type in the address proves nothing. */
function sizeOf(bytes) {
  const view = new DataView(bytes.buffer);
  const text = (at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
  if (text(0, 8) === '\x89PNG\r\n\x1a\n') return png(view, text);
  if (text(0, 4) === 'GIF8') return gif(view);
  if (view.getUint16(0) === 0xffd8) return jpeg(view);
  if (text(0, 4) === 'RIFF' && text(8, 4) === 'WEBP') return webp(view, text);
  if (text(4, 4) === 'ftyp') return avif(view, text);
  if (text(0, 2) === 'BM') return bmp(view);
  return null;
}

function png(view, text) {
  if (text(12, 4) !== 'IHDR') return null;
  const size = { width: view.getUint32(16), height: view.getUint32(20), moves: false };
  for (let at = 8; at + 8 <= view.byteLength; at += 12 + view.getUint32(at)) {
    const chunk = text(at + 4, 4);
    // Each frame is within the picture.
    if (chunk === 'acTL') size.moves = true;
    if (chunk === 'IDAT') break;
  }
  return size;
}

function gif(view) {
  const size = { width: view.getUint16(6, true), height: view.getUint16(8, true), moves: false };
  const table = (flags) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  const skipBlocks = (at) => {
    while (at < view.byteLength && view.getUint8(at) !== 0) at += 1 + view.getUint8(at);
    return at + 1;
  };
  let frames = 0;
  for (let at = 13 + table(view.getUint8(10)); at + 10 <= view.byteLength; ) {
    const block = view.getUint8(at);
    if (block === 0x21) {
      at = skipBlocks(at + 2);
    } else if (block === 0x2c) {
      // A frame may extend beyond the picture, which then grows.
      size.width = Math.max(size.width, view.getUint16(at + 1, true) + view.getUint16(at + 5, true));
      size.height = Math.max(size.height, view.getUint16(at + 3, true) + view.getUint16(at + 7, true));
      frames += 1;
      at = skipBlocks(at + 11 + table(view.getUint8(at + 9)));
    } else {
      break;
    }
  }
  size.moves = frames > 1;
  return frames > 0 ? size : null;
}

function jpeg(view) {
  let size = null;
  for (let at = 2; at + 9 <= view.byteLength; ) {
    if (view.getUint8(at) !== 0xff) return size;
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at += 1; // fill byte
      continue;
    }
    // Frame headers are C0 to CF without the tables C4 (Huffman), C8 (reserved) and CC (arithmetic).
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      size = larger(size, { width: view.getUint16(at + 7), height: view.getUint16(at + 5), moves: false });
    }
    if (marker === 0xda || marker === 0xd9) return size;
    at += 2 + (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8) ? 0 : view.getUint16(at + 2));
  }
  return size;
}

function webp(view, text) {
  let size = null;
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const [chunk, length] = [text(at, 4), view.getUint32(at + 4, true)];
    const data = at + 8;
    if (chunk === 'VP8X') {
      const side = (from) => 1 + (view.getUint16(from, true) | (view.getUint8(from + 2) << 16));
      size = larger(size, { width: side(data + 4), height: side(data + 7), moves: (view.getUint8(data) & 2) !== 0 });
    } else if (chunk === 'VP8 ') {
      size = larger(size, { width: view.getUint16(data + 6, true) & 0x3fff, height: view.getUint16(data + 8, true) & 0x3fff, moves: false });
    } else if (chunk === 'VP8L') {
      const bits = view.getUint32(data + 1, true);
      size = larger(size, { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff), moves: false });
    } else if (chunk === 'ANIM' || chunk === 'ANMF') {
      size = larger(size, { width: 0, height: 0, moves: true });
    }
    at = data + length + (length % 2);
  }
  return size;
}

// Every item of the file (picture, tile, thumbnail, mask, grid) declares its size in an `ispe` box and in its coded picture. The search
// finds the boxes by name anywhere, because a file could lead a nested parser past one.
function avif(view, text) {
  const coded = codedSize(view, text);
  if (coded === null) return null;
  let size = { ...coded, moves: false };
  for (let at = 4; at + 16 <= view.byteLength; at += 1) {
    if (view.getUint8(at) !== 0x69 || text(at, 4) !== 'ispe') continue;
    size = larger(size, { width: view.getUint32(at + 8), height: view.getUint32(at + 12), moves: false });
  }
  return size;
}

function bmp(view) {
  if (view.getUint32(14, true) === 12) return { width: view.getUint16(18, true), height: view.getUint16(20, true), moves: false };
  return { width: Math.abs(view.getInt32(18, true)), height: Math.abs(view.getInt32(22, true)), moves: false };
}

function larger(one, other) {
  if (one === null) return other;
  return { width: Math.max(one.width, other.width), height: Math.max(one.height, other.height), moves: one.moves || other.moves };
}
