// Refusals and goodbyes in the page's own words: a sentence for each code of docs/errors.md.
//
// Invariant: for an unknown code the page shows the server's text. Never: decides by that text. The page only extracts the facts for
// which its own sentence has a place, and shows the text as it is if there are none.

import { known, t } from './i18n.js';

/** Facts in the server's texts. The page's sentence for a fact is `error.<code>.<fact>`. */
const FACTS = {
  long: /(?<n>\d+) characters; at most (?<most>\d+)/,
  bytes: /(?<n>\d+) bytes; at most (?<most>\d+)/,
  rooms: /(?<n>\d+) rooms; at most (?<most>\d+)/,
  character: /(?<character>U\+[0-9A-F]{4,6})/,
};

/** The reason for a refusal: a `Refused`, or the body of an `error`. */
export function why({ code, text = '', retry_after = 0, retryAfter = retry_after }) {
  if (!known(`error.${code}`)) return t('error.other', { text: text || code });
  const reason = exactly(code, text) ?? t(`error.${code}`, { text: text || code });
  return retryAfter > 0 ? t('error.retry', { reason, n: Math.ceil(retryAfter / 1_000) }) : reason;
}

/** The reason for the end of the connection: the body of a `goodbye`, or nothing if there was none. */
export function parting({ code, text = '' }) {
  if (known(`goodbye.${code}`)) return t(`goodbye.${code}`);
  return text === '' ? t('goodbye.other') : t('goodbye.said', { text });
}

function exactly(code, text) {
  for (const [fact, pattern] of Object.entries(FACTS)) {
    const seen = known(`error.${code}.${fact}`) ? pattern.exec(text)?.groups : null;
    if (seen) return t(`error.${code}.${fact}`, Object.fromEntries(Object.entries(seen).map(([name, value]) => [name, /^\d+$/.test(value) ? Number(value) : value])));
  }
  return null;
}
