// Gives each test of a file that imports this module its own stand-in server and its own browser.

import { afterEach, beforeEach } from 'node:test';
import { Peer } from '../peer.mjs';
import { browse } from './chromium.mjs';

export let peer;
export let browser;

beforeEach(async () => {
  peer = await Peer.start();
  browser = await browse();
});
afterEach(() => peer.kill());
