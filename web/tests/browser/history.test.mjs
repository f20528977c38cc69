// The page against the real server with a store: older messages, search, resume and read markers. Needs PLAZA_BIN.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { browse } from './chromium.mjs';
import { enter, heard, say, scrollToTheBeginning, startServer, submit, texts, visitor } from './world.mjs';

const skip = process.env.PLAZA_BIN ? false : 'SKIPPED: PLAZA_BIN names no server to start with a data directory';
let data;
let running;

before(async () => {
  if (skip) return;
  data = await mkdtemp(path.join(os.tmpdir(), 'plaza-history-'));
  running = await startServer(data);
  // The lobby is durable.
  const bob = await visitor(running.url, 'bob', 'lobby');
  for (let i = 1; i <= 400; i += 1) await bob.talk(i % 100 === 0 ? `天气很好 ${i}` : `message ${i}`);
  bob.leave();
});
after(async () => {
  if (skip) return;
  await running.kill();
  await rm(data, { recursive: true, force: true });
});

test('a newcomer sees the last messages, and scrolling up loads all the others once', { skip }, async () => {
  const page = await enter(await browse(), running.url, { name: 'ada' });
  await heard(page, '天气很好 400');
  assert.equal((await texts(page))[0], 'message 351');
  await scrollToTheBeginning(page);
  const all = await texts(page);
  assert.deepEqual(all, all.map((_, i) => ((i + 1) % 100 === 0 ? `天气很好 ${i + 1}` : `message ${i + 1}`)));
  assert.deepEqual(page.wrong, []);
});

test('a direct message to somebody who is away waits for them, counted once, and is there once on both sides', { skip }, async () => {
  const [a, b] = [await browse(), await browse()];
  const ada = await enter(a, running.url, { name: 'ada-away' });
  await ada.goto(`${running.url}/#@bob-away`);
  await ada.locator('#title.peer').waitFor();
  for (const text of ['for later', '第二条']) await say(ada, text);
  await heard(ada, '第二条');
  const bob = await enter(b, running.url, { name: 'bob-away' });
  const entry = bob.locator('#direct-list .entry', { hasText: 'ada-away' });
  await entry.locator('.badge').waitFor();
  await bob.waitForFunction(() => document.title === '(2) lobby · Plaza');
  assert.equal(await entry.locator('.badge').textContent(), '2');
  await entry.click();
  await heard(bob, '第二条');
  assert.equal(await bob.locator('.divider').count(), 1);
  await say(bob, 'thanks');
  await heard(ada, 'thanks');
  for (const page of [ada, bob]) {
    await page.reload();
    await heard(page, 'thanks');
    assert.deepEqual(await texts(page), ['for later', '第二条', 'thanks']);
    assert.match(await page.title(), /^(ada|bob)-away · Plaza$/);
  }
});

test('search finds words of two characters', { skip }, async () => {
  const page = await enter(await browse(), running.url, { name: 'eve' });
  await page.click('#search-open');
  await submit(page, '#search-text', '天气');
  await page.locator('#results').getByText('天气很好 100').waitFor();
  assert.deepEqual(await page.locator('#results .text').allTextContents(), [400, 300, 200, 100].map((n) => `天气很好 ${n}`));
  assert.deepEqual(page.wrong, []);
});

test('what was said while the server was away for the page follows once, and what was read stays read', { skip }, async () => {
  const browser = await browse();
  const page = await enter(browser, running.url, { name: 'zoe' });
  await say(page, 'before');
  await heard(page, 'before');
  const host = new URL(running.url).host;
  await page.context().setOffline(true);
  await running.kill();
  running = await startServer(data, host);
  const bob = await visitor(running.url, 'bob', 'lobby');
  for (const text of ['missed one', 'missed two']) await bob.talk(text);
  await page.context().setOffline(false);
  await page.locator('.state.connected').waitFor();
  await heard(page, 'missed two');
  await bob.talk('live');
  await heard(page, 'live');
  const all = await texts(page);
  assert.deepEqual(all.slice(all.indexOf('before')), ['before', 'missed one', 'missed two', 'live']);
  // The server has the read marker: it sends it to another session of the same name.
  const zoe = await visitor(running.url, 'zoe', 'lobby');
  const until = Date.now() + 15_000;
  for (;;) {
    const { read } = await zoe.ask('read', { room: 'lobby', seq: 1 });
    if (read.unread === 0) break;
    assert.ok(Date.now() < until, `the page never said that it was read: ${JSON.stringify(read)}`);
  }
  zoe.leave();
  bob.leave();
});

test('on a new device the line stands where the user stopped reading on the old one', { skip }, async () => {
  const old = await enter(await browse(), running.url, { name: 'mia' });
  await say(old, 'read by mia');
  await heard(old, 'read by mia');
  const mia = await visitor(running.url, 'mia', 'lobby');
  const unread = async () => (await mia.ask('read', { room: 'lobby', seq: 1 })).read.unread;
  for (const until = Date.now() + 15_000; (await unread()) > 0; ) assert.ok(Date.now() < until, 'the page never said that it was read');
  await old.close();
  const bob = await visitor(running.url, 'bob', 'lobby');
  for (let i = 1; i <= 120; i += 1) await bob.talk(`for mia ${i}`);
  const page = await enter(await browse(), running.url, { name: 'mia' });
  await page.click('#new-jump');
  const first = page.locator('#log .row', { has: page.locator('.divider') });
  assert.equal(await first.locator('.text').textContent(), 'for mia 1');
  assert.deepEqual(page.wrong, []);
  mia.leave();
  bob.leave();
});
