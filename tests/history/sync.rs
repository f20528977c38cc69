//! Acknowledged messages are on the disk: strace shows the order of writes and syncs. The test builds a disk without the unsynced data
//! at every acknowledgement, and opens it.

use std::{env, fs, io::Write as _, path::PathBuf, process::Stdio};

use crate::{
    forgetful::{Call, Disk, parse, strace},
    support::{Caller, room, size},
};

const CHILD_DIR: &str = "PLAZA_TEST_CHILD_DIR";

/// Says something as often as it is told, and prints `ack <n>` for each message that is acknowledged.
#[test]
#[ignore = "runs as a child of the test below"]
fn child_writer() {
    let Ok(dir) = env::var(CHILD_DIR) else { return };
    let caller = Caller::open(&PathBuf::from(dir));
    let messages: usize = env::var("MESSAGES").unwrap().parse().unwrap();
    let mut out = std::io::stdout();
    for n in 0..messages {
        caller.say(&room("lobby"), "a", &format!("text {n}"));
        // In one write, as it is one line of the trace.
        out.write_all(format!("ack {n} \n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn an_ack_has_a_sync_before_it_and_a_disk_that_forgets_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let Some(mut traced) = strace(&trace, "the order of syncs and acknowledgements") else {
        return;
    };
    let data = dir.path().join("data");
    // A store with something in it, closed: everything of it is on the disk.
    let caller = Caller::open(&data);
    caller.say(&room("lobby"), "a", "before");
    drop(caller);
    let mut disk = Disk::holding(&data);
    let messages = size(40, 400);
    let status = traced
        .arg(env::current_exe().unwrap())
        .args([
            "--exact",
            "sync::child_writer",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD_DIR, &data)
        .env("MESSAGES", messages.to_string())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let mut acked = Vec::new();
    for call in parse(&fs::read_to_string(&trace).unwrap()) {
        disk.apply(&call);
        let Call::Said { bytes, .. } = call else { continue };
        let said = String::from_utf8_lossy(&bytes);
        let Some(n) = said.split("ack ").nth(1).and_then(|rest| rest.split(' ').next()) else {
            continue;
        };
        for file in ["history.db-wal", "history.head"] {
            assert!(
                disk.synced.contains(&data.join(file)),
                "ack {n}: no sync of {file} since the last one: {:?}",
                disk.synced
            );
        }
        disk.synced.clear();
        acked.push(n.to_owned());
        let after = tempfile::tempdir().unwrap();
        disk.lay(&data, after.path());
        let caller = Caller::open(after.path());
        assert_eq!(caller.history.recovered(), [], "ack {n}");
        let stored = caller.all(&room("lobby")).unwrap();
        for n in &acked {
            let text = format!("text {n}");
            let copies = stored.iter().filter(|message| *message.text == *text).count();
            assert_eq!(copies, 1, "{text} was acknowledged");
        }
    }
    assert_eq!(acked.len(), messages, "the trace holds every acknowledgement");
}
