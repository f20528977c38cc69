// The real server is killed and started again under an open page. Needs PLAZA_BIN.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { browse } from './chromium.mjs';
import { enter, heard, say, startServer, texts } from './world.mjs';

const skip = process.env.PLAZA_BIN ? false : 'SKIPPED: PLAZA_BIN names no server to kill and start again';

test('a server killed and started again shows as a state, and nothing stands twice', { skip }, async () => {
  const data = await mkdtemp(path.join(os.tmpdir(), 'plaza-restart-'));
  const browser = await browse();
  let running = await startServer(data);
  try {
    const page = await enter(browser, running.url, { name: 'ada' });
    await say(page, 'before');
    await heard(page, 'before');
    await running.kill();
    await page.locator('#banner').waitFor();
    await say(page, 'while away');
    await page.locator('.talk.waiting', { hasText: 'while away' }).waitFor();
    running = await startServer(data, new URL(running.url).host);
    await page.locator('.state.connected').waitFor();
    await heard(page, 'while away');
    assert.deepEqual(await texts(page), ['before', 'while away']);
    await page.reload();
    await heard(page, 'while away');
    assert.deepEqual(await texts(page), ['before', 'while away']);
  } finally {
    await browser.close();
    await running.kill();
    await rm(data, { recursive: true, force: true });
  }
});
