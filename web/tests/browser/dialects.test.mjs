// The pages of the older systems against the real server: Plaza's own for documents 000 and 003, and the page of document 004 as a
// client of plain `/ws`. The stand-in does not speak these dialects.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { browse } from './chromium.mjs';
import { enter, freshRoom, heard, REAL, say, submit, visitor } from './world.mjs';

const skip = REAL ? false : 'SKIPPED: PLAZA_URL names no server';
const seed = process.env.PLAZA_SEED_PAGE;
const skipSeed = skip || (seed ? false : 'SKIPPED: PLAZA_SEED_PAGE does not name the document with the page of document 004');

async function tab(url, options) {
  const browser = await browse(options);
  const page = await browser.page();
  page.on('pageerror', (error) => assert.fail(String(error.stack)));
  await page.goto(url);
  return page;
}

function shows(page, text) {
  return page.locator('#log .text').getByText(text, { exact: true }).waitFor();
}

test('document 003, one to one: each sees what the other says, as text, and pictures only from the web', { skip }, async () => {
  const [a, b] = [String(Math.floor(Math.random() * 1e9)), String(Math.floor(Math.random() * 1e9))];
  const one = await tab(`${REAL}/home/index?uid=${a}&to_uid=${b}`, { locale: 'zh-CN' });
  const two = await tab(`${REAL}/home/index?uid=${b}&to_uid=${a}`);
  for (const page of [one, two]) await page.getByText('连接成功').waitFor();
  const evil = '<img src=x onerror=alert(1)> 你好';
  await say(one, evil);
  await shows(two, evil);
  await shows(one, evil);
  await two.selectOption('#kind', 'image');
  await say(two, 'javascript:alert(1)');
  await shows(one, 'javascript:alert(1)');
  const dot = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';
  await say(two, dot);
  await one.locator(`#log img[src="${dot}"]`).waitFor();
  assert.equal(await one.locator('#log img').count(), 1);
  await two.close();
  await one.getByText('用户已经离开').waitFor();
});

test('document 003, group 1 is the lobby: its members and the page at / talk to each other', { skip }, async () => {
  const uid = String(Math.floor(Math.random() * 1e9));
  const group = await tab(`${REAL}/home/room?uid=${uid}&groups_id=1`);
  await group.getByText('连接成功').waitFor();
  const browser = await browse();
  const ada = await enter(browser, REAL, { name: `ada-${uid}` });
  await say(group, `from the group ${uid}`);
  await heard(ada, `from the group ${uid}`);
  await say(ada, `from the lobby ${uid}`);
  await shows(group, `from the lobby ${uid}`);
  await shows(group, `from the group ${uid}`);
});

test('document 000: the page talks protobuf, lists who is here, and leaves', { skip }, async () => {
  const name = `张三-${freshRoom()}`;
  const page = await tab(`${REAL}/communication?username=${encodeURIComponent(name)}`);
  await page.locator('.state.connected').waitFor();
  await say(page, `你好 ${name}`);
  await shows(page, `你好 ${name}`);
  assert.equal(await page.locator('#log .talk.own .name').first().textContent(), name);
  await page.click('#list');
  await page.locator('#log .note', { hasText: name }).waitFor();
  await page.click('#exit');
  await page.locator('.state.closed').waitFor();
});

test('document 000: the schema is served where its page looks for it', { skip }, async () => {
  const schema = await (await fetch(`${REAL}/connect.proto`)).text();
  assert.match(schema, /message Communication/);
});

// Behaves like the page of document 004 on the wire.
const OUR_PAGE = (address) => `<!DOCTYPE html><meta charset="utf-8"><ul id="user_list"></ul><div id="msg_list"></div><span id="user_num"></span>
<textarea id="msg_box"></textarea><button id="go">go</button><script>
const name = prompt('name'), socket = new WebSocket('${address}'), $ = (id) => document.getElementById(id);
const line = (text) => { const p = document.createElement('p'); p.textContent = text; $('msg_list').append(p); };
const people = (names) => { $('user_list').replaceChildren(...names.map((n) => { const li = document.createElement('li'); li.textContent = n; return li; })); $('user_num').textContent = names.length; };
socket.onmessage = ({ data }) => {
  const m = JSON.parse(data);
  if (m.type === 'handshake') socket.send(JSON.stringify({ type: 'login', content: name }));
  else if (m.type === 'login' || m.type === 'logout') { people(m.user_list); line(m.type + ' ' + m.content); }
  else line((m.type === 'user' ? m.from : 'system') + ': ' + m.content);
};
const send = () => { socket.send(JSON.stringify({ content: $('msg_box').value.trim(), type: 'user' })); $('msg_box').value = ''; };
$('go').onclick = send;
$('msg_box').onkeydown = (e) => { if (e.keyCode === 13) send(); };
</script>`;

/** Opens a page as its document describes: from a file, with a prompt for the name. */
async function asFile(html, name) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'plaza-file-'));
  const file = path.join(folder, 'local.html');
  await writeFile(file, html);
  const browser = await browse();
  const page = await browser.page();
  page.on('dialog', (dialog) => dialog.accept(name));
  await page.goto(`file://${file}`);
  await rm(folder, { recursive: true });
  return page;
}

async function chatsOnPlainWs(html) {
  const id = freshRoom();
  const [a, b] = [`阿明-${id}`, `bob-${id}`];
  const one = await asFile(html, a);
  await one.locator('#user_list').getByText(a).waitFor();
  const native = await visitor(REAL, b, 'lobby');
  await one.locator('#user_list').getByText(b).waitFor();
  await native.talk(`native ${id}`);
  await one.locator('#msg_list').getByText(`${b}: native ${id}`).waitFor();
  await submit(one, '#msg_box', `你好 ${id}`);
  await one.locator('#msg_list').getByText(`${a}: 你好 ${id}`).waitFor();
  native.leave();
  await one.waitForFunction((name) => !document.getElementById('user_list').textContent.includes(name), b);
}

test('a page of the kind of document 004 chats on plain /ws', { skip }, async () => {
  await chatsOnPlainWs(OUR_PAGE(`${REAL.replace(/^http/, 'ws')}/ws`));
});

test('the page of document 004 itself chats on plain /ws, with nothing but its address changed', { skip: skipSeed }, async () => {
  const document = await readFile(seed, 'utf8');
  const html = /```html\n([\s\S]*?)```/.exec(document)?.[1] ?? document;
  const old = 'ws://127.0.0.1:8080/ws';
  assert.ok(html.includes(old), `${seed} holds no page that connects to ${old}`);
  await chatsOnPlainWs(html.replace(old, `${REAL.replace(/^http/, 'ws')}/ws`));
});
