// The page's texts in English and Chinese. A value replaces `{x}`, and `n` chooses between `one|many`.

const WORDS = {
  en: {
    'app.tagline': 'One room for everybody',
    'lang.other': '中文',
    'lang.switch': '切换到中文',
    'state.idle': 'Not connected',
    'state.connecting': 'Connecting…',
    'state.connected': 'Connected',
    'state.slow': 'Slow connection',
    'state.waiting': 'Reconnecting…',
    'state.refused': 'Not signed in',
    'state.away': 'Not connected',
    'state.closed': 'Disconnected',
    'state.now': 'Connect now',
    'state.inSeconds': 'Reconnecting in {n} s',
    'state.silent': 'The server has not answered for a while.',
    'state.lost': 'The connection was lost.',
    'state.unreachable': 'The server cannot be reached.',
    'state.kept': '{reason} What you write is saved, and sent when the connection is back.',
    'goodbye.other': 'The server ended the connection.',
    'goodbye.said': 'The server ended the connection: {text}',
    'goodbye.exit': 'You have left.',
    'goodbye.shutting_down': 'The server is restarting.',
    'goodbye.timeout': 'The server received nothing from this page for too long.',
    'goodbye.too_slow_handshake': 'This page did not sign in in time.',
    'goodbye.slow': 'This connection was too slow to receive all messages.',
    'goodbye.busy': 'You sent more messages than the server could accept.',
    'goodbye.idle': 'You were disconnected because you had sent nothing for a long time.',
    'goodbye.disconnected': 'The operator of this server disconnected you.',
    'goodbye.protocol': 'The server could not understand this page; load it again.',
    'rooms': 'Rooms',
    'directs': 'Direct messages',
    'rooms.join': 'Join a room',
    'rooms.browse': 'Browse rooms',
    'rooms.name': 'Room name',
    'rooms.go': 'Join',
    'rooms.none': 'No rooms yet. Enter a name above to open one.',
    'rooms.leave': 'Leave room',
    'direct.close': 'Close conversation',
    'rooms.joined': 'joined',
    'more': 'Show more',
    'members': 'Who is here',
    'members.online': '{n} online',
    'members.hint': 'Choose a user to send a direct message',
    'members.you': 'you',
    'topic.none': 'No topic yet',
    'topic.set': 'Set the topic',
    'topic.field': 'Topic',
    'direct.with': 'Direct messages with {name}',
    'menu.open': 'Open the list of rooms',
    'menu.members': 'Show who is here',
    'close': 'Close',
    'cancel': 'Cancel',
    'save': 'Save',
    'search': 'Search',
    'search.field': 'Search in this conversation',
    'search.none': 'Nothing found for “{text}”.',
    'search.around': 'Show context',
    'name.title': 'Choose a name',
    'name.rename': 'Change your name',
    'name.field': 'Your name',
    'name.help': 'Any name in any script. Leave it empty to enter as a guest.',
    'name.enter': 'Enter',
    'compose.field': 'Message',
    'compose.to': 'Message {name}',
    'compose.send': 'Send',
    'compose.long': 'This message is {n} bytes too long.',
    'compose.hint': 'Enter sends · Shift+Enter starts a new line',
    'log': 'Messages',
    'log.empty': 'There are no messages here yet.',
    'log.emptyHint': 'Say hello!',
    'log.top': 'This is the beginning of the conversation.',
    'log.notKept': 'Earlier messages of this room are not stored.',
    'log.loading': 'Loading earlier messages…',
    'log.new': 'New messages',
    'log.firstNew': '↑ Jump to the first new message',
    'log.markRead': 'Mark as read',
    'log.below': '{n} new message|{n} new messages',
    'log.jump': 'Jump to the newest message',
    'log.you': 'you',
    'log.unfold': 'Show all {n} characters',
    'gap.missed': '{n} message missed|{n} messages missed',
    'gap.lost': '{n} message is lost: the server no longer has it|{n} messages are lost: the server no longer has them',
    'gap.loading': 'Fetching {n} missed message…|Fetching {n} missed messages…',
    'gap.open': 'Fetch {n} missed message|Fetch {n} missed messages',
    'note.joined': '{names} joined',
    'note.left': '{names} left',
    'note.both': '{joined} · {left}',
    'note.others': '{n} other|{n} others',
    'note.and': '{a} and {b}',
    'note.topic': '{from} set the topic: {topic}',
    'note.topicCleared': '{from} removed the topic',
    'note.topicSet': 'The topic is now: {topic}',
    'note.topicGone': 'The topic was removed',
    'note.renamed': '{old} is now {now}',
    'note.epoch': 'A new history begins here. The server may no longer have the messages above.',
    'note.system': 'Notice: {text}',
    'pending.waiting': 'Waiting to be sent',
    'pending.sending': 'Sending…',
    'pending.sent': 'Sent',
    'pending.failed': 'Not sent: {why}',
    'pending.retry': 'Try again',
    'pending.discard': 'Discard',
    'typing.one': '{a} is typing…',
    'typing.two': '{a} and {b} are typing…',
    'typing.many': 'Several people are typing…',
    'kind': 'Kind of message',
    'kind.text': 'Text',
    'kind.image': 'Image',
    'kind.video': 'Video',
    'kind.voice': 'Voice message',
    'picture.large': 'A picture of {width} × {height} pixels is too large to show.',
    'picture.moving': 'A moving picture of {width} × {height} pixels is too large to show.',
    'picture.unknown': 'A picture that this page cannot show.',
    'picture.offer': 'Show picture',
    'unkept.key': 'This browser’s storage is full or blocked, so the key of your name could not be saved. After you close this tab, nobody can use the name again, not even you.',
    'unkept.other': 'This browser’s storage is full or blocked. After you close this tab, your settings and unsent messages are lost.',
    'today': 'Today',
    'yesterday': 'Yesterday',
    'unread': '{n} unread message|{n} unread messages',
    'error.malformed': 'the server could not read the request',
    'error.unknown_request': 'this server cannot do that',
    'error.invalid': 'the server did not accept it: {text}',
    'error.invalid.long': 'it has {n} characters; at most {most} are allowed',
    'error.invalid.bytes': 'it has {n} bytes; at most {most} are allowed',
    'error.invalid.character': 'it contains the character {character}, which cannot be shown; leave it out',
    'error.bad_name': 'this name cannot be used: {text}',
    'error.bad_name.long': 'this name has {n} characters; at most {most} are allowed',
    'error.bad_name.character': 'this name contains the character {character}, which cannot be shown; leave it out',
    'error.name_reserved': 'this name belongs to somebody else; choose another one',
    'error.no_hello': 'this page has not signed in yet',
    'error.hello_again': 'this page has already signed in',
    'error.not_member': 'you are not in this room',
    'error.already_member': 'you are already in this room',
    'error.no_such_room': 'there is no such room',
    'error.no_such_user': 'no user of this name is online, and this server does not store messages for offline users',
    'error.too_many_rooms': 'you are in as many rooms as the server allows; leave one first',
    'error.too_many_rooms.rooms': 'you are in {n} rooms, and at most {most} are allowed; leave one first',
    'error.key_conflict': 'a different message was sent with the same key',
    'error.busy': 'the server is busy',
    'error.no_history': 'messages of this conversation are not stored',
    'error.store_failed': 'the server could not read or write its store',
    'error.unauthorized': 'the server requires authentication',
    'error.forbidden': 'you may not do this',
    'error.draining': 'the server is restarting',
    'error.timeout': 'the server did not answer',
    'error.connection_lost': 'there is no connection',
    'error.other': '{text}',
    'error.retry': '{reason}; try again in {n} s',
    'action.title.one': 'Chat with {name}',
    'action.title.group': 'Group {name}',
    'action.missing': 'This address is incomplete. Use /home/index?uid=1&to_uid=2 or /home/room?uid=1&groups_id=1.',
    'communication.title': 'Chat',
    'communication.list': 'Who is here',
    'communication.leave': 'Leave',
    'communication.left': 'You have left.',
  },
  zh: {
    'app.tagline': '一个聊天室，容得下所有人',
    'lang.other': 'English',
    'lang.switch': 'Switch to English',
    'state.idle': '未连接',
    'state.connecting': '正在连接…',
    'state.connected': '已连接',
    'state.slow': '连接缓慢',
    'state.waiting': '正在重新连接…',
    'state.refused': '尚未登录',
    'state.away': '未连接',
    'state.closed': '连接已断开',
    'state.now': '立即连接',
    'state.inSeconds': '{n} 秒后重新连接',
    'state.silent': '服务器有一段时间没有响应了。',
    'state.lost': '连接已中断。',
    'state.unreachable': '无法连接到服务器。',
    'state.kept': '{reason}您写的内容会保留，恢复后立即发送。',
    'goodbye.other': '服务器已结束连接。',
    'goodbye.said': '服务器已结束连接：{text}',
    'goodbye.exit': '您已退出。',
    'goodbye.shutting_down': '服务器正在重启。',
    'goodbye.timeout': '服务器太久没有收到此页面的任何数据。',
    'goodbye.too_slow_handshake': '此页面未能及时登录。',
    'goodbye.slow': '此连接太慢，无法接收全部消息。',
    'goodbye.busy': '您发送的消息太多，服务器无法全部接收。',
    'goodbye.idle': '您长时间没有发送内容，连接已断开。',
    'goodbye.disconnected': '管理员已断开您的连接。',
    'goodbye.protocol': '服务器无法理解此页面，请重新加载。',
    'rooms': '聊天室',
    'directs': '私信',
    'rooms.join': '加入聊天室',
    'rooms.browse': '浏览聊天室',
    'rooms.name': '聊天室名称',
    'rooms.go': '加入',
    'rooms.none': '还没有聊天室。在上面输入名称即可新建。',
    'rooms.leave': '离开聊天室',
    'direct.close': '关闭会话',
    'rooms.joined': '已加入',
    'more': '显示更多',
    'members': '在线成员',
    'members.online': '{n} 人在线',
    'members.hint': '点击成员即可发送私信',
    'members.you': '我',
    'topic.none': '暂无话题',
    'topic.set': '设置话题',
    'topic.field': '话题',
    'direct.with': '与 {name} 的私信',
    'menu.open': '打开聊天室列表',
    'menu.members': '查看在线成员',
    'close': '关闭',
    'cancel': '取消',
    'save': '保存',
    'search': '搜索',
    'search.field': '在当前会话中搜索',
    'search.none': '没有找到“{text}”。',
    'search.around': '查看前后文',
    'name.title': '请选择一个名字',
    'name.rename': '修改名字',
    'name.field': '您的名字',
    'name.help': '任何文字的名字都可以。留空则以访客身份进入。',
    'name.enter': '进入',
    'compose.field': '消息',
    'compose.to': '发消息到 {name}',
    'compose.send': '发送',
    'compose.long': '消息超长 {n} 字节。',
    'compose.hint': 'Enter 发送 · Shift+Enter 换行',
    'log': '消息',
    'log.empty': '这里还没有消息。',
    'log.emptyHint': '打个招呼吧！',
    'log.top': '会话从这里开始。',
    'log.notKept': '此聊天室不保存更早的消息。',
    'log.loading': '正在加载更早的消息…',
    'log.new': '新消息',
    'log.firstNew': '↑ 跳到第一条新消息',
    'log.markRead': '标为已读',
    'log.below': '{n} 条新消息',
    'log.jump': '回到最新',
    'log.you': '我',
    'log.unfold': '显示全部 {n} 个字符',
    'gap.missed': '错过了 {n} 条消息',
    'gap.lost': '{n} 条消息已丢失：服务器上已不存在',
    'gap.loading': '正在补取 {n} 条错过的消息…',
    'gap.open': '补取 {n} 条错过的消息',
    'note.joined': '{names} 加入了',
    'note.left': '{names} 离开了',
    'note.both': '{joined} · {left}',
    'note.others': '另外 {n} 人',
    'note.and': '{a}和{b}',
    'note.topic': '{from} 将话题设为：{topic}',
    'note.topicCleared': '{from} 清除了话题',
    'note.topicSet': '现在的话题：{topic}',
    'note.topicGone': '话题已清除',
    'note.renamed': '{old} 改名为 {now}',
    'note.epoch': '新的消息记录从这里开始，上面的消息可能已不在服务器上。',
    'note.system': '系统消息：{text}',
    'pending.waiting': '等待发送',
    'pending.sending': '正在发送…',
    'pending.sent': '已发送',
    'pending.failed': '未发送：{why}',
    'pending.retry': '重试',
    'pending.discard': '放弃',
    'typing.one': '{a} 正在输入…',
    'typing.two': '{a} 和 {b} 正在输入…',
    'typing.many': '多人正在输入…',
    'kind': '消息类型',
    'kind.text': '文字',
    'kind.image': '图片',
    'kind.video': '视频',
    'kind.voice': '语音',
    'picture.large': '图片太大（{width} × {height} 像素），不予显示。',
    'picture.moving': '动图太大（{width} × {height} 像素），不予显示。',
    'picture.unknown': '此页面无法显示这张图片。',
    'picture.offer': '显示图片',
    'unkept.key': '浏览器的存储空间已满或被禁用，您名字的密钥未能保存。关闭此标签页后，包括您在内，任何人都无法再使用这个名字。',
    'unkept.other': '浏览器的存储空间已满或被禁用。关闭此标签页后，您的设置和未发送的消息将会丢失。',
    'today': '今天',
    'yesterday': '昨天',
    'unread': '{n} 条未读消息',
    'error.malformed': '服务器无法读取请求',
    'error.unknown_request': '此服务器不支持该操作',
    'error.invalid': '服务器没有接受：{text}',
    'error.invalid.long': '内容有 {n} 个字符，最多允许 {most} 个',
    'error.invalid.bytes': '内容有 {n} 字节，最多允许 {most} 字节',
    'error.invalid.character': '内容含有无法显示的字符 {character}，请删除',
    'error.bad_name': '这个名字不能使用：{text}',
    'error.bad_name.long': '这个名字有 {n} 个字符，最多允许 {most} 个',
    'error.bad_name.character': '这个名字含有无法显示的字符 {character}，请删除',
    'error.name_reserved': '这个名字已属于他人，请换一个',
    'error.no_hello': '此页面尚未登录',
    'error.hello_again': '此页面已经登录',
    'error.not_member': '您不在这个聊天室里',
    'error.already_member': '您已经在这个聊天室里',
    'error.no_such_room': '没有这个聊天室',
    'error.no_such_user': '没有这个名字的在线用户，此服务器也不为离线用户保存消息',
    'error.too_many_rooms': '您加入的聊天室数已达上限，请先离开一个',
    'error.too_many_rooms.rooms': '您已加入 {n} 个聊天室，最多允许 {most} 个，请先离开一个',
    'error.key_conflict': '已用同一个键发送过不同的消息',
    'error.busy': '服务器繁忙',
    'error.no_history': '此会话不保存消息',
    'error.store_failed': '服务器无法读写其存储',
    'error.unauthorized': '服务器要求身份验证',
    'error.forbidden': '您无权这样做',
    'error.draining': '服务器正在重启',
    'error.timeout': '服务器没有响应',
    'error.connection_lost': '当前没有连接',
    'error.other': '{text}',
    'error.retry': '{reason}，请在 {n} 秒后重试',
    'action.title.one': '与 {name} 聊天',
    'action.title.group': '群 {name}',
    'action.missing': '地址不完整。请使用 /home/index?uid=1&to_uid=2 或 /home/room?uid=1&groups_id=1。',
    'communication.title': '聊天',
    'communication.list': '在线成员',
    'communication.leave': '退出',
    'communication.left': '您已退出。',
  },
};

let lang = 'en';

export const languages = Object.keys(WORDS);

/** The initial language: the one chosen before, or else the browser's first one that the page has. */
export function choose(kept, wanted = navigator.languages ?? [navigator.language]) {
  if (languages.includes(kept)) return kept;
  return wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => languages.includes(tag)) ?? 'en';
}

export function setLang(chosen) {
  lang = chosen;
}

export function currentLang() {
  return lang;
}

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;

/** The text for a key, with its values. A right-to-left value does not change the direction of the text around it. */
export function t(key, values = {}) {
  const forms = (WORDS[lang][key] ?? WORDS.en[key] ?? key).split('|');
  const form = forms.length > 1 && values.n !== 1 ? forms[1] : forms[0];
  return form.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name] ?? '';
    if (typeof value === 'number') return number(value);
    return RIGHT_TO_LEFT.test(value) ? `\u2068${value}\u2069` : value;
  });
}

/** Whether there is a text for a key. */
export function known(key) {
  return Object.hasOwn(WORDS.en, key);
}

export function number(n) {
  return formats().number.format(n);
}

export function time(at) {
  return formats().time.format(at);
}

export function moment(at) {
  return formats().moment.format(at);
}

/** The name of a day; two times on the same day have the same name. */
export function day(at, now = Date.now()) {
  const name = formats().day.format(at);
  if (name === formats().day.format(now)) return t('today');
  if (name === formats().day.format(now - 86_400_000)) return t('yesterday');
  return name;
}

/** Sets the text of every element with `data-i18n`, and the attributes of those with `data-i18n-<attribute>`. */
export function translate(root = document) {
  document.documentElement.lang = lang === 'zh' ? 'zh-Hans' : 'en';
  for (const element of root.querySelectorAll('[data-i18n]')) element.textContent = t(element.dataset.i18n);
  for (const attribute of ['aria-label', 'placeholder', 'title']) {
    for (const element of root.querySelectorAll(`[data-i18n-${attribute}]`)) {
      element.setAttribute(attribute, t(element.getAttribute(`data-i18n-${attribute}`)));
    }
  }
}

const made = new Map();

function formats() {
  if (!made.has(lang)) {
    const locale = lang === 'zh' ? 'zh-CN' : navigator.language?.startsWith('en') ? navigator.language : 'en-GB';
    const clock = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
    made.set(lang, {
      number: new Intl.NumberFormat(locale),
      time: new Intl.DateTimeFormat(locale, clock),
      moment: new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' }),
      day: new Intl.DateTimeFormat(locale, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' }),
    });
  }
  return made.get(lang);
}

/** All texts, for the test that both languages have the same keys. */
export const words = WORDS;
