// Faults that a real server cannot produce on request: dropped acks, gaps, a goodbye with a wait. Against the stand-in.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browser, peer } from './standin.mjs';
import { enter, heard, say, scrollToTheBeginning, submit, texts } from './world.mjs';

test('the server is killed and comes back: the state says so, what was written goes out, nothing stands twice', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  await say(page, 'before');
  await heard(page, 'before');
  peer.talk('lobby', 'bob', 'from bob');
  await heard(page, 'from bob');
  const { port } = peer;
  await peer.kill();
  await page.locator('#banner').waitFor();
  assert.match(await page.textContent('#state'), /Reconnecting|Connecting/);
  await say(page, 'while away');
  await page.locator('.talk.waiting', { hasText: 'while away' }).waitFor();
  peer.talk('lobby', 'bob', 'missed by ada');
  await peer.listen(port);
  await page.locator('.state.connected').waitFor();
  await heard(page, 'while away');
  await heard(page, 'missed by ada');
  assert.deepEqual(await texts(page), ['before', 'from bob', 'missed by ada', 'while away']);
  assert.equal(await page.locator('#banner').isVisible(), false);
});

test('an ack that is lost with the connection does not send twice', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  peer.fault = ({ kind, body, session }) => {
    if (kind !== 'talk') return undefined;
    peer.fault = null;
    // The server accepts the message and dies before the acknowledgement.
    peer.answer({ ...session, socket: { readyState: 3 } }, kind, body, 1);
    session.socket.terminate();
    return 'handled';
  };
  await say(page, 'once');
  await heard(page, 'once');
  await say(page, 'then');
  await heard(page, 'then');
  assert.deepEqual(await texts(page), ['once', 'then']);
  assert.deepEqual(peer.room('lobby').log.map(({ text }) => text), ['once', 'then']);
});

test('what is not sent outlives the page: loaded again, it waits, and goes out once', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  peer.fault = ({ kind }) => (kind === 'talk' ? 'handled' : undefined);
  await say(page, 'on its way');
  await page.locator('.talk.sending', { hasText: 'on its way' }).waitFor();
  await page.reload();
  await page.locator('.talk.sending', { hasText: 'on its way' }).waitFor();
  peer.fault = null;
  await page.reload();
  await heard(page, 'on its way');
  await page.reload();
  await heard(page, 'on its way');
  assert.deepEqual(await texts(page), ['on its way']);
  assert.deepEqual(peer.room('lobby').log.map(({ text }) => text), ['on its way']);
  assert.deepEqual(page.wrong, []);
});

test('a hole is filled from history, in its place', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  peer.talk('lobby', 'bob', 'one');
  for (const text of ['two', 'three']) peer.talk('lobby', 'bob', text, { hidden: true });
  peer.talk('lobby', 'bob', 'four');
  await heard(page, 'three');
  assert.deepEqual(await texts(page), ['one', 'two', 'three', 'four']);
  assert.equal(await page.locator('.note.gap').count(), 0);
});

test('a hole where nothing is stored is shown in words', async () => {
  peer.history = false;
  const page = await enter(browser, peer.url, { name: 'ada' });
  peer.talk('lobby', 'bob', 'one');
  for (const text of ['two', 'three']) peer.talk('lobby', 'bob', text, { hidden: true });
  peer.talk('lobby', 'bob', 'four');
  await page.getByText('2 messages missed').waitFor();
  assert.equal(await page.locator('#search-open').isVisible(), false);
});

/** Ends all connections with a goodbye. */
function goodbye(closeCode, words) {
  for (const session of peer.sessions) {
    peer.say(session, 'goodbye', words);
    session.socket.close(closeCode);
  }
}

test('the wait that goodbye names is honoured', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  const hellos = () => peer.received.filter((message) => message.hello).length;
  goodbye(1001, { code: 'draining', text: 'restarting', retry_after: 3_000 });
  const left = Date.now();
  await page.locator('.state.waiting').waitFor();
  await page.locator('.state.connected').waitFor();
  assert.ok(Date.now() - left >= 2_900, `came back after ${Date.now() - left} ms`);
  assert.equal(hellos(), 2);
});

test('why the server ended the connection is said in words, and one comes back when one wants to', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  goodbye(4500, { code: 'idle', text: 'in the words of the server', retry_after: 0 });
  await page.locator('#banner', { hasText: 'you had sent nothing for a long time' }).waitFor();
  assert.equal(await page.textContent('#state'), 'Disconnected');
  await page.click('#banner-button');
  await page.locator('.state.connected').waitFor();
  assert.equal(await page.locator('#banner').isVisible(), false);
  goodbye(4000, { code: 'shutting_down', text: '', retry_after: 60_000 });
  await page.locator('#banner', { hasText: 'The server is restarting. What you write is saved' }).waitFor();
  await page.locator('#banner-wait', { hasText: /Reconnecting in 6\d s/ }).waitFor();
  assert.equal(await page.textContent('#state'), 'Reconnecting…');
});

test('a close code that invites nobody is honoured where the goodbye did not get through', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  for (const session of peer.sessions) session.socket.close(4501);
  await page.locator('.state.closed').waitFor();
});

test('a first visitor whose server is away sees that behind no question, and is in once it is back', async () => {
  const page = await browser.page();
  await page.goto(peer.url);
  await page.locator('#name-dialog').waitFor();
  const { port } = peer;
  await peer.kill();
  await submit(page, '#name-input', 'ada');
  await page.locator('#banner', { hasText: 'The server cannot be reached.' }).waitFor();
  await page.locator('#name-dialog').waitFor({ state: 'hidden' });
  await peer.listen(port);
  await page.locator('.state.connected').waitFor();
  assert.equal(await page.textContent('#me-name'), 'ada');
});

test('a name that belongs to somebody else is asked for again', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  peer.fault = ({ kind, body, id, session }) => {
    if (kind !== 'hello' || body.name !== 'ada') return undefined;
    peer.say(session, 'error', { code: 'name_reserved', text: '', retry_after: 0 }, id);
    return 'handled';
  };
  await page.reload();
  await page.getByText('This name belongs to somebody else').waitFor();
  await submit(page, '#name-input', 'ada2');
  await page.locator('.state.connected').waitFor();
  assert.equal(await page.textContent('#me-name'), 'ada2');
});

/** Waits until the page shows everything that it has received. */
function twoFrames(page) {
  return page.evaluate(() => new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown))));
}

/** Keeps the answer to the first request for history back; the function that is returned gives it. */
function holdHistory() {
  let answer = null;
  peer.fault = ({ kind, body, id, session }) => {
    if (kind !== 'history' || answer) return undefined;
    answer = () => peer.answer(session, kind, body, id);
    return 'handled';
  };
  return () => answer();
}

test('scrolling up loads older messages and does not move what is read', async () => {
  for (let i = 1; i <= 400; i += 1) peer.talk('lobby', i % 3 ? 'bob' : 'eve', `message ${i}`);
  const page = await enter(browser, peer.url, { name: 'ada' });
  await heard(page, 'message 400');
  assert.equal((await texts(page))[0], 'message 351');
  await scrollToTheBeginning(page);
  const all = await texts(page);
  assert.deepEqual(all.slice(0, 3), ['message 1', 'message 2', 'message 3']);
  assert.deepEqual(all, all.map((_, i) => `message ${i + 1}`));
});

test('what the reader looks at does not move when older messages come in above it', async () => {
  for (let i = 1; i <= 200; i += 1) peer.talk('lobby', 'bob', `message ${i}${' and more'.repeat(i % 40)}`);
  const page = await enter(browser, peer.url, { name: 'ada' });
  await page.locator('#log', { hasText: 'message 200' }).waitFor();
  const goOn = holdHistory();
  const row = page.locator('#log .talk[data-seq="154"]');
  await row.evaluate((talk) => talk.scrollIntoView({ block: 'start' }));
  await page.getByText('Loading earlier messages').waitFor();
  const { y } = await row.boundingBox();
  goOn();
  await page.locator('#log .talk[data-seq="101"]').waitFor({ state: 'attached' });
  await twoFrames(page);
  assert.ok(Math.abs((await row.boundingBox()).y - y) <= 1);
});

test('who waits at the very top is shown the older messages when they come', async () => {
  for (let i = 1; i <= 200; i += 1) peer.talk('lobby', 'bob', `message ${i}`);
  const page = await enter(browser, peer.url, { name: 'ada' });
  await heard(page, 'message 200');
  const goOn = holdHistory();
  const toTheTop = () => page.locator('#log').evaluate((log) => (log.scrollTop = 0));
  await toTheTop();
  await page.getByText('Loading earlier messages').waitFor();
  await toTheTop();
  await twoFrames(page);
  goOn();
  await page.locator('#log .talk[data-seq="101"]').waitFor({ state: 'attached' });
  assert.deepEqual(page.wrong, []);
});

test('a replay that comes in pieces is shown as it comes, and older messages are left alone', async () => {
  for (let i = 1; i <= 200; i += 1) peer.talk('lobby', 'bob', `message ${i}`);
  let goOn;
  peer.replay = (messages, say) => {
    messages.slice(0, 3).forEach(say);
    goOn = () => messages.slice(3).forEach(say);
  };
  const page = await enter(browser, peer.url, { name: 'ada' });
  const asked = () => peer.received.filter((message) => message.history).length;
  await heard(page, 'message 153');
  await twoFrames(page);
  assert.equal(asked(), 0);
  goOn();
  await heard(page, 'message 200');
  await twoFrames(page);
  assert.deepEqual([(await texts(page)).length, asked()], [50, 0]);
});

test('messages that do not fill the page are joined by older ones', async () => {
  for (let i = 1; i <= 60; i += 1) peer.talk('lobby', 'bob', `${i}`);
  const page = await enter(browser, peer.url, { name: 'ada' });
  await heard(page, '60');
  await page.setViewportSize({ width: 1280, height: 2_000 });
  await heard(page, '1');
});

test('search finds what is stored', async () => {
  const long = `${'so it began. '.repeat(50)}an apple pie ${'and it ended. '.repeat(50)}`;
  for (const text of ['apples', 'pears', long]) peer.talk('lobby', 'bob', text);
  const page = await enter(browser, peer.url, { name: 'ada' });
  await page.click('#search-open');
  await submit(page, '#search-text', 'apple');
  await page.locator('#results').getByText('apple pie').waitFor();
  const found = await page.locator('#results .text').allTextContents();
  assert.match(found[0], /^….* an apple pie .*…$/);
  assert.equal(found[1], 'apples');
  assert.deepEqual(await page.locator('#results mark').allTextContents(), ['apple', 'apple']);
  await page.locator('.around').nth(1).click();
  await page.locator('#results .context').getByText('pears').waitFor();
});
