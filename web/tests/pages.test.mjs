// Checks of the pages without a browser: both languages are complete, and nothing violates the content security policy.

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { webAddress } from '../dom.js';
import { parting, why } from '../errors.js';
import { choose, day, t, words } from '../i18n.js';
import { Refused } from '../protocol.js';

// The browser's language, which formats numbers.
globalThis.navigator ??= { language: 'en-GB' };

const WEB = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

async function sources(extension) {
  const names = await readdir(WEB, { recursive: true });
  const own = names.filter((name) => name.endsWith(extension) && !/^(node_modules|tests)/.test(name));
  return Promise.all(own.map(async (name) => [name, await readFile(path.join(WEB, name), 'utf8')]));
}

test('both languages have the same words with the same blanks', () => {
  const blanks = (text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();
  assert.deepEqual(Object.keys(words.zh), Object.keys(words.en));
  for (const [key, text] of Object.entries(words.en)) assert.deepEqual(blanks(words.zh[key]), blanks(text), key);
});

test('a name that is written from right to left keeps its words in order', () => {
  assert.equal(t('note.renamed', { old: 'ada', now: 'bob' }), 'ada is now bob');
  assert.equal(t('note.renamed', { old: 'محمد', now: 'bob' }), '\u2068محمد\u2069 is now bob');
});

test('every error and goodbye that the server documents is in words', async () => {
  const documented = await readFile(path.join(WEB, '../docs/errors.md'), 'utf8');
  const [errors, goodbyes] = documented.split('## Goodbyes').map((part) => [...part.matchAll(/^\| `(\w+)` \|/gm)].map(([, code]) => code));
  const missing = [...errors.map((code) => `error.${code}`), ...goodbyes.map((code) => `goodbye.${code}`)].filter((key) => !Object.hasOwn(words.en, key));
  assert.deepEqual([errors.length, goodbyes.length, missing], [19, 9, []]);
});

test('a refusal keeps the facts of the server’s sentence, and all of it where they are not found or the code is new', () => {
  assert.equal(why({ code: 'bad_name', text: 'hello.name: the name has 70 characters; at most 64 are allowed' }), 'this name has 70 characters; at most 64 are allowed');
  assert.equal(why({ code: 'bad_name', text: 'worded differently' }), 'this name cannot be used: worded differently');
  assert.equal(why(new Refused({ code: 'busy', text: 'later', retry_after: 1_500 })), 'the server is busy; try again in 2 s');
  assert.equal(why({ code: 'too_hot', text: 'wait until it is cooler' }), 'wait until it is cooler');
  assert.equal(parting({ code: 'too_hot', text: 'come back in winter' }), 'The server ended the connection: come back in winter');
  assert.equal(parting({}), 'The server ended the connection.');
});

test('every word the pages ask for exists', async () => {
  for (const [name, text] of [...(await sources('.html')), ...(await sources('.js'))]) {
    for (const [, key] of text.matchAll(/data-i18n(?:-[a-z-]+)?="([^"]+)"|\bt\('([^']+)'/g)) {
      if (key) assert.ok(Object.hasOwn(words.en, key), `${name}: ${key}`);
    }
    for (const [, key] of text.matchAll(/\bt\('([^']+)'/g)) assert.ok(Object.hasOwn(words.en, key), `${name}: ${key}`);
  }
});

test('the language is the one chosen, else the first of the browser that we speak, else English', () => {
  assert.equal(choose(null, ['fr', 'zh-TW', 'en']), 'zh');
  assert.equal(choose('en', ['zh-CN']), 'en');
  assert.equal(choose('xx', ['de']), 'en');
});

test('no markup from strings, no inline script, no inline style', async () => {
  for (const [name, text] of await sources('.js')) {
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc/, name);
  }
  for (const [name, text] of await sources('.html')) {
    assert.doesNotMatch(text, /<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:/i, name);
  }
});

test('only web addresses may be opened', () => {
  for (const bad of ['javascript:alert(1)', 'data:text/html,<b>', 'file:///etc/passwd', 'x', ' ']) assert.equal(webAddress(bad), null, bad);
  assert.equal(webAddress('HTTPS://Example.org/a b'), 'https://example.org/a%20b');
});

test('today is the day of the server, whatever the clock of this machine says', () => {
  const server = Date.UTC(2001, 5, 15, 12);
  assert.deepEqual([day(server, server), day(server - 86_400_000, server)], ['Today', 'Yesterday']);
  assert.match(day(server + 86_400_000, server), /2001/);
});

test('the fields for names of rooms and users do not capitalise on a phone', async () => {
  const [, page] = (await sources('.html')).find(([name]) => name === 'index.html');
  for (const id of ['name-input', 'room-input', 'search-text']) assert.match(page, new RegExp(`id="${id}"[^>]*autocapitalize="none"`), id);
});
