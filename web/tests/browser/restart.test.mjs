// Kills and restarts the real server under an open page. Needs PLAZA_BIN.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { browse } from './chromium.mjs';
import { enter, heard, say, startServer, texts, visitor } from './world.mjs';

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
    await running.kill();
    await rm(data, { recursive: true, force: true });
  }
});

test('a server that is restored from a copy is followed: an open page shows what is new, and its own', { skip }, async () => {
  const data = await mkdtemp(path.join(os.tmpdir(), 'plaza-restore-'));
  const copy = `${data}-copy`;
  const browser = await browse();
  let running = await startServer(data);
  try {
    const page = await enter(browser, running.url, { name: 'ada' });
    /** Bob, with his key. */
    const comes = async (as) => {
      const visiting = await visitor(running.url, as, 'lobby');
      const { error } = await visiting.ask('rename', { name: 'bob', key: 'b'.repeat(32) });
      assert.equal(error, undefined);
      return visiting;
    };
    let bob = await comes('first');
    const says = async (...words) => {
      for (const word of words) await bob.talk(word);
    };
    await says('kept 1', 'kept 2');
    await bob.ask('direct', { to: 'ada', text: 'kept' });
    await heard(page, 'kept 2');
    const { PLAZA_BIN, PLAZA_URL, PLAZA_SEED_PAGE, ...env } = process.env;
    execFileSync(PLAZA_BIN, ['history', 'backup', '--data', data, copy], { env });
    await says('lost 1', 'lost 2', 'lost 3');
    await bob.ask('direct', { to: 'ada', text: 'lost' });
    await say(page, 'lost too');
    await heard(page, 'lost too');
    await running.kill('SIGTERM');
    await rm(data, { recursive: true });
    await cp(copy, data, { recursive: true });
    running = await startServer(data, new URL(running.url).host);
    await page.locator('.state.connected').waitFor();
    bob = await comes('second');
    await says('new 1', 'new 2');
    await say(page, 'own');
    await heard(page, 'own');
    await bob.ask('direct', { to: 'ada', text: 'new' });
    const before = ['kept 1', 'kept 2', 'lost 1', 'lost 2', 'lost 3', 'lost too'];
    assert.deepEqual(await texts(page), [...before, 'new 1', 'new 2', 'own']);
    await page.locator('#direct-list .entry', { hasText: 'bob' }).click();
    await heard(page, 'new');
    assert.deepEqual(await texts(page), ['kept', 'lost', 'new']);
    await page.reload();
    await heard(page, 'new');
    assert.deepEqual(await texts(page), ['kept', 'new']);
    bob.leave();
  } finally {
    await running.kill();
    for (const folder of [data, copy]) await rm(folder, { recursive: true, force: true });
  }
});
