// The page in Chromium, against the server at PLAZA_URL (or the stand-in).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browse, ELSEWHERE } from './chromium.mjs';
import { enter, freshRoom, heard, say, server, submit, texts, title, visitor } from './world.mjs';

const ROWS_MAX = 600;
let at;

before(async () => (at = await server()));
after(() => at.close());

test('a first visit asks for a name and leads into the lobby', async () => {
  const browser = await browse();
  const page = await browser.page();
  await page.goto(at.url);
  await page.locator('#name-dialog').waitFor();
  await submit(page, '#name-input', 'Première Visite');
  await page.waitForSelector('.state.connected');
  assert.equal(await page.textContent('#me-name'), 'Première Visite');
  assert.equal(await page.textContent('#title'), 'lobby');
  await page.reload();
  await page.waitForSelector('.state.connected');
  assert.equal(await page.textContent('#me-name'), 'Première Visite');
  assert.equal(await page.locator('#name-dialog[open]').count(), 0);
});

test('from another machine over plain http, and where the browser keeps nothing, one can talk', async () => {
  const browser = await browse();
  const page = await browser.page();
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(String(error.stack)));
  await page.addInitScript(() => {
    for (const storage of ['localStorage', 'sessionStorage']) Object.defineProperty(window, storage, { get: () => { throw new DOMException('blocked', 'SecurityError'); } });
  });
  await page.goto(at.url.replace('127.0.0.1', ELSEWHERE));
  assert.equal(await page.evaluate(() => isSecureContext), false);
  await submit(page, '#name-input', `ada-${freshRoom()}`);
  await page.waitForSelector('.state.connected');
  const text = `said ${freshRoom()}`;
  await say(page, text);
  await heard(page, text);
  assert.deepEqual(wrong, []);
});

test('two people talk, in Chinese too, and see each other come', async () => {
  const room = freshRoom();
  const ada = await enter(await browse(), at.url, { name: 'ada', room });
  const zhang = await enter(await browse({ locale: 'zh-CN' }), at.url, { name: '张三', room, lang: 'zh' });
  await ada.getByText('张三 joined').waitFor();
  await ada.waitForFunction(() => document.getElementById('online').textContent === '2 online');
  assert.equal(await zhang.textContent('#online'), '2 人在线');
  await say(ada, 'hello');
  await heard(zhang, 'hello');
  await say(zhang, '你好，世界 🌏');
  await heard(ada, '你好，世界 🌏');
  await heard(zhang, '你好，世界 🌏');
  assert.deepEqual(await texts(ada), ['hello', '你好，世界 🌏']);
  assert.deepEqual(await texts(zhang), ['hello', '你好，世界 🌏']);
  assert.equal(await ada.locator('.talk.own .text').textContent(), 'hello');
  await ada.locator('#member-list').getByText('张三').waitFor();
  assert.deepEqual([ada.wrong, zhang.wrong], [[], []]);
});

test('the enter that ends a composition does not send, the next one does, and shift with enter is a new line', async () => {
  const page = await enter(await browse({ locale: 'zh-CN' }), at.url, { name: '王芳', room: freshRoom(), lang: 'zh' });
  const devtools = await page.context().newCDPSession(page);
  await page.focus('#text');
  await devtools.send('Input.imeSetComposition', { text: 'ni hao', selectionStart: 6, selectionEnd: 6 });
  // The event of Enter while an input method composes.
  await devtools.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13 });
  await devtools.send('Input.dispatchKeyEvent', { type: 'keyUp', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13 });
  await devtools.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Process', code: 'Enter', windowsVirtualKeyCode: 229 });
  assert.equal(await page.locator('#log .talk').count(), 0);
  await devtools.send('Input.insertText', { text: '你好' });
  assert.equal(await page.inputValue('#text'), '你好');
  await page.press('#text', 'Shift+Enter');
  await page.keyboard.insertText('世界');
  assert.equal(await page.locator('#log .talk').count(), 0);
  await page.press('#text', 'Enter');
  await heard(page, '你好\n世界');
  assert.equal(await page.inputValue('#text'), '');
});

test('markup stays text: in messages, names, topics and room names', async () => {
  const evil = '<img src=x onerror="document.title=\'broken\'">';
  const room = `<b>${freshRoom()}</b>`;
  const page = await enter(await browse(), at.url, { name: 'ada', room });
  const mallory = await visitor(at.url, evil, room);
  await mallory.talk(evil);
  await mallory.ask('topic', { room, topic: evil });
  await heard(page, evil);
  await page.locator('#topic', { hasText: evil }).waitFor();
  await page.locator('#member-list').getByText(evil).waitFor();
  assert.equal(await page.locator('#log .talk .name').textContent(), evil);
  assert.equal(await page.locator('#app img:not([src="icon.svg"]), #app b').count(), 0);
  assert.ok((await page.title()).endsWith('Plaza'));
  assert.deepEqual(page.wrong, []);
  mallory.leave();
});

test('a very long text is cut until it is asked for', async () => {
  const room = freshRoom();
  const page = await enter(await browse(), at.url, { name: 'ada', room });
  const bob = await visitor(at.url, 'bob', room);
  const lines = Array.from({ length: 5_000 }, (_, n) => `line ${n + 1}`).join('\n');
  const smileys = `x${'😀'.repeat(1_000)}`;
  await bob.talk(lines);
  await bob.talk(smileys);
  await page.locator('.unfold').nth(1).waitFor();
  assert.ok((await page.locator('#log').evaluate((log) => log.scrollHeight)) < 2_000);
  const shown = await texts(page);
  assert.ok(shown[0].endsWith('\nline 25…'));
  assert.ok(shown[1].endsWith('😀…') && !/[\ud800-\udbff](?![\udc00-\udfff])/.test(shown[1]));
  await page.locator('.unfold').nth(1).click();
  await page.locator('.unfold').first().click();
  await page.locator('.unfold').waitFor({ state: 'detached' });
  assert.deepEqual(await texts(page), [lines, smileys]);
  bob.leave();
});

test('equal names of different sessions carry their tags', async () => {
  const room = freshRoom();
  const page = await enter(await browse(), at.url, { name: 'ada', room });
  const [one, two] = [await visitor(at.url, 'twin', room), await visitor(at.url, 'twin', room)];
  await one.talk('first');
  await heard(page, 'first');
  assert.equal(await page.locator('#log .tag').count(), 0);
  await two.talk('second');
  await heard(page, 'second');
  const tags = await page.locator('#log .tag').allTextContents();
  assert.equal(new Set(tags).size, 2);
  one.leave();
  two.leave();
});

test('rooms are switched, with a count of what is unread and a line where it begins', async () => {
  const [first, second] = [freshRoom(), freshRoom()];
  const page = await enter(await browse(), at.url, { name: 'ada', room: first });
  await page.click('#rooms-add');
  await submit(page, '#room-input', second);
  await title(page, second);
  const bob = await visitor(at.url, 'bob', first);
  for (const text of ['one', 'two']) await bob.talk(text);
  await page.locator('#room-list .entry.unread .badge', { hasText: '2' }).waitFor();
  await page.locator('#room-list').getByText(first).click();
  await heard(page, 'two');
  assert.equal(await page.locator('#log .divider').count(), 1);
  assert.equal(await page.locator('#room-list .badge').count(), 0);
  bob.leave();
});

test('a room and a user have an address, and the way back leads through them', async () => {
  const [first, second] = [freshRoom(), `聊天 ${freshRoom()}/?#`];
  const page = await enter(await browse(), at.url, { name: 'ada', room: first });
  const title = (text) => page.waitForFunction((name) => document.getElementById('title').textContent === name, text);
  await page.goto(`${at.url}/#${encodeURIComponent(second)}`);
  await title(second);
  await page.waitForFunction(() => document.getElementById('online').textContent === '1 online');
  await page.locator('#room-list').getByText(first).click();
  await title(first);
  assert.equal(new URL(page.url()).hash, `#${first}`);
  await page.goBack();
  await title(second);
  await page.goForward();
  await title(first);
  await page.goto(`${at.url}/#@bob`);
  await page.locator('#title.peer').waitFor();
  await title('bob');
  // In a new tab, a first visit opens the conversation in the address.
  const other = await (await browse()).page();
  await other.goto(`${at.url}/#${first}`);
  await submit(other, '#name-input', `eve-${freshRoom()}`);
  await other.waitForFunction(() => document.getElementById('online').textContent === '2 online');
  assert.equal(await other.textContent('#title'), first);
});

test('who leaves the last room is in the lobby, which cannot be left then', async () => {
  const page = await enter(await browse(), at.url, { name: `ada-${freshRoom()}`, room: freshRoom() });
  await page.click('#leave');
  await title(page, 'lobby');
  const text = `said ${freshRoom()}`;
  await say(page, text);
  await heard(page, text);
  assert.equal(await page.locator('#leave').isVisible(), false);
});

test('the focus stays where it was while counts change, and goes back where a panel was opened', async () => {
  const [first, second] = [freshRoom(), freshRoom()];
  const page = await enter(await browse({ viewport: { width: 390, height: 844 } }), at.url, { name: 'ada', room: first });
  await page.goto(`${at.url}/#${second}`);
  await page.waitForFunction(() => document.getElementById('online').textContent === '1 online');
  const bob = await visitor(at.url, 'bob', first);
  await page.click('#menu');
  await page.locator('#room-list .entry', { hasText: first }).focus();
  await bob.talk('one');
  await page.locator('#room-list .badge', { hasText: '1' }).waitFor();
  assert.match(await page.evaluate(() => document.activeElement.textContent), new RegExp(first));
  await page.keyboard.press('Escape');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'menu');
  bob.leave();
});

test('without scripts the page says what it needs', async () => {
  const page = await (await browse({ javaScriptEnabled: false })).page();
  for (const path of ['/', '/home/index', '/communication']) {
    await page.goto(at.url + path);
    const { y, height } = await page.locator('.no-script').boundingBox();
    assert.ok(y >= 0 && y + height <= 800, `${path}: at ${y}`);
  }
});

test('a direct message opens a conversation on both sides', async () => {
  const room = freshRoom();
  const [a, b] = [`ada-${room}`, `bob-${room}`];
  const ada = await enter(await browse(), at.url, { name: a, room });
  const bob = await enter(await browse(), at.url, { name: b, room });
  await ada.locator('#member-list').getByText(b).click();
  await say(ada, 'between us');
  await bob.locator('#direct-list .entry', { hasText: a }).locator('.badge').waitFor();
  await bob.locator('#direct-list').getByText(a).click();
  await heard(bob, 'between us');
  await say(bob, 'answer');
  await heard(ada, 'answer');
  assert.deepEqual(await texts(ada), ['between us', 'answer']);
});

test('a long topic is shown whole where it was set, and cut in the head alone', async () => {
  const page = await enter(await browse(), at.url, { name: 'topical', room: freshRoom() });
  await page.click('#topic');
  await submit(page, '#topic-input', '一个很长的话题，人人都该看到它的结尾。'.repeat(8));
  await page.locator('#log .note.topic').waitFor();
  const isCut = (selector) => page.locator(selector).evaluate((shown) => shown.scrollWidth > shown.clientWidth);
  assert.deepEqual([await isCut('#log .note.topic'), await isCut('#topic')], [false, true]);
});

test('renaming, the topic and typing are seen by the others', async () => {
  const room = freshRoom();
  const ada = await enter(await browse(), at.url, { name: 'ada', room });
  const bob = await enter(await browse(), at.url, { name: 'bob', room });
  await ada.click('#me');
  await submit(ada, '#name-input', 'Countess');
  await bob.getByText('ada is now Countess').waitFor();
  await ada.click('#topic');
  await submit(ada, '#topic-input', 'Engines');
  await bob.locator('#topic', { hasText: 'Engines' }).waitFor();
  await ada.locator('#text').pressSequentially('abc');
  await bob.getByText('Countess is typing…').waitFor();
});

test('five thousand messages stay fluid: bounded rows, an input that answers, pinned to the newest', async () => {
  const room = freshRoom();
  const page = await enter(await browse(), at.url, { name: 'reader', room });
  await page.evaluate(() => {
    window.longest = 0;
    let before = performance.now();
    const frame = (now) => {
      window.longest = Math.max(window.longest, now - before);
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  const talkers = await Promise.all(Array.from({ length: 20 }, (_, n) => visitor(at.url, `talker-${n}`, room)));
  let left = 5_000;
  const flood = Promise.all(
    talkers.map(async (talker) => {
      while (left > 0) await talker.talk(`message ${(left -= 1)} 消息`);
    }),
  );
  await page.focus('#text');
  const delays = [];
  for (let i = 0; i < 20; i += 1) {
    const began = performance.now();
    await page.keyboard.type('x');
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
    delays.push(performance.now() - began);
  }
  await flood;
  await talkers[0].talk('the last one');
  await heard(page, 'the last one');
  const rows = await page.locator('#log .row').count();
  const longest = await page.evaluate(() => window.longest);
  delays.sort((a, b) => a - b);
  console.log(`5,000 messages: ${rows} rows, longest frame ${longest.toFixed(0)} ms, typing median ${delays[10].toFixed(0)} ms, worst ${delays[19].toFixed(0)} ms`);
  assert.ok(rows <= ROWS_MAX, `${rows} rows`);
  assert.ok(delays[10] < 500, `typing took ${delays[10]} ms`);
  assert.ok(longest < 1_500, `a frame took ${longest} ms`);
  assert.equal(await page.inputValue('#text'), 'x'.repeat(20));
  // The view does not move for a reader who has scrolled up, however many messages arrive.
  await page.locator('#log').evaluate((log) => (log.scrollTop = log.scrollHeight / 2));
  await page.locator('#jump').waitFor();
  const middle = () =>
    page.evaluate(() => {
      const { left: x, top, width, height } = document.getElementById('log').getBoundingClientRect();
      return document.elementFromPoint(x + width / 2, top + height / 2).closest('.row').textContent;
    });
  const reading = await middle();
  for (let i = 0; i < 20; i += 1) await talkers[0].talk(`later ${i}`);
  await page.locator('#jump', { hasText: /\d/ }).waitFor();
  assert.equal(await middle(), reading);
  await page.click('#jump');
  await heard(page, 'later 19');
  for (const talker of talkers) talker.leave();
});

test('a phone of 360 pixels has everything within reach and nothing sticking out', async () => {
  const room = freshRoom();
  const browser = await browse({ viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
  const page = await enter(browser, at.url, { name: 'phone', room });
  const bob = await visitor(at.url, 'bob', room);
  await bob.talk(`${'long'.repeat(200)} 长`);
  await page.locator('#log .talk').waitFor();
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 360);
  assert.ok((await page.locator('#log').evaluate((log) => log.scrollWidth - log.clientWidth)) <= 0);
  await page.tap('#menu');
  await page.locator('#room-list').getByText(room).waitFor();
  await page.tap('#rooms-close');
  await page.tap('#online');
  await page.locator('#member-list').getByText('bob').waitFor();
  await page.tap('#members-close');
  await page.fill('#text', 'from the phone');
  await page.tap('#send');
  await heard(page, 'from the phone');
  const send = await page.locator('#send').boundingBox();
  assert.ok(send.x + send.width <= 360 && send.y + send.height <= 740);
  bob.leave();
});

test('the language is switched and remembered, and the keyboard reaches every control', async () => {
  const page = await enter(await browse(), at.url, { name: 'ada', room: freshRoom() });
  await page.click('#lang');
  assert.equal(await page.getAttribute('html', 'lang'), 'zh-Hans');
  assert.equal(await page.textContent('#state'), '已连接');
  await page.reload();
  await page.waitForSelector('.state.connected');
  assert.equal(await page.textContent('#state'), '已连接');
  const reached = new Set();
  for (let i = 0; i < 40; i += 1) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement.id));
  }
  for (const id of ['rooms-add', 'me', 'lang', 'topic', 'online', 'leave', 'log', 'text']) assert.ok(reached.has(id), `Tab never reached ${id}`);
});

test('the page is served with a policy that allows no stranger’s script', async () => {
  const policy = (await fetch(at.url)).headers.get('content-security-policy') ?? '';
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /script-src 'self'/);
  assert.doesNotMatch(policy, /unsafe/);
});
