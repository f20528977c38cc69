//! The store against a model in memory: the same requests give the same answers, across restarts too.

use std::collections::HashMap;

use plaza::history::{HistorySettings, LogId, Outcome, Window};
use proptest::prelude::*;

use crate::support::{Store, append, pair, room, seqs, size, unsynced};

#[derive(Debug, Clone)]
enum Step {
    /// Messages submitted together: log, user, text, key.
    Talks(Vec<(usize, usize, usize, Option<u8>)>),
    Page(usize, Window, usize),
    Mark(usize, usize, u64),
    Search(usize, usize),
    Restart,
}

const USERS: [&str; 3] = ["alice", "bob", "张三"];
const TEXTS: [&str; 4] = ["hello world", "我爱北京", "北京 hello", ""];
const WORDS: [&str; 4] = ["hello", "北京", "world 北", "爱"];

fn logs() -> [LogId; 3] {
    [room("lobby"), room("大厅"), pair("alice", "bob")]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let message = (0..3_usize, 0..3_usize, 0..TEXTS.len(), prop::option::of(0..6_u8));
    let window = prop_oneof![
        Just(Window::Newest),
        (0..40_u64).prop_map(Window::Before),
        (0..40_u64).prop_map(Window::After),
        (0..40_u64, 0..40_u64).prop_map(|(from, to)| Window::Range(from, to)),
    ];
    let step = prop_oneof![
        6 => prop::collection::vec(message, 1..12).prop_map(Step::Talks),
        4 => (0..3_usize, window, 1..12_usize).prop_map(|(log, window, limit)| Step::Page(log, window, limit)),
        2 => (0..3_usize, 0..3_usize, 0..40_u64).prop_map(|(log, user, seq)| Step::Mark(log, user, seq)),
        2 => (0..3_usize, 0..WORDS.len()).prop_map(|(log, word)| Step::Search(log, word)),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..30)
}

/// How logs are numbered: by this machine, or by somebody who numbers other logs in between.
const NUMBERINGS: [fn(u64) -> u64; 2] = [|head| head + 1, |head| head + 1 + head % 4];

/// The model of a history, without durability.
struct Model {
    numbering: fn(u64) -> u64,
    /// Number, user and text of each message.
    messages: [Vec<(u64, usize, usize)>; 3],
    keys: HashMap<(usize, usize, u8), (usize, u64)>,
    marks: HashMap<(usize, usize), u64>,
}

impl Model {
    /// The result of an append: its seq, the seq of its first copy, or a conflict.
    fn append(&mut self, log: usize, user: usize, text: usize, key: Option<u8>) -> Result<(u64, bool), ()> {
        let seq = (self.numbering)(self.head(log));
        if let Some(key) = key {
            match self.keys.get(&(log, user, key)) {
                Some((first, seq)) if *first == text => return Ok((*seq, true)),
                Some(_) => return Err(()),
                None => drop(self.keys.insert((log, user, key), (text, seq))),
            }
        }
        self.messages[log].push((seq, user, text));
        Ok((seq, false))
    }

    fn head(&self, log: usize) -> u64 {
        self.messages[log].last().map_or(0, |(seq, ..)| *seq)
    }

    fn page(&self, log: usize, window: Window, limit: usize) -> (Vec<u64>, bool) {
        let all = self.messages[log].iter().map(|(seq, ..)| *seq);
        let wanted: Vec<u64> = match window {
            Window::Newest => all.collect(),
            Window::Before(seq) => all.filter(|n| *n < seq).collect(),
            Window::After(seq) => all.filter(|n| *n > seq).collect(),
            Window::Range(from, to) => all.filter(|n| (from..=to).contains(n)).collect(),
        };
        let cut = wanted.len().saturating_sub(limit);
        match window {
            Window::Newest | Window::Before(_) => (wanted[cut..].to_vec(), cut > 0),
            Window::After(_) | Window::Range(..) => (wanted[..wanted.len() - cut].to_vec(), cut > 0),
        }
    }
}

fn finds(word: usize, text: usize) -> bool {
    matches!((word, text), (0, 0 | 2) | (1, 1 | 2) | (3, 1))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: size(24, 1_000) as u32, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_what_a_history_in_memory_is(steps in steps(), numbering in prop::sample::select(NUMBERINGS.to_vec())) {
        let mut store = Store::with(move |dir| HistorySettings { numbering, ..unsynced(dir) });
        let mut model = Model { numbering, messages: Default::default(), keys: HashMap::new(), marks: HashMap::new() };
        let logs = logs();
        for step in steps {
            match step {
                Step::Talks(messages) => {
                    for (log, user, text, key) in &messages {
                        let key = key.map(|key| key.to_string());
                        store.submit(append(&logs[*log], USERS[*user], TEXTS[*text], key.as_deref(), 0));
                    }
                    for (log, user, text, key) in messages {
                        let seen = match store.next() {
                            Outcome::Committed { position, prev, .. } => {
                                prop_assert_eq!(prev, model.head(log));
                                Ok((position.seq, false))
                            }
                            Outcome::Duplicate { position, .. } => Ok((position.seq, true)),
                            Outcome::KeyConflict { .. } => Err(()),
                            other => panic!("{other:?}"),
                        };
                        prop_assert_eq!(seen, model.append(log, user, text, key));
                    }
                }
                Step::Page(log, window, limit) => {
                    let (messages, more) = store.page(&logs[log], window, limit);
                    let (due, due_more) = model.page(log, window, limit);
                    prop_assert_eq!(seqs(&messages), due);
                    prop_assert_eq!(more, due_more, "{:?}", window);
                    for message in messages {
                        let at = model.messages[log].iter().position(|(seq, ..)| *seq == message.seq).unwrap();
                        let (_, user, text) = model.messages[log][at];
                        prop_assert_eq!((message.from.as_str(), &*message.text), (USERS[user], TEXTS[text]));
                        let prev = at.checked_sub(1).map_or(0, |before| model.messages[log][before].0);
                        prop_assert_eq!(message.prev, prev);
                    }
                }
                Step::Mark(log, by, seq) => {
                    let head = model.head(log);
                    let mark = model.marks.entry((log, by)).or_insert(0);
                    *mark = (*mark).max(seq.min(head));
                    let due = model.messages[log].iter().filter(|(seq, user, _)| seq > mark && *user != by).count() as u64;
                    prop_assert_eq!(store.mark(&logs[log], USERS[by], seq), (*mark, due));
                }
                Step::Search(log, word) => {
                    let (found, _) = store.find(&logs[log], WORDS[word], None, 200);
                    let mut due: Vec<u64> = model.messages[log]
                        .iter()
                        .filter(|(.., text)| finds(word, *text))
                        .map(|(seq, ..)| *seq)
                        .collect();
                    due.reverse();
                    due.truncate(200);
                    prop_assert_eq!(found, due, "{}", WORDS[word]);
                }
                Step::Restart => store = store.restarted(),
            }
        }
    }
}
