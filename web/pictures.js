// Pictures in messages, within a budget: the page decodes only pictures near the visible part, and a limited number of pixels.
//
// Invariants: no picture is decoded before its size is known and allowed; the page says why it does not show a picture. Never: shows
// SVG, which can keep a browser busy without end.

import { el, link } from './dom.js';
import { t } from './i18n.js';
import { objection, pictureSize } from './images.js';

/** Most decoded pixels at a time: 24 million take 96 MB. */
export const BUDGET_PIXELS = 24_000_000;
/** Most decoded pictures at a time: each costs a request and a texture. */
export const BUDGET_PICTURES = 40;
/** Distance from the visible part, in pixels, within which pictures are decoded. */
const NEAR_PX = 300;
/** The largest box that a picture fills, in pixels. */
const BOX = { width: 420, height: 320 };

/** The picture of each placeholder: `{source, label, size}`. */
const places = new WeakMap();
/** Placeholders with a decoded picture, oldest first, with its pixels. */
const decoded = new Map();

const near = globalThis.IntersectionObserver
  ? new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          if (isIntersecting) show(target);
          else hide(target);
        }
      },
      { rootMargin: `${NEAR_PX}px` },
    )
  : null;

/** An element for an encoded picture (`data:…`), or a sentence that says why the page does not show it. */
export function encodedPicture(source, label) {
  const size = pictureSize(source);
  const wrong = objection(size);
  if (wrong) return sentence(wrong, size);
  const place = el('span', { class: 'picture-place', role: 'img', 'aria-label': label });
  const scale = Math.min(1, BOX.width / size.width, BOX.height / size.height);
  place.style.inlineSize = `${Math.max(1, Math.round(size.width * scale))}px`;
  place.style.aspectRatio = `${size.width} / ${size.height}`;
  places.set(place, { source: source.trim(), size });
  near?.observe(place);
  return place;
}

/** An element for a picture from the web: shows its address until the first bytes tell its size, and only then the picture. */
export function webPicture(address, label) {
  const place = el('span', {}, link(address));
  const load = () => {
    const image = new Image();
    image.referrerPolicy = 'no-referrer';
    image.alt = label;
    image.className = 'picture';
    image.addEventListener('load', () => {
      const size = { width: image.naturalWidth, height: image.naturalHeight, moves: false };
      const wrong = objection(size);
      if (wrong) place.append(' ', sentence(wrong, size));
      else place.replaceChildren(image);
    });
    image.src = address;
  };
  const reached = new IntersectionObserver(([{ isIntersecting }]) => {
    if (!isIntersecting) return;
    reached.disconnect();
    load();
  });
  reached.observe(place);
  return place;
}

function show(place) {
  if (decoded.has(place)) return;
  makeRoom(place, () => false);
  if (fits(place)) decode(place);
  else offer(place);
}

function hide(place) {
  decoded.delete(place);
  if (places.has(place)) place.replaceChildren();
}

function pixels(place) {
  const { width, height } = places.get(place).size;
  return width * height;
}

function fits(place) {
  const used = [...decoded.keys()].reduce((sum, other) => sum + pixels(other), 0);
  return decoded.size < BUDGET_PICTURES && (decoded.size === 0 || used + pixels(place) <= BUDGET_PIXELS);
}

/** Releases pictures that have left the page, and those that `mayGo`, until this one fits. */
function makeRoom(place, mayGo) {
  for (const other of decoded.keys()) if (!other.isConnected) hide(other);
  for (const other of decoded.keys()) {
    if (fits(place)) return;
    if (mayGo(other)) offer(other);
  }
}

function decode(place) {
  const { source } = places.get(place);
  decoded.set(place, pixels(place));
  const image = el('img', { alt: '', src: source });
  image.addEventListener('error', () => give(place, 'unknown'));
  // The size that the browser found counts, in case it reads the header in another way.
  image.addEventListener('load', () => {
    const wrong = objection({ width: image.naturalWidth, height: image.naturalHeight, moves: places.get(place)?.size.moves });
    if (wrong) give(place, wrong);
  });
  place.replaceChildren(image);
}

function give(place, reason) {
  if (!places.has(place)) return;
  const { size } = places.get(place);
  decoded.delete(place);
  near.unobserve(place);
  places.delete(place);
  place.replaceWith(sentence(reason, size));
}

/** The budget is used up: shows a button. When the reader presses it, other pictures make room. */
function offer(place) {
  decoded.delete(place);
  const show = el('button', { type: 'button', class: 'plain' }, t('picture.offer'));
  show.addEventListener('click', () => {
    makeRoom(place, () => true);
    decode(place);
  });
  place.replaceChildren(show);
}

function sentence(reason, size) {
  return el('span', { class: 'picture-missing' }, t(`picture.${reason}`, { width: size?.width ?? 0, height: size?.height ?? 0 }));
}
