// Makes elements from data. Text enters only as text nodes, so the browser never parses users' text as markup.

import { cut, from, firstGrapheme } from './graphemes.js';
import { pieces } from './links.js';

/** Makes an element: `el('p', {class: 'x', onclick: f, 'aria-label': 'y'}, 'text', child, …)`. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) {
      element.addEventListener(name.slice(2), value);
    } else {
      element.setAttribute(name, value === true ? '' : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text with its web addresses as links. */
export function linked(text) {
  return pieces(text).map((piece) => (piece.href ? link(piece.text, piece.href) : piece.text));
}

/** The part of a text where the first search term is, with all terms marked. */
export function excerpt(text, words, length = 300) {
  const wanted = words.split(/\s+/u).filter(Boolean).map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  const pattern = new RegExp(wanted.join('|') || '$^', 'giu');
  const start = Math.max(0, text.search(pattern) - 60);
  const part = cut(from(text, start), length);
  const parts = [start > 0 ? '…' : ''];
  let at = 0;
  for (const { 0: word, index } of part.matchAll(pattern)) {
    parts.push(part.slice(at, index), el('mark', {}, word));
    at = index + word.length;
  }
  parts.push(part.slice(at), from(text, start).length > part.length ? '…' : '');
  return parts.filter((piece) => piece !== '');
}

export function link(address, href = address) {
  return el('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow' }, address);
}

/** The address if the page may open it, otherwise `null`. */
export function webAddress(text) {
  try {
    const url = new URL(text.trim());
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

/**
 * Whether this key event sends the text: Enter alone, but not the Enter that ends a composition (the input of Chinese, Japanese and
 * Korean; Safari reports its last key only as 229).
 */
export function sends(event) {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}

/** The words with an initial capital. */
export function sentence(words) {
  const first = firstGrapheme(words);
  return first.toLocaleUpperCase() + words.slice(first.length);
}
