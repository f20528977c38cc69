// The server of the browser tests: the one at `PLAZA_URL`, or else the stand-in.

import { createHash, randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { Peer } from '../peer.mjs';

export const REAL = process.env.PLAZA_URL ?? null;

/** A server to test against, and a function that stops it. */
export async function server() {
  if (REAL) return { url: REAL, close: async () => {} };
  const peer = await Peer.start();
  return { url: peer.url, peer, close: () => peer.kill() };
}

/** Starts the real server (`PLAZA_BIN`) with its data in `data`; resolves once it listens. `address` may be that of an earlier one. */
export async function startServer(data, address = '127.0.0.1:0') {
  // The server takes PLAZA_… variables for settings and refuses unknown ones, so the tests remove their own.
  const { PLAZA_BIN, PLAZA_URL, PLAZA_SEED_PAGE, ...env } = process.env;
  const child = spawn(PLAZA_BIN, ['serve', '--listen', address, '--admin', '127.0.0.1:0', '--data', data], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /listening on (http:\/\/\S+)/.exec(line);
      if (found) resolve(found[1]);
    });
    ended.then((code) => reject(new Error(`the server ended with ${code} before it listened on ${address}`)));
  });
  return {
    url,
    kill: async (signal = 'SIGKILL') => {
      child.kill(signal);
      await ended;
    },
  };
}

/** A room that no other test uses. */
export function freshRoom() {
  return `room-${randomUUID().slice(0, 8)}`;
}

/** The key of a name, the same in every test, because a claimed name keeps its key. */
function keyOf(name) {
  return createHash('sha256').update(name).digest('hex');
}

/** A page in `room` as `name`, without the dialog of a first visit. */
export async function enter(browser, url, { name, room = 'lobby', lang = 'en' }) {
  const page = await browser.page();
  page.wrong = [];
  page.on('pageerror', (error) => page.wrong.push(String(error.stack)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/WebSocket connection|ERR_CONNECTION_REFUSED/.test(message.text())) page.wrong.push(message.text());
  });
  const state = JSON.stringify({ name, keys: { [name]: keyOf(name) }, rooms: [room], active: `room:${room}`, lang });
  // A blank page has no storage.
  await page.addInitScript((kept) => location.protocol === 'about:' || (localStorage.getItem('plaza.v1') ?? localStorage.setItem('plaza.v1', kept)), state);
  await page.goto(url);
  await page.waitForSelector('.state.connected');
  await page.waitForFunction(() => document.getElementById('online').textContent.match(/[1-9]/));
  return page;
}

/** Types this into a field, and ends it with enter. */
export async function submit(page, field, text) {
  await page.fill(field, text);
  await page.press(field, 'Enter');
}

export function say(page, text) {
  return submit(page, '#text', text);
}

/** Waits until this room or user is shown. */
export function title(page, text) {
  return page.waitForFunction((name) => document.getElementById('title').textContent === name, text);
}

/** Scrolls up until there is nothing older, however long each page takes to load. */
export async function scrollToTheBeginning(page) {
  const beginning = page.getByText('This is the beginning of the conversation.');
  await page.locator('#log').hover();
  for (const until = Date.now() + 60_000; Date.now() < until && !(await beginning.isVisible()); ) {
    await page.mouse.wheel(0, -2_000);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  }
  await beginning.waitFor();
}

/** The texts in the log, in order. */
export function texts(page) {
  return page.locator('#log .talk .text').allTextContents();
}

export function heard(page, text) {
  return page.locator('#log .talk:not(.waiting):not(.sending):not(.sent) .text').getByText(text, { exact: true }).waitFor();
}

/** A user without a page: a socket that speaks the native protocol. */
export async function visitor(url, name, room) {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/chat`, 'plaza.v1.json');
  let id = 0;
  const waiting = new Map();
  socket.on('message', (data) => {
    const message = JSON.parse(data.toString());
    waiting.get(message.id ?? 0)?.(message);
    waiting.delete(message.id ?? 0);
  });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const ask = (kind, body) =>
    new Promise((resolve) => {
      waiting.set((id += 1), resolve);
      socket.send(JSON.stringify({ id, [kind]: body }));
    });
  await ask('hello', { name, key: keyOf(name) });
  const joined = await ask('join', { room });
  if (!joined.joined) throw new Error(`${name} could not join ${room}: ${JSON.stringify(joined)}`);
  return {
    ask,
    async talk(text) {
      for (;;) {
        const answer = await ask('talk', { room, text });
        if (answer.ack) return answer.ack;
        if (!(answer.error?.retry_after > 0)) throw new Error(`talk was refused: ${JSON.stringify(answer)}`);
        await new Promise((resolve) => setTimeout(resolve, answer.error.retry_after));
      }
    },
    typing: () => socket.send(JSON.stringify({ typing: { room } })),
    leave: () => socket.close(),
  };
}
