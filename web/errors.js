// What the server refused, and why it ended the connection, in the page's own words: a sentence for each code of
// docs/errors.md.
//
// Promises: a code that this page does not know is shown in the server's words. Never: decides by those words; they are
// looked through for the facts that a sentence of ours has a place for, and shown whole where there is no such fact.

import { known, t } from './i18n.js';

/** Facts in the server's sentences. The sentence of ours with a place for one is `error.<code>.<fact>`. */
const FACTS = {
  long: /(?<n>\d+) characters; at most (?<most>\d+)/,
  bytes: /(?<n>\d+) bytes; at most (?<most>\d+)/,
  rooms: /(?<n>\d+) rooms; at most (?<most>\d+)/,
  character: /(?<character>U\+[0-9A-F]{4,6})/,
};

/** Why something was refused: a `Refused`, or the body of an `error`. */
export function why({ code, text = '', retry_after = 0, retryAfter = retry_after }) {
  if (!known(`error.${code}`)) return t('error.other', { text: text || code });
  const reason = exactly(code, text) ?? t(`error.${code}`, { text: text || code });
  return retryAfter > 0 ? t('error.retry', { reason, n: Math.ceil(retryAfter / 1_000) }) : reason;
}

/** Why the server ended the connection: the body of a `goodbye`, or nothing where none was heard. */
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
