// Names as people type and see them. Pure.

import { firstGrapheme } from './graphemes.js';

/**
 * The room that somebody means who types this: `Tea`, `#tea` and `ｔｅａ` are one room. Links and lists name a room exactly,
 * so that a room with another spelling stays within reach.
 */
export function typedRoom(text) {
  const folded = text.normalize('NFKC').trim().replace(/^#+\s*/u, '');
  // The lower case of `İ` has a combining dot, hence the second normalisation.
  return folded.toLowerCase().normalize('NFKC').replace(/\s+/gu, ' ').trim();
}

/** One of twelve hues, the same for the same name everywhere. */
export function hue(name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return hash % 12;
}

/** The first character of a name, as a reader counts. */
export function initial(name) {
  return (firstGrapheme(name.trim()) || '?').toLocaleUpperCase();
}
