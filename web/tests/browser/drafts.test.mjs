// Drafts survive a reload.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browse } from './chromium.mjs';
import { enter, freshRoom, heard, say, server, title } from './world.mjs';

let at;

before(async () => (at = await server()));
after(() => at.close());

async function reload(page) {
  await page.reload();
  await page.waitForSelector('.state.connected');
}

async function goInto(page, room) {
  await page.goto(`${at.url}/#${room}`);
  await title(page, room);
}

test('what is typed before the scripts have come is neither sent into nothing nor lost', async () => {
  const page = await enter(await browse(), at.url, { name: 'ada', room: freshRoom() });
  let go;
  const gate = new Promise((resolve) => (go = resolve));
  await page.route('**/app.js', async (route) => {
    await gate;
    await route.continue();
  });
  await page.reload({ waitUntil: 'commit' });
  await page.waitForSelector('#text');
  await page.fill('#text', 'early');
  assert.equal(await page.isDisabled('#send'), true);
  go();
  await page.waitForSelector('.state.connected');
  assert.equal(await page.inputValue('#text'), 'early');
  await page.click('#send');
  await heard(page, 'early');
});

test('each room keeps its draft over a reload, until it is sent or emptied', async () => {
  const [first, second] = [freshRoom(), freshRoom()];
  const page = await enter(await browse(), at.url, { name: 'ada', room: first });
  await page.fill('#text', 'for the first\nin two lines');
  await goInto(page, second);
  assert.equal(await page.inputValue('#text'), '');
  await page.fill('#text', '给第二个');
  await reload(page);
  assert.equal(await page.inputValue('#text'), '给第二个');
  await goInto(page, first);
  assert.equal(await page.inputValue('#text'), 'for the first\nin two lines');
  await page.press('#text', 'Enter');
  await heard(page, 'for the first\nin two lines');
  await goInto(page, second);
  await page.fill('#text', '');
  await reload(page);
  assert.equal(await page.inputValue('#text'), '');
  await goInto(page, first);
  assert.equal(await page.inputValue('#text'), '');
  assert.deepEqual(page.wrong, []);
});

test('two tabs in one room keep a draft each, and a third has none', async () => {
  const room = freshRoom();
  const browser = await browse();
  const [one, two] = [await enter(browser, at.url, { name: 'ada', room }), await enter(browser, at.url, { name: 'ada', room })];
  await one.fill('#text', 'of one tab');
  await two.fill('#text', 'of the other tab');
  await reload(one);
  await reload(two);
  assert.deepEqual([await one.inputValue('#text'), await two.inputValue('#text')], ['of one tab', 'of the other tab']);
  const third = await enter(browser, at.url, { name: 'ada', room });
  assert.equal(await third.inputValue('#text'), '');
});

test('where the tab has no room for it one writes and talks all the same, and what was sent does not come back', async () => {
  const page = await enter(await browse(), at.url, { name: 'ada', room: freshRoom() });
  await page.fill('#text', 'kept');
  await reload(page);
  assert.equal(await page.inputValue('#text'), 'kept');
  await page.evaluate(() => {
    let piece = 'x'.repeat(1_000_000);
    for (let n = 0; piece.length > 0; n += 1) {
      try {
        sessionStorage.setItem(`filler-${n}`, piece);
      } catch {
        piece = piece.slice(0, piece.length / 2);
      }
    }
  });
  const long = 'too long for what is left '.repeat(100).trim();
  await page.fill('#text', long);
  await reload(page);
  assert.equal(await page.inputValue('#text'), '', 'nor does what was written before');
  await say(page, long);
  await heard(page, `${long.slice(0, 1_500)}…`);
  await reload(page);
  assert.equal(await page.inputValue('#text'), '');
  assert.deepEqual(page.wrong, []);
});
