// Names as users type and see them. Pure.

import { firstGrapheme } from './graphemes.js';

/**
 * The room that a user means by this text: `Tea`, `#tea` and `ｔｅａ` are one room. Links and lists name a room exactly, so that rooms
 * with another spelling stay reachable.
 */
export function typedRoom(text) {
  const folded = text.normalize('NFKC').trim().replace(/^#+\s*/u, '');
  // The lower case of `İ` has a combining dot, hence the second normalisation.
  return folded.toLowerCase().normalize('NFKC').replace(/\s+/gu, ' ').trim();
}

/** One of twelve hues, always the same for a name. */
export function hue(name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return hash % 12;
}

/** The first grapheme of a name. */
export function initial(name) {
  return (firstGrapheme(name.trim()) || '?').toLocaleUpperCase();
}
