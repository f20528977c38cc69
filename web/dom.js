// Elements from data. Text goes in as text nodes and nowhere else: nothing a stranger wrote is ever read as markup.

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

/** Fills a list anew. The entry that had the focus keeps it; entries are told apart by `data-key`. */
export function refill(list, entries) {
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  list.replaceChildren(...entries);
  if (focused === undefined) return;
  const same = [...list.querySelectorAll('[data-key]')].find(({ dataset }) => dataset.key === focused);
  same?.focus({ preventScroll: true });
}

const WEB_ADDRESS = /https?:\/\/[^\s<>"'`，。；！？、（）《》「」]+/giu;

/** Text in which web addresses are links. */
export function linked(text) {
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(WEB_ADDRESS)) {
    const address = match[0].replace(/[.,;:!?)\]]+$/u, '');
    if (!webAddress(address)) continue;
    parts.push(text.slice(at, match.index), link(address));
    at = match.index + address.length;
  }
  parts.push(text.slice(at));
  return parts.filter((part) => part !== '');
}

/** The part of a text where the words asked for begin, with each of them marked. */
export function excerpt(text, words, length = 300) {
  const wanted = words.split(/\s+/u).filter(Boolean).map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  const pattern = new RegExp(wanted.join('|') || '$^', 'giu');
  const start = Math.max(0, text.search(pattern) - 60);
  const part = [...text.slice(start, start + 2 * length)].slice(0, length).join('');
  const parts = [start > 0 ? '…' : ''];
  let at = 0;
  for (const { 0: word, index } of part.matchAll(pattern)) {
    parts.push(part.slice(at, index), el('mark', {}, word));
    at = index + word.length;
  }
  parts.push(part.slice(at), start + part.length < text.length ? '…' : '');
  return parts.filter((piece) => piece !== '');
}

export function link(address) {
  return el('a', { href: address, target: '_blank', rel: 'noopener noreferrer nofollow' }, address);
}

/** The address, if it is one that may be opened; else `null`. */
export function webAddress(text) {
  try {
    const url = new URL(text.trim());
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

/** The text as the source of an `<img>`, if it may be one: a web address or an encoded picture. SVG is left out. */
export function pictureSource(text) {
  return /^data:image\/(png|jpeg|gif|webp|avif|bmp);base64,[a-z0-9+/=\s]*$/iu.test(text.trim()) ? text.trim() : webAddress(text);
}

/** A picture that turns into a link, or into text, where it cannot be shown. */
export function picture(text, label) {
  const source = pictureSource(text);
  if (!source) return document.createTextNode(text);
  const image = el('img', { src: source, alt: label, loading: 'lazy', referrerpolicy: 'no-referrer', class: 'picture' });
  image.addEventListener('error', () => image.replaceWith(webAddress(text) ? link(source) : label), { once: true });
  return image;
}

/**
 * Whether this key event sends what was typed: Enter alone, and not the Enter that ends a composition (Chinese,
 * Japanese and Korean are typed through one; Safari reports its last key only as 229).
 */
export function sends(event) {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}

/** One of twelve hues, the same for the same name everywhere. */
export function hue(name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return hash % 12;
}

/** The first character of a name, as a reader counts. */
export function initial(name) {
  return ([...name.trim()][0] ?? '?').toLocaleUpperCase();
}
