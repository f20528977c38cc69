//! The end of a thread of the store by a defect is noticed and named.

use std::{path::Path, sync::Arc};

use plaza::{
    history::{History, Query, Window},
    observe::Need,
};

use crate::support::{append, room, unsynced, until};

/// A store whose receiver of outcomes panics, on the thread that delivers them.
fn with_a_defect(dir: &Path) -> History<u64> {
    let panics = |_| panic!("this panic belongs to the test");
    History::start(unsynced(dir), Arc::new(panics)).unwrap()
}

fn ended(history: &History<u64>) -> Vec<String> {
    let watches = history.watches();
    let over = watches.iter().filter(|watch| watch.has_ended());
    over.map(|watch| {
        assert_eq!(watch.need(), Need::Vital);
        watch.part().to_owned()
    })
    .collect()
}

#[test]
fn a_thread_that_panics_is_named_and_the_others_run() {
    let log = room("lobby");
    let search = Query::Search {
        log: log.clone(),
        text: "x".into(),
        before: None,
        limit: 1,
    };
    let page = Query::Page {
        log: log.clone(),
        window: Window::Newest,
        limit: 1,
    };
    for (ask, part) in [
        (None, "the history's writer"),
        (Some(search), "the history's searcher"),
        (Some(page), "reader"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let history = with_a_defect(dir.path());
        assert!(ended(&history).is_empty());
        match ask {
            None => assert!(history.submit(append(&log, "a", "x", None, 0)).is_ok()),
            Some(ask) => assert!(history.ask(ask, 0).is_ok()),
        }
        until(part, || !ended(&history).is_empty());
        let ended = ended(&history);
        assert!(matches!(&ended[..], [one] if one.starts_with(part)), "{ended:?}");
        history.stop();
    }
}

#[test]
fn every_thread_is_watched() {
    let dir = tempfile::tempdir().unwrap();
    let history = with_a_defect(dir.path());
    let mut parts: Vec<String> = history.watches().iter().map(|watch| watch.part().to_owned()).collect();
    parts.sort();
    assert_eq!(
        parts,
        [
            "reader 0 of the history",
            "reader 1 of the history",
            "the history's indexer",
            "the history's searcher",
            "the history's writer",
        ]
    );
    let indexer = history
        .watches()
        .into_iter()
        .find(|watch| watch.part() == "the history's indexer");
    assert!(matches!(indexer.map(|watch| watch.need()), Some(Need::Useful(_))));
}
