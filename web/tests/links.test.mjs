// The end of web addresses in a sentence, and their targets.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pieces } from '../links.js';

/** Texts, and the links in each. */
function table(cases) {
  for (const [text, ...links] of cases) {
    const found = pieces(text);
    assert.equal(found.map((piece) => piece.text).join(''), text);
    assert.deepEqual(found.filter(({ href }) => href).map((piece) => piece.text), links, text);
    for (const { text: shown, href } of found) {
      const host = href && /^https?:\/\/([\x00-\x7f]+?)(?:[:/?#]|$)/i.exec(shown)?.[1];
      if (host) assert.equal(new URL(href).hostname, host.toLowerCase(), text);
    }
  }
}

test('brackets that belong to an address stay, those around it do not', () => {
  table([
    ['https://en.wikipedia.org/wiki/Rust_(x)', 'https://en.wikipedia.org/wiki/Rust_(x)'],
    ['(see https://en.wikipedia.org/wiki/Rust_(x))', 'https://en.wikipedia.org/wiki/Rust_(x)'],
    ['(https://example.com/a), then', 'https://example.com/a'],
    ['[here](https://example.com/a)', 'https://example.com/a'],
    ['https://example.com/?a[1]=2&b={c}', 'https://example.com/?a[1]=2&b={c}'],
    ['{https://example.com/a}', 'https://example.com/a'],
    ['<https://example.com/a>', 'https://example.com/a'],
    ['（https://example.com/a）', 'https://example.com/a'],
    ['【https://example.com/a】', 'https://example.com/a'],
    ['「https://example.com/a」『https://example.com/b』', 'https://example.com/a', 'https://example.com/b'],
    ['《https://example.com/a》〈https://example.com/b〉', 'https://example.com/a', 'https://example.com/b'],
    ['［https://example.com/a］｛https://example.com/b｝', 'https://example.com/a', 'https://example.com/b'],
  ]);
});

test('quotes around an address are not part of it', () => {
  table([
    ['“https://example.com/a”', 'https://example.com/a'],
    ['‘https://example.com/a’', 'https://example.com/a'],
    ['"https://example.com/a"', 'https://example.com/a'],
    ["'https://example.com/a'", 'https://example.com/a'],
    ['«https://example.com/a»', 'https://example.com/a'],
    ['`https://example.com/a`', 'https://example.com/a'],
    ["https://example.com/O'Reilly", "https://example.com/O'Reilly"],
    ['href="https://example.com/a">x', 'https://example.com/a'],
  ]);
});

test('punctuation behind an address ends it, in every script', () => {
  for (const end of ['.', ',', ';', ':', '!', '?', '...', '?!', '…', '……', '。', '，', '、', '；', '：', '！', '？', '～', '——', '–', '·', '‥', '，再看', '：好', '…好']) {
    table([[`看 https://example.com/a${end}`, 'https://example.com/a'], [`看 https://example.com${end}`, 'https://example.com']]);
  }
  table([
    ['**https://example.com/a**', 'https://example.com/a'],
    ['https://example.com/a.html', 'https://example.com/a.html'],
    ['https://example.com/a;b=1,2:3', 'https://example.com/a;b=1,2:3'],
    ['https://example.com/a\u3000b\u200bc', 'https://example.com/a'],
    ['https://example.com/a🎉', 'https://example.com/a'],
  ]);
});

test('words glued to a host never lead to another host', () => {
  table([
    ['访问https://example.com谢谢大家', 'https://example.com'],
    ['https://example.com或example.org', 'https://example.com'],
    ['https://example.com和https://example.org', 'https://example.com', 'https://example.org'],
    ['https://example.com谢谢.com', 'https://example.com'],
    ['https://example.com.谢谢', 'https://example.com'],
    ['https://www.example.com.cn谢谢', 'https://www.example.com.cn'],
    ['https://example.com-谢谢', 'https://example.com'],
    ['https://example.comありがとう', 'https://example.com'],
    ['https://example.com고마워', 'https://example.com'],
    ['https://example.comспасибо', 'https://example.com'],
    ['https://1.2.3.4谢谢', 'https://1.2.3.4'],
    ['https://localhost谢谢', 'https://localhost'],
    ['https://example.com:8080谢谢', 'https://example.com:8080'],
    ['https://example.com🎉', 'https://example.com'],
    ['https://example.com．evil．com', 'https://example.com'],
    ['https://example.com\\@evil.com', 'https://example.com'],
  ]);
});

test('what marks up an address, or stands between two, is not part of either', () => {
  table([
    ['_https://example.com/b_', 'https://example.com/b'],
    ['__https://example.com/b__', 'https://example.com/b'],
    ['~~https://example.com/b~~', 'https://example.com/b'],
    ['||https://example.com/b||', 'https://example.com/b'],
    ['看这里https://example.com/b~', 'https://example.com/b'],
    ['https://example.com/a_b~c|d', 'https://example.com/a_b~c|d'],
    ['https://example.com/a,https://example.com/b', 'https://example.com/a', 'https://example.com/b'],
    ['https://example.com/a;https://example.com/b', 'https://example.com/a', 'https://example.com/b'],
    ['https://example.com/a|https://example.com/b', 'https://example.com/a', 'https://example.com/b'],
    ['https://example.com/a/https://example.org/b', 'https://example.com/a/https://example.org/b'],
  ]);
});

test('a host that is seen whole and written in parts is not a link', () => {
  table([
    ['https://exa\u200bmple.com/'],
    ['https://exa\u00admple.com/'],
    ['https://example\u2060.com'],
    ['https://example.com\u202emoc.live'],
    ['https://example.com\u202e@moc.live'],
    ['https://www。example。com/x'],
    ['https://www．example．com/x'],
    ['https://example.com\u200b', 'https://example.com'],
    ['https://example.com\u200b 谢谢', 'https://example.com'],
    ['\u2068https://example.com\u2069. Yes', 'https://example.com'],
  ]);
});

test('a host that a reader would take for another one is not a link', () => {
  table([
    ['https://bank.example@evil.example/'],
    ['https://user:password@evil.example/'],
    ['https://ｂａｎｋ.example'],
    ['https://bаnk.example'], // the second letter is Cyrillic
    ['http://0x7f.1/'],
    ['http://2130706433/'],
    ['https://i❤.example'],
    ['https://example..com'],
    ['https://'],
    ['https://...'],
    ['xhttps://example.com'],
    ['javascript:alert(1)//https'],
  ]);
});

test('hosts and paths of all scripts are links', () => {
  table([
    ['https://例子.中国/路', 'https://例子.中国/路'],
    ['https://www.abc中文.com/x', 'https://www.abc中文.com/x'],
    ['https://bücher.de', 'https://bücher.de'],
    ['https://пример.рф/', 'https://пример.рф/'],
    ['https://日本語.jp', 'https://日本語.jp'],
    ['https://zh.wikipedia.org/wiki/上海', 'https://zh.wikipedia.org/wiki/上海'],
    ['https://example.com/?q=你好&x#部分', 'https://example.com/?q=你好&x#部分'],
    ['HTTP://EXAMPLE.com/A', 'HTTP://EXAMPLE.com/A'],
    ['http://127.0.0.1:8080/x', 'http://127.0.0.1:8080/x'],
    ['https://intranet/x', 'https://intranet/x'],
    ['a https://example.com b https://example.org/ c', 'https://example.com', 'https://example.org/'],
  ]);
});

test('a text of 64 KiB of addresses, brackets or letters is read in no time', () => {
  for (const part of ['https://', 'https://a', 'https://a.', 'https://a/(', '谢https://a谢', 'https://a/）']) {
    const began = performance.now();
    pieces(part.repeat(Math.ceil(65_536 / part.length)));
    assert.ok(performance.now() - began < 1_000, part);
  }
});
