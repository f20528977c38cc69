// The tests run on the Node of Debian 12. A package that needs a newer one would make every browser test fail there.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const OLDEST_NODE = 18;

test('every package of the tests runs on the Node of Debian 12', async () => {
  const lock = JSON.parse(await readFile(new URL('../package-lock.json', import.meta.url), 'utf8'));
  const packages = Object.entries(lock.packages).filter(([name]) => name !== '');
  assert.ok(packages.length > 0);
  for (const [name, { engines }] of packages) {
    const wanted = /^>=\s*(\d+)/.exec(engines?.node ?? '>=0');
    assert.ok(wanted && Number(wanted[1]) <= OLDEST_NODE, `${name} wants Node ${engines?.node}, and Debian 12 has ${OLDEST_NODE}`);
  }
});
