//! Acknowledged messages are on the disk: strace shows the order of writes and syncs. The test builds a disk without the unsynced data
//! at every acknowledgement, and opens it.

use std::{fs, process::Stdio};

use crate::{
    forgetful::{Call, Disk, parse, strace},
    support::{Caller, child, committed, room, size},
};

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
    committed(caller.say(&room("lobby"), "a", "before", None));
    caller.history.stop();
    drop(caller);
    let mut disk = Disk::holding(&data);
    let messages = size(40, 400);
    let plain = child("kill::child_writer", &data);
    let status = traced
        .arg(plain.get_program())
        .args(plain.get_args())
        .env(crate::support::CHILD_DIR, &data)
        .envs([
            ("FRESH", "0"),
            ("END", messages.to_string().as_str()),
            ("IN_FLIGHT", "1"),
            ("REPEAT", ""),
        ])
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
            assert_eq!(
                stored.iter().filter(|message| *message.text == *text).count(),
                1,
                "{text} was acknowledged"
            );
        }
    }
    assert_eq!(acked.len(), messages, "the trace holds every acknowledgement");
}
