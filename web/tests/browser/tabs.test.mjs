// Names, tabs, rooms, pictures and days in Chromium. Against the stand-in.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { address, wholePng } from '../pictures.mjs';
import { browser, peer } from './standin.mjs';
import { enter, heard, say, submit, title } from './world.mjs';

const names = (page, list) => page.locator(`${list} .entry-name`).allTextContents();

async function rename(page, name) {
  await page.click('#me');
  await submit(page, '#name-input', name);
  await page.waitForFunction((text) => document.getElementById('me-name').textContent === text, name);
}

test('two tabs keep their names, share rooms and language, and know each other’s words', async () => {
  const one = await enter(browser, peer.url, { name: 'ada' });
  const two = await enter(browser, peer.url, { name: 'ada' });
  await say(two, 'from the other tab');
  await heard(one, 'from the other tab');
  assert.deepEqual([await one.locator('.talk.own').count(), await one.locator('.badge').count(), await one.locator('#log .tag').count()], [1, 0, 0]);
  await rename(two, 'eve');
  await one.click('#lang');
  await one.click('#rooms-add');
  await submit(one, '#room-input', 'tea');
  await title(one, 'tea');
  for (const page of [one, two]) {
    await page.reload();
    await page.waitForSelector('.state.connected');
  }
  assert.deepEqual([await one.textContent('#me-name'), await two.textContent('#me-name')], ['ada', 'eve']);
  assert.deepEqual([await names(one, '#room-list'), await names(two, '#room-list')], [['lobby', 'tea'], ['lobby', 'tea']]);
  assert.deepEqual([await one.getAttribute('html', 'lang'), await two.getAttribute('html', 'lang')], ['zh-Hans', 'zh-Hans']);
});

test('three spellings that people type lead to one room, and a link to the room of its own spelling', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  for (const typed of ['Tea', '#tea', 'ｔｅａ']) {
    await page.click('#rooms-add');
    await submit(page, '#room-input', typed);
    await title(page, 'tea');
    await page.locator('#rooms-dialog').waitFor({ state: 'hidden' });
  }
  assert.deepEqual(await names(page, '#room-list'), ['lobby', 'tea']);
  await page.goto(`${peer.url}/#Tea`);
  await title(page, 'Tea');
  assert.ok(peer.rooms.has('Tea'));
});

test('a first visitor of another room is in that one alone, and can write at once', async () => {
  peer.talk('lobby', 'bob', 'not for the visitor');
  const page = await browser.page();
  await page.goto(`${peer.url}/#den`);
  await submit(page, '#name-input', 'eve');
  await page.waitForSelector('.state.connected');
  await page.waitForFunction(() => document.activeElement.id === 'text');
  assert.deepEqual(await names(page, '#room-list'), ['den']);
  assert.deepEqual(peer.received.filter((message) => message.join).map(({ join }) => join.room), ['den']);
  assert.equal(await page.title(), 'den · Plaza');
});

test('after a rename of the other one the list of direct messages has the new name, and the next message goes there', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  const bob = await enter(await browser, peer.url, { name: 'ada' });
  await rename(bob, 'bob');
  await page.goto(`${peer.url}/#@bob`);
  await say(page, 'hello bob');
  await heard(page, 'hello bob');
  await rename(bob, 'rob');
  await title(page, 'rob');
  assert.deepEqual(await names(page, '#direct-list'), ['rob']);
  assert.equal(new URL(page.url()).hash, '#@rob');
  await say(page, 'hello rob');
  await bob.locator('#direct-list .badge').waitFor();
});

test('an own change of the topic names the user, and somebody who has spoken is not typing any more', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  await page.click('#topic');
  await submit(page, '#topic-input', 'Engines');
  await page.getByText('ada set the topic: Engines').waitFor();
  peer.tell(peer.room('lobby'), 'typing', { room: 'lobby', from: 'bob' });
  await page.getByText('bob is typing…').waitFor();
  peer.talk('lobby', 'bob', 'said');
  await heard(page, 'said');
  await page.waitForFunction(() => document.getElementById('typing').textContent === '', null, { timeout: 2_000 });
});

test('a huge picture is a sentence, others are decoded within a budget, and only near what is seen', async () => {
  const page = await enter(browser, peer.url, { name: 'ada' });
  const huge = address(wholePng(19_800, 19_800));
  for (let n = 0; n < 4; n += 1) peer.talk('lobby', 'bob', huge, { kind: 'image' });
  peer.talk('lobby', 'bob', 'data:image/svg+xml;base64,PHN2Zy8+', { kind: 'image' });
  await page.getByText('A picture of 19,800 × 19,800 pixels is too large to show.').nth(3).waitFor();
  await page.getByText('A picture that this page cannot show.').waitFor();
  assert.equal(await page.locator('#log img').count(), 0);
  const wide = address(wholePng(8_000, 1_000));
  for (let n = 0; n < 6; n += 1) peer.talk('lobby', 'bob', wide, { kind: 'image' });
  await page.locator('#log img').nth(2).waitFor();
  await page.getByRole('button', { name: 'Show picture' }).first().waitFor();
  assert.equal(await page.locator('#log img').count(), 3);
  await page.getByRole('button', { name: 'Show picture' }).first().click();
  assert.ok((await page.locator('#log img').count()) <= 3);
  const small = address(wholePng(400, 300));
  for (let n = 0; n < 30; n += 1) peer.talk('lobby', 'bob', small, { kind: 'image' });
  peer.talk('lobby', 'bob', 'the last');
  await heard(page, 'the last');
  await page.waitForFunction(() => document.querySelectorAll('#log .picture-place').length === 36 && document.querySelectorAll('#log img').length > 0);
  assert.ok((await page.locator('#log img').count()) < 15);
  assert.deepEqual(page.wrong, []);
});

test('a clock that is a day off makes no line of its own, and today is the day of the server', async () => {
  const page = await browser.page();
  await page.addInitScript(() => {
    const { now } = Date;
    Date.now = () => now() - 86_400_000;
    if (location.protocol !== 'about:') localStorage.setItem('plaza.v1', '{"name":"ada","rooms":["lobby"]}');
  });
  await page.goto(peer.url);
  await page.waitForSelector('.state.connected');
  for (let n = 0; n < 6; n += 1) {
    peer.talk('lobby', 'bob', `message ${n}`);
    await say(page, `answer ${n}`);
    await heard(page, `answer ${n}`);
    peer.tell(peer.room('lobby'), 'presence', { room: 'lobby', online: 2, version: n, joined: [`u${n}`], left: [], names: [] });
  }
  await page.getByText('u5 joined').waitFor();
  assert.deepEqual(await page.locator('#log .day').allTextContents(), ['Today']);
});

test('a full storage is told once, with what it means for the name', async () => {
  const page = await browser.page();
  await page.addInitScript(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
  });
  await page.goto(peer.url);
  await submit(page, '#name-input', 'ada');
  await page.locator('#toast', { hasText: 'the key of your name could not be saved' }).waitFor();
  await say(page, 'all the same');
  await heard(page, 'all the same');
});
