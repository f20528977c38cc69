//! The message log of the running program: one JSON line for each message in a room.
#![allow(clippy::unwrap_used)]

mod support;

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use support::{Peer, Program, until};

/// All lines of all files, oldest file first.
fn lines(dir: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.is_symlink() && path.file_name().unwrap().to_str().unwrap().starts_with("messages."))
        .collect();
    files.sort();
    let all: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    all.lines().map(str::to_owned).collect()
}

fn stop(mut program: Program, peers: Vec<Peer>) {
    program.signal("TERM");
    drop(peers);
    assert_eq!(program.ended(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn each_talk_is_one_json_line_and_directs_are_in_none() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&["--data", dir.path().to_str().unwrap()]);
    let mut ann = Peer::native_in(program.address(), "ann", "hall");
    let mut ben = Peer::native_in(program.address(), "ben", "lobby");
    let texts = [
        "plain",
        "two\nlines",
        "nul \0 bell \u{7} escape \u{1b}[31m",
        "quote \" and \\",
        "汉字 😀",
        "\u{2028}\u{202e}rtl",
    ];
    for (number, text) in texts.iter().enumerate() {
        let (peer, room) = if number % 2 == 0 {
            (&mut ann, "hall")
        } else {
            (&mut ben, "lobby")
        };
        peer.say(room, text);
    }
    ann.get("ack", json!({"direct": {"to": "ben", "text": "between us"}}));
    ann.say("hall", "last");
    stop(program, vec![ann, ben]);
    let lines = lines(&dir.path().join("logs"));
    let said: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (number, text) in texts.iter().chain(&["last"]).enumerate() {
        let line = said.iter().find(|line| line["text"] == *text);
        let line = line.unwrap_or_else(|| panic!("{text:?} is not in {lines:?}"));
        let (from, room) = [("ann", "hall"), ("ben", "lobby")][number % 2];
        assert_eq!((line["from"].as_str(), line["room"].as_str()), (Some(from), Some(room)));
        assert!(line["seq"].is_u64() && line["at"].is_string());
    }
    assert_eq!(said.len(), texts.len() + 1, "{lines:?}");
    assert!(!lines.concat().contains("between us"));
    assert!(
        !lines.concat().chars().any(char::is_control),
        "a control character in {lines:?}"
    );
}

#[test]
fn files_rotate_by_size_lose_nothing_and_the_symlink_is_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&["--data", dir.path().to_str().unwrap(), "--set", "log.rotate_bytes=4KiB"]);
    let mut ann = Peer::native_in(program.address(), "ann", "hall");
    let logs = dir.path().join("logs");
    let filler = "x".repeat(300);
    for number in 0..60 {
        ann.say("hall", &format!("{number} {filler}"));
        // One line at a time, so that the sizes are not the batch's.
        until("the line is written", || lines(&logs).len() == number + 1);
    }
    stop(program, vec![ann]);
    let lines = lines(&logs);
    for (number, line) in lines.iter().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["text"].as_str().unwrap().starts_with(&format!("{number} ")));
    }
    let files = fs::read_dir(&logs)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap());
    let sizes: Vec<u64> = files.filter(|file| file.is_file()).map(|file| file.len()).collect();
    assert!(sizes.len() >= 5 && sizes.iter().all(|size| *size <= 4096), "{sizes:?}");
    let newest = fs::read_to_string(logs.join("messages.latest")).unwrap();
    assert!(newest.contains("\"59 "), "{newest}");
}

#[test]
fn in_memory_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let program = Program::start(&["--memory", "--data", data.to_str().unwrap()]);
    let mut ann = Peer::native_in(program.address(), "ann", "hall");
    ann.say("hall", "nowhere");
    stop(program, vec![ann]);
    assert!(!data.exists());
}
