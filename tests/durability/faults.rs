//! A data directory in use, a disk that is full or read-only, and more messages than the store accepts.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    Kept, kept,
    person::Person,
    size,
    skip::skipped,
    support::{PATIENCE, Program, Running, get, metric, program, until},
    talks,
};

/// A file system of a few megabytes, unmounted on drop.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, with a notice, if it cannot be mounted.
    fn mount(what: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=6m", "plaza-test"]);
        let mounted = mount.arg(dir.path()).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        skipped(&format!("{what}: no tmpfs can be mounted here, which takes root"));
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, option: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{option}")]).arg(self.path());
        assert!(mount.status().unwrap().success());
    }

    /// Fills what is left of it with a file.
    fn fill(&self) -> PathBuf {
        let filler = self.path().join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        while file.write_all(&[1; 512]).is_ok() {}
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Why the program does not serve this directory, in one sentence.
fn refusal(data: &Path) -> String {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"];
    let refused = program().args(arguments).arg(data).output().unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{words}");
    assert_eq!(words.trim_end().lines().count(), 1, "{words}");
    words
}

/// Says something in a store in this directory, and stops.
fn filled(data: &Path) {
    let server = Running::start(&kept(data));
    Person::joined(server.address, "ann", "lobby").say("lobby", "x");
}

#[test]
fn a_second_server_on_the_same_directory_refuses_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let first = Program::start(&["--data", data]);
    let mut ann = Person::joined(first.address(), "ann", "lobby");
    ann.say("lobby", "1");
    let words = refusal(dir.path());
    assert!(
        words.contains(data) && words.contains(&first.child.id().to_string()),
        "{words}"
    );
    ann.say("lobby", "2");
    assert_eq!(ann.all("lobby").len(), 2);
}

#[test]
fn damage_that_is_found_while_the_server_runs_is_counted_and_named_and_everything_else_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let mut server = Program::start(&["--data", data]);
    let mut ann = Person::joined(server.address(), "ann", "lobby");
    ann.say_all(talks(
        "lobby",
        (1..=300).map(|n| format!("needle {n:03} in a haystack")),
    ));
    drop(ann);
    server.signal("TERM");
    assert_eq!(server.ended(PATIENCE).code(), Some(0));

    let mut server = Program::start(&["--data", data]);
    let damage = |server: &Program| metric(server.admin, "plaza_history_damage_total", &[]);
    assert_eq!(get(server.admin, "/readyz").body, "ready\n");
    // A start looks at both ends of a log: nobody has read this one yet.
    let file = dir.path().join("history.db");
    let bytes = fs::read(&file).unwrap();
    let place = bytes.windows(10).position(|bytes| bytes == b"needle 150").unwrap();
    let database = fs::File::options().write(true).open(&file).unwrap();
    database.write_all_at(b"N", place as u64).unwrap();
    let mut bob = Person::joined(server.address(), "bob", "lobby");
    assert_eq!(damage(&server), 0.0);
    let page = |before: u64| json!({"history": {"room": "lobby", "before": before, "limit": 10}});
    bob.refused("store_failed", page(155));
    until("it is told", || get(server.admin, "/readyz").body != "ready\n");
    let ready = get(server.admin, "/readyz");
    assert_eq!(ready.status, 200, "everything else is served: {}", ready.body);
    let mut lines = ready.body.lines();
    assert_eq!(lines.next(), Some("ready"));
    let line = lines.next().unwrap();
    assert!(line.starts_with("history: "), "{line}");
    assert!(
        line.contains("room \"lobby\" at seq 150") && line.contains("history check"),
        "{line}"
    );
    for _ in 0..5 {
        let before = damage(&server);
        assert!(before >= 1.0);
        bob.refused("store_failed", page(155));
        assert!(damage(&server) > before);
    }
    assert_eq!(bob.get("history", page(100))["messages"].as_array().unwrap().len(), 10);
    assert_eq!(bob.say("lobby", "on")["seq"], 301);
    drop(bob);
    server.signal("TERM");
    let mut log = String::new();
    server.stderr().read_to_string(&mut log).unwrap();
    let names_it = |line: &&str| line.contains("ERROR") && line.contains("at seq 150");
    // Once by the readers; the index may have come upon it by itself.
    let named = log.lines().filter(names_it).count();
    assert!((1..=2).contains(&named), "not once for every question: {log}");
}

/// The file contains the earlier acknowledged messages, so they return with it.
#[test]
fn a_store_that_is_deleted_under_the_server_is_not_ready_and_acknowledges_nothing_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Running::start(&kept(&data));
    let mut ann = Person::joined(server.address, "ann", "lobby");
    ann.say("lobby", "1");
    let aside = dir.path().join("aside");
    let moves: [(&Path, &str); 3] = [
        (&data.join("history.db"), "history.db: it is not there any more"),
        (&data.join("history.db-wal"), "history.db-wal: it is not there any more"),
        (&data, "history.db: it is not there any more"),
    ];
    let mut stored = 1;
    for (gone, said) in moves {
        fs::rename(gone, &aside).unwrap();
        // At once, before anybody has looked.
        let key = format!("k{stored}");
        ann.refused(
            "store_failed",
            json!({"talk": {"room": "lobby", "text": "lost", "key": key}}),
        );
        until("it is not ready, and says why", || {
            let ready = get(server.admin, "/readyz");
            ready.status == 503 && ready.body.contains(said)
        });
        assert!(metric(server.admin, "plaza_history_commit_failures_total", &[]) >= 1.0);
        fs::rename(&aside, gone).unwrap();
        until("it is ready again", || get(server.admin, "/readyz").status == 200);
        stored += 1;
        let found = ann.say("lobby", "found");
        assert_eq!(found["seq"], stored, "what was refused never had a number");
    }
    // Another file, while nobody talks.
    fs::rename(data.join("history.db"), &aside).unwrap();
    fs::copy(&aside, data.join("history.db")).unwrap();
    let ready = || get(server.admin, "/readyz").body;
    until("it is not ready", || ready().contains("history.db: it is another file"));
    assert_eq!(get(server.admin, "/livez").status, 200);
}

#[test]
fn a_full_disk_is_told_to_senders_and_readiness_and_the_server_lives_and_recovers() {
    let Some(disk) = SmallDisk::mount("the full disk") else {
        return;
    };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let config = kept(&disk.path().join("data"));
    let server = Running::start(&config);
    assert_eq!(get(server.admin, "/readyz").status, 200);
    let mut ann = Person::joined(server.address, "ann", "lobby");
    let mut bob = Person::joined(server.address, "bob", "lobby");
    let mut stored = 0;
    for round in 0..size(1, 10) {
        // Only the ballast of the round before is in the way.
        disk.remount(&format!("size={}m", 6 + round));
        fills_up(&disk, &server, [&mut ann, &mut bob], &mut stored);
        fs::remove_file(&ballast).unwrap();
        fs::remove_file(disk.path().join("filler")).unwrap();
        until("it is ready again", || get(server.admin, "/readyz").status == 200);
        for _ in 1..=20 {
            stored += 1;
            assert_eq!(ann.say("lobby", &long())["seq"], stored, "no number is left out");
            assert_eq!(bob.next("message")["seq"], stored);
        }
        disk.remount(&format!("size={}m", 7 + round));
        fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    }
    let epoch = ann.all("lobby")[0]["epoch"].clone();
    drop((ann, bob, server));
    let server = Running::start(&config);
    let again = Person::joined(server.address, "cyd", "lobby").all("lobby");
    assert_eq!(
        (again.len() as u64, &again[0]["epoch"]),
        (stored, &epoch),
        "all of it, and no loss is feared"
    );
}

fn long() -> String {
    "x".repeat(4_000)
}

/// Ann sends until the disk is full, and bob reads all of it; checks how the server reports it.
fn fills_up(disk: &SmallDisk, server: &Running, [ann, bob]: [&mut Person; 2], stored: &mut u64) {
    let long = long();
    // If bob did not read, he would miss some: the disk takes more messages than the ring.
    let mut another = |stored: &mut u64| {
        *stored += 1;
        assert_eq!(bob.next("message")["seq"], *stored);
        assert!(*stored < 100_000, "the disk never fills");
    };
    let error = loop {
        let answer = ann.ask(json!({"talk": {"room": "lobby", "text": long, "key": format!("k{stored}")}}));
        if answer["error"].is_object() {
            break answer["error"].clone();
        }
        another(stored);
        assert_eq!(answer["ack"]["seq"], *stored);
    };
    assert_eq!(error["code"], "store_failed", "{error}");
    assert!(error["text"].as_str().unwrap().contains("full"), "{error}");
    // The talk was too long for what was left; now nothing is.
    disk.fill();
    until("it is not ready", || get(server.admin, "/readyz").status == 503);
    assert_eq!(get(server.admin, "/livez").status, 200);
    // Every kind of request is answered, and the connections live. The log may begin anew in its own place, so that a few
    // more are taken.
    for request in [
        json!({"talk": {"room": "lobby", "text": long}}),
        json!({"direct": {"to": "bob", "text": long}}),
        json!({"read": {"room": "lobby", "seq": *stored}}),
        json!({"rename": {"name": "anna"}}),
    ] {
        let answer = ann.ask(request.clone());
        if answer["ack"].is_object() && request["talk"].is_object() {
            another(stored);
        }
        let refused = answer["error"]["code"] == "store_failed";
        assert!(refused || answer["error"].is_null(), "{answer}");
    }
    loop {
        let answer = ann.ask(json!({"talk": {"room": "lobby", "text": long}}));
        if answer["error"].is_object() {
            assert_eq!(answer["error"]["code"], "store_failed", "{answer}");
            break;
        }
        another(stored);
    }
    assert_eq!(ann.all("lobby").len() as u64, *stored, "what is stored is still served");
    assert_eq!(ann.ask(json!({"users": {"room": "lobby"}}))["users"]["online"], 2);
}

#[test]
fn a_start_on_a_full_disk_is_refused_in_words_and_works_when_there_is_room_again() {
    let Some(disk) = SmallDisk::mount("the start on a full disk") else {
        return;
    };
    let data = disk.path().join("data");
    filled(&data);
    let filler = disk.fill();
    let words = refusal(&data);
    assert!(words.contains("no space left"), "{words}");
    assert!(words.contains("then start again"), "nothing goes on by itself: {words}");
    fs::remove_file(&filler).unwrap();
    let server = Running::start(&kept(&data));
    assert_eq!(Person::joined(server.address, "bob", "lobby").all("lobby").len(), 1);
}

#[test]
fn a_read_only_disk_is_refused_in_words_at_the_start() {
    let Some(disk) = SmallDisk::mount("the read-only disk") else {
        return;
    };
    let data = disk.path().join("data");
    filled(&data);
    disk.remount("ro");
    let words = refusal(&data);
    assert!(words.contains(data.to_str().unwrap()), "{words}");
}

#[test]
fn more_talks_than_the_store_takes_are_busy_and_none_is_kept_twice_or_lost() {
    let server = Kept::with(|config| config.history.queue = 64);
    let mut ann = Person::joined(server.address, "ann", "lobby");
    let mut left: Vec<u64> = (0..3_000).collect();
    let mut refused = 0;
    while !left.is_empty() {
        let sent: Vec<(u64, u64)> = left
            .drain(..)
            .map(|n| {
                let message = json!({"room": "lobby", "text": format!("{n}"), "key": format!("k{n}")});
                (n, ann.send(json!({ "talk": message })))
            })
            .collect();
        for (n, id) in sent {
            let answer = ann.reply(id);
            if answer["error"].is_object() {
                assert_eq!(answer["error"]["code"], "busy", "{answer}");
                assert!(answer["error"]["retry_after"].as_u64().unwrap() > 0, "{answer}");
                refused += 1;
                left.push(n);
            } else {
                assert!(answer["ack"].is_object(), "{answer}");
            }
        }
    }
    assert!(refused > 0, "a full queue was never told");
    let stored = ann.all("lobby");
    let texts = stored
        .iter()
        .map(|message| message["text"].as_str().unwrap().parse().unwrap());
    let mut texts: Vec<u64> = texts.collect();
    texts.sort_unstable();
    assert!(texts.into_iter().eq(0..3_000));
}
