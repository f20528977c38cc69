// Refusals and goodbyes in the language of the page.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, after, test } from 'node:test';
import { Peer } from '../peer.mjs';
import { browse } from './chromium.mjs';
import { enter, freshRoom, REAL, server, submit } from './world.mjs';

const skip = REAL ? false : 'SKIPPED: the stand-in has no rules for names and topics';
let at;

before(async () => (at = await server()));
after(() => at.close());

async function setTopic(page, topic) {
  if (!(await page.locator('#topic-dialog').isVisible())) await page.click('#topic');
  await submit(page, '#topic-input', topic);
}

async function takeName(page, name) {
  if (!(await page.locator('#name-dialog').isVisible())) await page.click('#me');
  await submit(page, '#name-input', name);
}

test('what the real server refuses is said in Chinese, with what was seen and what is allowed', { skip }, async () => {
  const page = await enter(await browse(), at.url, { name: '王芳', room: freshRoom(), lang: 'zh' });
  const said = (id, words) => page.locator(id).getByText(words, { exact: true }).waitFor();
  await takeName(page, '名'.repeat(70));
  await said('#name-wrong', '这个名字有 70 个字符，最多允许 64 个');
  await takeName(page, 'in\u200bvisible');
  await said('#name-wrong', '这个名字含有无法显示的字符 U+200B，请删除');
  await page.click('#name-lang');
  await said('#name-wrong', 'This name contains the character U+200B, which cannot be shown; leave it out');
  await page.click('#name-lang');
  await page.click('#name-cancel');
  await setTopic(page, '题'.repeat(300));
  await said('#topic-wrong', '内容有 300 个字符，最多允许 256 个');
  await page.click('#topic-cancel');
  await page.click('#rooms-add');
  await submit(page, '#room-input', '间'.repeat(65));
  await said('#room-wrong', '这个名字有 65 个字符，最多允许 64 个');
  assert.deepEqual(page.wrong, []);
});

test('no code of the server’s table leaves a Chinese page in English', async () => {
  const table = await readFile(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
  const [errors, goodbyes] = table.split('## Goodbyes').map((part) => [...part.matchAll(/^\| `(\w+)` \|/gm)].map(([, code]) => code));
  const peer = await Peer.start();
  try {
    const page = await enter(await browse({ locale: 'zh-CN' }), peer.url, { name: '王芳', lang: 'zh' });
    let refusal;
    peer.fault = ({ kind, id, session }) => {
      if (kind !== 'topic') return undefined;
      peer.say(session, 'error', refusal, id);
      return 'handled';
    };
    const wrong = page.locator('#topic-wrong');
    let before = '';
    for (const code of errors) {
      // These two show the server's text if it has no fact for the page's sentence.
      const text = { invalid: 'it has 300 characters; at most 256 are allowed', bad_name: 'it holds U+200B' }[code] ?? 'in English';
      refusal = { code, text, retry_after: code === 'busy' ? 2_000 : 0 };
      await setTopic(page, 'x');
      await page.waitForFunction((old) => ![old, ''].includes(document.getElementById('topic-wrong').textContent), before);
      before = await wrong.textContent();
      assert.doesNotMatch(before.replace('U+200B', ''), /[a-z]/i, code);
      if (code === 'busy') assert.equal(before, '服务器繁忙，请在 2 秒后重试');
    }
    refusal = { code: 'of_tomorrow', text: 'The words of tomorrow', retry_after: 0 };
    await setTopic(page, 'x');
    await wrong.getByText('The words of tomorrow', { exact: true }).waitFor();
    await page.click('#topic-cancel');
    for (const code of [...goodbyes, 'of_tomorrow']) {
      for (const session of peer.sessions) {
        peer.say(session, 'goodbye', { code, text: 'The words of tomorrow', retry_after: 0 });
        session.socket.close(4500);
      }
      await page.locator('.state.closed').waitFor();
      const words = await page.textContent('#banner-text');
      if (code === 'of_tomorrow') assert.equal(words, '服务器已结束连接：The words of tomorrow');
      else assert.doesNotMatch(words, /[a-z]|^服务器已结束连接。$/i, code);
      await page.click('#banner-button');
      await page.locator('.state.connected').waitFor();
    }
    assert.deepEqual(page.wrong, []);
  } finally {
    await peer.kill();
  }
});
