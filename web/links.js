// Finds web addresses in users' texts. Pure: `pieces` returns texts and links, which together are the whole text.
//
// Invariants: a link leads to the host that the reader sees, or it is not a link. What surrounds an address in a sentence (brackets,
// quotes, full stops, Chinese punctuation, words attached to it) does not become part of it.

const START = /(?<![\p{L}\p{N}+.-])https?:\/\/|(?<=[^\p{ASCII}])https?:\/\//giu;
const HOST = /[\p{L}\p{M}\p{N}._-]+/uy;
const PORT = /:\d{1,5}(?!\d)/y;
/**
 * The rest of an address: ASCII that needs no quoting, and letters, marks and digits of all scripts. Other punctuation, pictographs
 * and all spaces end it, and so does a comma before the next address; `·` and `・` occur inside names.
 */
const REST = /(?:(?![,;|]https?:\/\/)[!#$%&'()*+,\-./0-9:;=?@A-Z[\]_a-z{|}~^·・]|(?!\p{ASCII})[\p{L}\p{M}\p{N}])*/uy;
const CLOSES = new Map([[')', '('], [']', '['], ['}', '{']]);
/** Punctuation that does not end an address, and markup: `**`, `__`, `~~`, `||`. */
const TRAILING = /[.,:;!?'*_~|·・]$/u;
/** Invisible characters and direction marks, followed by more of a host. */
const HIDDEN = /\p{Default_Ignorable_Code_Point}+(?:[\p{Script=Latin}\p{N}@:/_-]|\.[\p{L}\p{N}])/uy;

/** Scripts that write words without spaces, or beside Latin ones in a host. */
const CJK = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}ー]/u;
const LATIN = /\p{Script=Latin}/u;
const FOREIGN = /(?!\p{Script=Latin})\p{L}/u;
/** An ASCII beginning with a word of another script attached to it. */
const GLUED = /^([\x00-\x7f]+)(?!\p{ASCII})(?!\p{Script=Latin})[\p{L}\p{N}]/u;

/** Top-level domains to which people attach words; those of two letters are countries. */
const COMMON = new Set(
  'com net org edu gov mil int info biz name mobi app dev page blog shop store site online tech cloud wiki xyz top club live news link world space fun art work vip pub pro chat email games video studio design local test example localhost onion'.split(' '),
);
/** Top-level domains in Chinese, Japanese and Korean (IANA root zone); any other word there belongs to the sentence. */
const CJK_DOMAINS = new Set(
  '中国 中國 香港 台湾 台灣 新加坡 澳門 澳门 한국 닷컴 닷넷 삼성 公司 网络 網路 在线 中文网 网址 网店 网站 商城 商店 商标 集团 我爱你 手机 移动 政务 政府 公益 机构 组织机构 游戏 娱乐 企业 信息 佛山 广东 慈善 招聘 时尚 八卦 大拿 点看 购物 通販 みんな ストア セール クラウド コム ポイント ファッション 天主教 微博 家電 健康 食品 餐厅 珠宝 谷歌 联通 书籍 世界 测试 測試 テスト'.split(' '),
);

/** The text in pieces: `{text}`, or `{text, href}` for a link. */
export function pieces(text) {
  const found = [];
  let at = 0;
  START.lastIndex = 0;
  for (let match = START.exec(text); match; match = START.exec(text)) {
    const begin = match.index;
    const hostAt = begin + match[0].length;
    const link = addressFrom(text, begin, hostAt);
    if (!link) continue;
    if (begin > at) found.push({ text: text.slice(at, begin) });
    found.push({ text: text.slice(begin, link.end), href: link.href });
    at = link.end;
    START.lastIndex = at;
  }
  if (at < text.length) found.push({ text: text.slice(at) });
  return found;
}

function addressFrom(text, begin, hostAt) {
  const host = hostFrom(text, hostAt);
  if (host === '') return null;
  let end = hostAt + host.length;
  PORT.lastIndex = end;
  const port = PORT.exec(text)?.[0] ?? '';
  end += port.length;
  // A reader sees one host in `https://ex\u{200b}ample.com`.
  HIDDEN.lastIndex = end;
  if (HIDDEN.test(text)) return null;
  // `https://bank.example@elsewhere.example` leads elsewhere.
  if (text[end] === '@' || (text[end] === ':' && /^:[^\s/@]*@/u.test(text.slice(end, end + 100)))) return null;
  if ('/?#'.includes(text[end] || ' ')) end = restEnd(text, end, text[begin - 1]);
  else if (!host.includes('.') && port === '' && host.toLowerCase() !== 'localhost' && !endsWord(text, end)) return null;
  try {
    const url = new URL(text.slice(begin, end));
    // The browser reads `0x7f.1` as 127.0.0.1, which is not the host that the reader sees.
    const same = url.hostname === host.toLowerCase() || (!/^[\x00-\x7f]*$/.test(host) && url.hostname.includes('xn--'));
    return same ? { end, href: url.href } : null;
  } catch {
    return null;
  }
}

/** Whether a one-word host ends here. After `https://www`, a reader takes the `。` of `。example。com` for a dot. */
function endsWord(text, end) {
  return /^(?:$|\s|(?![．。｡][\p{L}\p{N}])[^\p{L}\p{M}\p{N}\p{Extended_Pictographic}.-])/u.test(text.slice(end, end + 3));
}

/** The host that begins here, without words attached to it; empty if it is not certain. */
function hostFrom(text, at) {
  HOST.lastIndex = at;
  const run = HOST.exec(text)?.[0] ?? '';
  // Full-width letters look different to a reader and are the same to a browser.
  const stable = [...run].findIndex((character) => character.normalize('NFKC') !== character);
  const labels = (stable < 0 ? run : [...run].slice(0, stable).join('')).split('.');
  const host = [];
  for (const [n, label] of labels.entries()) {
    if (label === '') break;
    const [, begin] = GLUED.exec(label) ?? [];
    const last = n === labels.length - 1;
    if (begin && isGlued({ begin, last, first: n === 0, next: labels[n + 1] ?? '' })) {
      const kept = begin.replace(/[-_]+$/, '');
      if (kept === '') break;
      host.push(kept);
      break;
    }
    if (FOREIGN.test(label) && LATIN.test(label) && !CJK.test(label)) return '';
    host.push(label);
  }
  // `example.com.谢谢`: a word after the full stop, not a domain.
  while (host.length > 0 && FOREIGN.test(host.at(-1)) && !isDomain(host)) host.pop();
  if (host.length > 0) host.push(host.pop().replace(/[-_]+$/, ''));
  if (host.length > 1 && !/^[\x00-\x7f]+$/.test(host.at(-1)) && !FOREIGN.test(host.at(-1))) return '';
  return host.join('.');
}

// A label that continues in another script is either a domain (`abc中文.com`) or a domain with words attached.
function isGlued({ begin, last, first, next }) {
  if (last || !/^[a-z]/i.test(next)) return true;
  const word = begin.toLowerCase();
  return word === 'localhost' || /^\d+$/.test(word) || (!first && (/^[a-z]{2}$/.test(word) || COMMON.has(word)));
}

function isDomain(labels) {
  if (labels.length < 2) return false;
  const top = labels.at(-1);
  return CJK.test(top) ? CJK_DOMAINS.has(top) : FOREIGN.test(labels.at(-2));
}

/** The end of path, query and fragment. `before` is the character in front of the address. */
function restEnd(text, at, before) {
  REST.lastIndex = at;
  let rest = REST.exec(text)[0];
  if (before === "'" && rest.includes("'")) rest = rest.slice(0, rest.indexOf("'"));
  const open = [];
  for (let i = 0; i < rest.length; i += 1) {
    const character = rest[i];
    if ('([{'.includes(character)) open.push(character);
    else if (CLOSES.has(character) && open.pop() !== CLOSES.get(character)) rest = rest.slice(0, i);
  }
  while (TRAILING.test(rest) || ('([{'.includes(rest.at(-1) || ' '))) rest = rest.slice(0, -1);
  return at + rest.length;
}
