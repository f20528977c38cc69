// Starts Debian's Chromium for the browser tests, without outside connections and with an empty profile.

import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach } from 'node:test';
import { chromium } from 'playwright-core';

const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP plaza.example 127.0.0.1'];

/** A name of this machine that the browser does not treat as local, so its pages are not in a "secure context". */
export const ELSEWHERE = 'plaza.example';

let opened = [];

afterEach(async () => {
  await Promise.all(opened.map((close) => close()));
  opened = [];
});

/** A separate browser process until the test ends, with one context with these `options`. */
export async function browse(options = {}) {
  const profile = await mkdtemp(path.join(os.tmpdir(), 'plaza-browser-'));
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  const context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: ARGUMENTS, locale: 'en-GB', viewport: { width: 1280, height: 800 }, ...options });
  opened.push(async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  });
  return { context, page: () => context.newPage() };
}
