// The size of the pictures in an AVIF file, as a decoder will read it. Pure.
//
// The boxes around the pictures also have a size (`ispe`), but a decoder allocates what the pictures themselves declare, and a box may lie.
// Invariant: the answer is `null` wherever a decoder could read another size. Sources: ISO 14496-12 (iloc), AV1 5.3 and 5.5.

const SEQUENCE_HEADER = 1;
/** Most items: a tiled picture has one per tile, and others for transparency. More would take long to read. */
const ITEMS_MAX = 256;

/** `{width, height}` of the largest picture, or `null` if it cannot be determined. */
export function codedSize(view, text) {
  const [box, ...others] = placesOf(view, text, 'iloc');
  // A moving picture has its frames elsewhere, and with two tables it is unclear which one counts.
  if (box === undefined || others.length > 0 || placesOf(view, text, 'moov').length > 0) return null;
  let size = null;
  for (const [from, to] of extents(view, box) ?? []) {
    for (const found of sequences(view, from, to)) {
      if (found === null) return null;
      size = { width: Math.max(size?.width ?? 0, found.width), height: Math.max(size?.height ?? 0, found.height) };
    }
  }
  return size;
}

function placesOf(view, text, name) {
  const found = [];
  for (let at = 4; at + 4 <= view.byteLength; at += 1) if (view.getUint8(at) === name.charCodeAt(0) && text(at, 4) === name) found.push(at);
  return found;
}

/** The range of each item's data, or `null` if an item is in parts or outside of the file. */
function extents(view, box) {
  let at = box + 4;
  const number = (bytes) => {
    let value = 0;
    for (let n = 0; n < bytes; n += 1) value = value * 256 + view.getUint8(at++);
    return value;
  };
  const version = number(1);
  number(3);
  const sizes = number(2);
  const [offset, length, base, index] = [sizes >> 12, (sizes >> 8) & 15, (sizes >> 4) & 15, version > 0 ? sizes & 15 : 0];
  if (version > 2 || index > 0) return null;
  const found = [];
  let items = number(version < 2 ? 2 : 4);
  if (items > ITEMS_MAX) return null;
  for (; items > 0; items -= 1) {
    number(version < 2 ? 2 : 4);
    if (version > 0 && (number(2) & 15) !== 0) return null;
    if (number(2) !== 0) return null;
    const start = number(base);
    if (number(2) !== 1) return null;
    const from = start + number(offset);
    const bytes = number(length);
    found.push([from, bytes === 0 ? view.byteLength : Math.min(view.byteLength, from + bytes)]);
  }
  return found;
}

/** The sizes in the sequence headers of one item; `null` for a header that this parser does not understand. */
function* sequences(view, from, to) {
  for (let at = from; at < to; ) {
    const head = view.getUint8(at++);
    const [kind, extended, sized] = [(head >> 3) & 15, head & 4, head & 2];
    if (head & 0x80) return;
    if (extended) at += 1;
    let end = to;
    if (sized) {
      let length = 0;
      for (let n = 0; n < 8; n += 1) {
        const byte = view.getUint8(at++);
        length += (byte & 127) * 128 ** n;
        if (byte < 128) break;
      }
      end = at + length;
    }
    if (kind === SEQUENCE_HEADER) yield sequence(view, at);
    at = end;
  }
}

function sequence(view, at) {
  let place = at * 8;
  const bits = (count) => {
    let value = 0;
    for (let n = 0; n < count; n += 1, place += 1) value = value * 2 + ((view.getUint8(place >> 3) >> (7 - (place & 7))) & 1);
    return value;
  };
  bits(4); // profile, still picture
  if (bits(1)) {
    bits(5); // level
  } else {
    // Only films have timing and delays.
    if (bits(1) || bits(1)) return null;
    for (let points = bits(5); points >= 0; points -= 1) {
      bits(12);
      if (bits(5) > 7) bits(1);
    }
  }
  const [across, down] = [bits(4) + 1, bits(4) + 1];
  // A frame may declare another size, in this number of bits. Encoders use no more bits than they need.
  const most = (count) => {
    const said = bits(count) + 1;
    return 2 ** (count - 1) > said ? 2 ** count : said;
  };
  return { width: most(across), height: most(down) };
}
