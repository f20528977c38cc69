// Pictures in messages, shown within a budget: only those near what the reader sees are decoded, and only so many pixels.
//
// Promises: no picture is decoded before its size is known and allowed; what is not shown says why. Never: SVG, which can make
// a browser work without end.

import { el, link } from './dom.js';
import { t } from './i18n.js';
import { objection, pictureSize } from './images.js';

/** Decoded at a time, in all: 24 million pixels take 96 MB. */
export const BUDGET_PIXELS = 24_000_000;
/** Decoded at a time, however small: each costs a request and a texture. */
export const BUDGET_PICTURES = 40;
/** Pictures this close to what is visible are decoded, in pixels. */
const NEAR_PX = 300;
/** The largest box that a picture fills, in pixels. */
const BOX = { width: 420, height: 320 };

/** What each place in the page is for: `{source, label, size}`. */
const places = new WeakMap();
/** The places whose picture is decoded, longest ago first, with its pixels. */
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

/** An encoded picture (`data:…`) in its place, or a sentence that says why it is not shown. */
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

/** A picture from the web: its address, until its beginning has come and tells its size. Only then does it enter the page. */
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

/** Lets go of pictures that have left the page, and of those that `mayGo`, until this one fits. */
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
  // What the browser found is what counts, should it read the header in another way.
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

/** Too many at once: a button stands in the place until the reader asks for this one, and others make room then. */
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
