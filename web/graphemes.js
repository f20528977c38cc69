// Cuts text at grapheme boundaries: a flag, a family or a letter with its accents counts as one character.
//
// Never: returns half of a surrogate pair, or half of a grapheme cluster unless the cluster is longer than the limit.

/** `Intl.Segmenter` is missing in Firefox before version 125. */
const segmenter = typeof Intl.Segmenter === 'function' ? new Intl.Segmenter(undefined, { granularity: 'grapheme' }) : null;
/** Longest cluster, in UTF-16 units; a name can have hundreds of combining marks. */
const CLUSTER_MAX = 64;

// The clusters that matter in names, after UAX 29: a flag; a subdivision flag; pictographs connected by joiners; a letter with marks.
const CLUSTER = new RegExp(
  '\\p{RI}\\p{RI}' +
    '|\\u{1F3F4}[\\u{E0020}-\\u{E007E}]+\\u{E007F}' +
    '|\\p{Extended_Pictographic}[\\uFE0F\\u{1F3FB}-\\u{1F3FF}]*(?:\\u200D\\p{Extended_Pictographic}[\\uFE0F\\u{1F3FB}-\\u{1F3FF}]*)*' +
    '|[\\u1100-\\u115F]+[\\u1160-\\u11A7]*[\\u11A8-\\u11FF]*' +
    '|[^][\\p{M}\\uFE0F\\u200D]*',
  'uy',
);

function clusterEnd(text, at) {
  CLUSTER.lastIndex = at;
  return CLUSTER.test(text) ? CLUSTER.lastIndex : text.length;
}

/** The first grapheme cluster, or an empty text. Tests replace `segments`. */
export function firstGrapheme(text, segments = segmenter) {
  if (text === '') return '';
  const start = text.slice(0, CLUSTER_MAX);
  const first = segments ? segments.segment(start)[Symbol.iterator]().next().value.segment : start.slice(0, clusterEnd(start, 0));
  return wholeCharacters(first);
}

/** The beginning of a text, at most `most` UTF-16 units, cut between two clusters. */
export function cut(text, most, segments = segmenter) {
  if (text.length <= most) return text;
  // Clusters do not cross line breaks, and the last few units are enough to find the boundary.
  const from = Math.max(0, text.lastIndexOf('\n', most - 1) + 1, most - 2 * CLUSTER_MAX);
  const start = isLow(text, from) ? from - 1 : from;
  const tail = text.slice(start, most + CLUSTER_MAX);
  let end = 0;
  if (segments) {
    for (const { index, segment } of segments.segment(tail)) if (start + index + segment.length <= most) end = index + segment.length;
  } else {
    for (let at = 0; at < tail.length && start + at <= most; ) {
      end = at;
      at = clusterEnd(tail, at);
    }
  }
  return end === 0 ? wholeCharacters(text.slice(0, most)) : text.slice(0, start + end);
}

/** The end of a text, from `at` or a little later, that does not begin inside a character. */
export function from(text, at) {
  return text.slice(isLow(text, at) ? at + 1 : at);
}

function isLow(text, at) {
  return at > 0 && (text.charCodeAt(at) & 0xfc00) === 0xdc00 && (text.charCodeAt(at - 1) & 0xfc00) === 0xd800;
}

function wholeCharacters(text) {
  return (text.charCodeAt(text.length - 1) & 0xfc00) === 0xd800 ? text.slice(0, -1) : text;
}
