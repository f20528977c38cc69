// The small pages against scripted sockets: untrusted input, refusals, reconnecting.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { decode, encode } from '../../communication/codec.js';
import { browser, peer } from './standin.mjs';
import { say, submit } from './world.mjs';

const DOT = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';
let page;
let wrong;

beforeEach(async () => {
  page = await browser.page();
  wrong = [];
  page.on('pageerror', (error) => wrong.push(String(error.stack)));
});
afterEach(() => assert.deepEqual(wrong, []));

/** Intercepts the sockets of one path; returns the received messages and a function that answers on the newest socket. */
function socketsAt(expected, hear) {
  const seen = { urls: [], messages: [], socket: null };
  peer.other = (pathname, socket, request) => {
    assert.equal(pathname, expected);
    seen.urls.push(request.url);
    seen.socket = socket;
    socket.on('message', (data) => seen.messages.push(hear(data)));
  };
  return seen;
}

async function until(condition) {
  while (!condition()) await page.waitForFunction(() => new Promise((resolve) => requestAnimationFrame(() => resolve(true))));
}

test('the page of document 003 logs in, sends, and shows what comes as text and safe pictures', async () => {
  const seen = socketsAt('/ws/action', (data) => JSON.parse(data.toString()));
  const push = (data) => seen.socket.send(JSON.stringify({ code: 200, msg: 'success', data: { to: '1', msgTimestamp: '1700000000', ...data } }));
  await page.goto(`${peer.url}/home/index?uid=1&to_uid=2`);
  await until(() => seen.messages.length === 1);
  assert.equal(seen.urls[0], '/ws/action?uid=1&to_uid=2&groups_id=0');
  assert.deepEqual(seen.messages[0], { seq: '1', action: 'login', data: { appId: 1, userId: '1', toUid: '2', groupsId: '0' } });
  push({ action: 'enter', content: '连接成功', from: '' });
  await page.getByText('连接成功').waitFor();
  push({ action: 'sendmsg', msgType: 'text', content: '<img src=x onerror=alert(1)>', from: '<b>2</b>' });
  push({ action: 'sendmsg', msgType: 'image', content: 'javascript:alert(1)', from: '2' });
  push({ action: 'sendmsg', msgType: 'image', content: 'data:image/svg+xml;base64,AAAA', from: '2' });
  push({ action: 'sendmsg', msgType: 'image', content: DOT, from: '2' });
  await page.locator(`#log img[src="${DOT}"]`).waitFor();
  assert.equal(await page.locator('#log img, #log b').count(), 1);
  assert.equal(await page.locator('#log a').count(), 0);
  await page.getByText('<b>2</b>').waitFor();
  await say(page, '你好');
  await until(() => seen.messages.length === 2);
  assert.deepEqual(seen.messages[1], { seq: '2', action: 'sendmsg', data: { msgType: 'text', message: '你好' } });
  assert.equal(await page.locator('.talk.own .text').textContent(), '你好');
  seen.socket.send(JSON.stringify({ seq: '2', action: 'sendmsg', response: { code: 1003, msg: '未授权', data: null } }));
  await page.getByText('1003 未授权').waitFor();
  seen.socket.send('数据不合法');
  await page.getByText('数据不合法').waitFor();
  seen.socket.terminate();
  await until(() => seen.messages.filter(({ action }) => action === 'login').length === 2);
});

test('in a group the sender’s own push is what shows, once', async () => {
  const seen = socketsAt('/ws/action', (data) => JSON.parse(data.toString()));
  await page.goto(`${peer.url}/home/room?uid=1&groups_id=1`);
  await until(() => seen.messages.length === 1);
  assert.equal(seen.messages[0].data.groupsId, '1');
  await say(page, 'once');
  await until(() => seen.messages.length === 2);
  const data = { action: 'sendmsg', msgType: 'text', content: 'once', from: '1', to: '1', msgTimestamp: '1700000000' };
  seen.socket.send(JSON.stringify({ code: 200, msg: 'success', data }));
  await page.locator('.talk.own .text', { hasText: 'once' }).waitFor();
  assert.equal(await page.locator('.talk').count(), 1);
});

test('an address that names nobody is explained', async () => {
  await page.goto(`${peer.url}/home/index`);
  await page.getByText('This address is incomplete').waitFor();
});

test('the page of document 000 asks for a name, talks protobuf and shows it as text', async () => {
  const seen = socketsAt('/ws/communication', (data) => decode(new Uint8Array(data)));
  const tell = (message) => seen.socket.send(encode(message));
  await page.goto(`${peer.url}/communication`);
  await submit(page, '#name-input', '张 三&x=1');
  await page.locator('.state.connected').waitFor();
  assert.equal(new URL(seen.urls[0], 'http://peer').searchParams.get('username'), '张 三&x=1');
  await say(page, '你好');
  await until(() => seen.messages.length === 1);
  assert.deepEqual(seen.messages[0], { Type: '1', Msg: '你好', Username: '张 三&x=1', Userlist: [], IP: '' });
  tell({ Type: '1', Msg: '张 三&x=1:你好', Username: '张 三&x=1' });
  await page.locator('.talk.own .text', { hasText: '你好' }).waitFor();
  tell({ Type: '1', Msg: 'eve:<img src=x onerror=alert(1)>', Username: 'eve' });
  await page.getByText('<img src=x onerror=alert(1)>', { exact: true }).waitFor();
  tell({ Type: '3', Msg: 'a,b,', Userlist: ['a', 'b'] });
  await page.getByText('Who is here: a, b').waitFor();
  tell({ Type: '2', Msg: 'eveout', Username: 'eve' });
  await page.getByText('eveout').waitFor();
  seen.socket.send(Buffer.from('0aff', 'hex'));
  await page.getByText('the message ends inside a number').waitFor();
  await page.click('#exit');
  await until(() => seen.messages.at(-1).Type === '2');
  await page.locator('.state.closed').waitFor();
  assert.equal(await page.locator('#log img').count(), 0);
});
