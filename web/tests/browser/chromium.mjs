// Chromium for the browser tests: Debian's, without a word to the outside, with an empty profile each time.

import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP plaza.example 127.0.0.1'];

/** A name for this machine that a browser does not take for its own: pages from it are not in a "secure context". */
export const ELSEWHERE = 'plaza.example';

/** A browser process of its own, with one context that `options` shape. */
export async function browse(options = {}) {
  const profile = await mkdtemp(path.join(os.tmpdir(), 'plaza-browser-'));
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  const context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: ARGUMENTS, locale: 'en-GB', viewport: { width: 1280, height: 800 }, ...options });
  return {
    context,
    page: () => context.newPage(),
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
