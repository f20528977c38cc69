// Returning to unread messages: the divider and the button that jumps to it. Against the stand-in, whose rooms have history;
// history.test.mjs tests the real server's read markers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browser, peer } from './standin.mjs';
import { enter, heard, say } from './world.mjs';

/** Bob sends this many messages. */
function bobSays(count, what) {
  for (let i = 1; i <= count; i += 1) peer.talk('lobby', 'bob', `${what} ${i}`);
}

/** Ada has read everything and has left. */
async function readAndGone(options = {}) {
  bobSays(5, 'old');
  const page = await enter(browser, peer.url, { name: 'ada', ...options });
  await heard(page, 'old 5');
  await page.waitForFunction(() => document.title === 'lobby · Plaza');
  // The title does not show whether the page has already saved her read position.
  await page.waitForFunction(() => JSON.parse(localStorage.getItem('plaza.v2.read.ada.room:lobby') ?? '{}').seq >= 5);
  await page.goto('about:blank');
  return page;
}

async function comeBack(page) {
  await page.goto(peer.url);
  await page.waitForSelector('.state.connected');
}

/** The text right below the divider, once the divider is in view. */
async function belowTheLine(page) {
  await page.waitForFunction(() => {
    const log = document.getElementById('log').getBoundingClientRect();
    const line = document.querySelector('#log .divider')?.getBoundingClientRect();
    return line && line.top >= log.top && line.bottom <= log.bottom;
  });
  return page.locator('#log .row', { has: page.locator('.divider') }).locator('.text').textContent();
}

test('a button leads back to the first new message, with the keyboard too, and once all is read it is gone with the line', async () => {
  const page = await readAndGone();
  bobSays(140, 'new');
  await comeBack(page);
  await page.getByRole('status').getByRole('button', { name: 'Jump to the first new message' }).waitFor();
  await page.locator('#room-list .badge', { hasText: '50' }).waitFor();
  await page.locator('#online').focus();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'new-jump');
  await page.keyboard.press('Enter');
  assert.equal(await belowTheLine(page), 'new 1');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'New messages');
  await page.locator('#new').waitFor({ state: 'hidden' });
  assert.equal(await page.locator('#room-list .badge').count(), 1);
  await page.click('#jump');
  await page.locator('#room-list .badge').waitFor({ state: 'detached' });
  assert.equal(await page.locator('#new').isVisible(), false);
  await page.reload();
  await heard(page, 'new 140');
  await page.locator('.divider').waitFor({ state: 'detached' });
  assert.equal(await page.locator('#new').isVisible(), false);
  assert.deepEqual(page.wrong, []);
});

test('what fits into sight needs no button; the line shows where it begins, and goes', async () => {
  const page = await readAndGone();
  bobSays(2, 'new');
  await comeBack(page);
  assert.equal(await belowTheLine(page), 'new 1');
  assert.equal(await page.locator('#new').isVisible(), false);
  await page.waitForFunction(() => document.title === 'lobby · Plaza');
  await page.locator('.divider').waitFor({ state: 'detached' });
  peer.talk('lobby', 'bob', 'before our eyes');
  await heard(page, 'before our eyes');
  assert.equal(await page.locator('.divider').count(), 0);
});

test('what was missed while the connection was lost, or nobody looked, is found in the same way', async () => {
  const page = await readAndGone();
  await comeBack(page);
  await heard(page, 'old 5');
  const { port } = peer;
  await peer.kill();
  await page.locator('#banner').waitFor();
  bobSays(60, 'missed');
  await peer.listen(port);
  await page.click('#new-jump');
  assert.equal(await belowTheLine(page), 'missed 1');
  await page.click('#jump');
  await page.waitForFunction(() => document.title === 'lobby · Plaza');
  await page.evaluate(() => (document.hasFocus = () => false));
  bobSays(60, 'unseen');
  await page.waitForFunction(() => document.title === '(60) lobby · Plaza');
  await page.evaluate(() => {
    delete document.hasFocus;
    dispatchEvent(new Event('focus'));
  });
  await page.click('#new-jump');
  assert.equal(await belowTheLine(page), 'unseen 1');
});

test('who wants none of it marks it as read, or just talks; in Chinese too', async () => {
  const page = await readAndGone({ lang: 'zh' });
  bobSays(40, 'new');
  await comeBack(page);
  await page.getByRole('button', { name: '跳到第一条新消息' }).waitFor();
  await page.getByRole('button', { name: '标为已读' }).click();
  await page.locator('#new').waitFor({ state: 'hidden' });
  await page.waitForFunction(() => document.title === 'lobby · Plaza');
  assert.equal(await page.locator('.divider').count(), 0);
  await page.goto('about:blank');
  bobSays(40, 'newer');
  await comeBack(page);
  await page.locator('#new').waitFor();
  assert.equal(await page.getByText('新消息', { exact: true }).count(), 1);
  await say(page, 'hello');
  await page.locator('#new').waitFor({ state: 'hidden' });
  await page.locator('.divider').waitFor({ state: 'detached' });
});
