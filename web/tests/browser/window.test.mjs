// Behaviour of a window that module tests cannot show: hidden tabs, long presses, the back/forward cache, a dead connection. Against
// the stand-in.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browser, peer } from './standin.mjs';
import { enter, heard, say, title } from './world.mjs';

/** Hides the page like a background tab, without frames. Playwright keeps every page visible. */
async function hide(page) {
  await page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { get: () => true });
    document.hasFocus = () => false;
    window.requestAnimationFrame = () => 0;
    document.dispatchEvent(new Event('visibilitychange'));
  });
}

test('the title of a hidden tab counts what is said, in the room that is shown too', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  await hide(page);
  for (const n of [1, 2, 3]) {
    peer.talk('lobby', 'bob', `unseen ${n}`);
    await page.waitForFunction((count) => document.title === `(${count}) lobby · Plaza`, n, { polling: 100 });
  }
});

test('a frame that was asked for and never came does not stop the title', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  await page.evaluate(() => {
    window.requestAnimationFrame = () => 0;
    document.hasFocus = () => false;
  });
  peer.talk('lobby', 'bob', 'one');
  await page.waitForFunction(() => document.title === '(1) lobby · Plaza', null, { polling: 100 });
});

/** Presses an element, runs `meanwhile`, waits until the page has handled it, and releases. */
async function press(page, locator, meanwhile) {
  const { x, y, height } = await locator.boundingBox();
  await page.mouse.move(x + 30, y + height / 2);
  await page.mouse.down();
  await meanwhile();
  await page.evaluate(() => new Promise((taken) => setTimeout(() => requestAnimationFrame(taken), 50)));
  await page.mouse.up();
}

test('a click on a room finds it, though messages come between press and release', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  await page.goto(`${peer.url}/#tea`);
  const entry = (room) => page.locator('#room-list .entry', { hasText: room });
  await entry('tea').waitFor();
  for (const room of ['lobby', 'tea', 'lobby', 'tea']) {
    const other = room === 'lobby' ? 'tea' : 'lobby';
    await press(page, entry(room), async () => {
      for (let n = 0; n < 3; n += 1) peer.talk(room, 'bob', 'x');
      peer.talk(other, 'bob', 'y');
    });
    await title(page, room);
  }
});

test('a click on somebody finds them, though others come and go between press and release', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  const presence = (joined, left) => peer.tell(peer.room('lobby'), 'presence', { room: 'lobby', online: 3, version: 1, joined, left, names: [] });
  presence(['a', 'b', 'cleo'], []);
  const cleo = page.locator('#member-list .entry', { hasText: 'cleo' });
  await cleo.waitFor();
  await cleo.evaluate((button) => (button.marked = true));
  await press(page, cleo, async () => presence(['d'], ['a', 'b']));
  await title(page, 'cleo');
  await page.goto(`${peer.url}/#lobby`);
});

test('rows stay the same elements while what they show changes, and keep the focus', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  await page.goto(`${peer.url}/#tea`);
  const lobby = page.locator('#room-list .entry', { hasText: 'lobby' });
  await lobby.evaluate((button) => {
    button.marked = true;
    button.focus();
  });
  peer.talk('lobby', 'bob', 'x');
  await page.locator('#room-list .badge').waitFor();
  assert.deepEqual(await lobby.evaluate((button) => [button.marked, button === document.activeElement]), [true, true]);
});

for (const [how, focus, wait] of [['the log moves on between press and release', '#log', 0], ['the press takes the focus from the field and is a slow one', '#text', 30]]) {
  test(`a name in the log is hit, though ${how}`, async () => {
    const page = await enter(browser, peer.url, { name: 'ada' });
    for (let n = 0; n < 40; n += 1) peer.talk('lobby', n % 2 ? 'bob' : 'eve', `message ${n}`);
    await heard(page, 'message 39');
    await page.focus(focus);
    await press(page, page.locator('#log .talk', { hasText: 'message 37' }).locator('button.name'), async () => {
      for (let n = 40; n < 50; n += 1) {
        peer.talk('lobby', 'eve', `message ${n}`);
        await new Promise((next) => setTimeout(next, wait));
      }
    });
    await title(page, 'bob');
  });
}

test('what was said while the page was hidden is read when it is seen, in whatever order the window tells so', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  await page.evaluate(() => {
    window.sight = { hidden: true, focus: false };
    Object.defineProperty(document, 'hidden', { get: () => window.sight.hidden });
    document.hasFocus = () => window.sight.focus;
    document.dispatchEvent(new Event('visibilitychange'));
  });
  peer.talk('lobby', 'bob', 'unseen');
  await page.waitForFunction(() => document.title === '(1) lobby · Plaza', null, { polling: 100 });
  await page.evaluate(() => {
    window.sight.focus = true;
    window.dispatchEvent(new Event('focus'));
    window.sight.hidden = false;
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await page.waitForFunction(() => document.title === 'lobby · Plaza', null, { polling: 100 });
});

test('a page that is left is not present, and is again when it is shown again as it was', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })));
  await page.waitForFunction(() => document.querySelector('.state.away') !== null);
  await page.evaluate(() => new Promise((later) => setTimeout(later, 100)));
  assert.equal(peer.sessions.size, 0);
  peer.talk('lobby', 'bob', 'while away');
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
  await heard(page, 'while away');
  assert.equal(peer.sessions.size, 1);
});

test('a line that is dead is noticed by the message that is sent, which goes out once over a new one', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  peer.dead = true;
  await say(page, 'through');
  await page.locator('.state.slow').waitFor();
  peer.dead = false;
  for (const session of peer.sessions) session.socket.send = () => {};
  const began = Date.now();
  await heard(page, 'through');
  assert.ok(Date.now() - began < 9_000);
  assert.deepEqual(peer.room('lobby').log.map(({ text }) => text), ['through']);
});

test('when the network is back a dead line is noticed within seconds', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  for (const session of peer.sessions) session.socket.send = () => {};
  const hellos = () => peer.received.filter((message) => message.hello).length;
  const before = hellos();
  await page.evaluate(() => dispatchEvent(new Event('online')));
  const began = Date.now();
  while (hellos() === before && Date.now() - began < 10_000) await page.evaluate(() => new Promise((later) => setTimeout(later, 100)));
  assert.ok(Date.now() - began < 8_000, `${Date.now() - began} ms`);
  await page.locator('.state.connected').waitFor();
});
