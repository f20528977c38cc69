//! A full disk: senders get errors, and the store survives and continues by itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use plaza::history::{Health, Outcome, StoreFault};

use crate::{
    skip::skipped,
    support::{Caller, append, committed, room},
};

/// A file system of a few megabytes, unmounted on drop.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "plaza-test"])
            .arg(dir.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { dir })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

#[test]
fn a_full_disk_is_told_to_senders_and_the_store_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount("6m") else {
        skipped("the full disk: no tmpfs can be mounted here, which takes root");
        return;
    };
    let ballast: PathBuf = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let caller = Caller::open(&disk.path().join("data"));
    let lobby = room("lobby");
    let text = "x".repeat(4_000);
    let mut stored = 0;
    let why = loop {
        match caller.say(&lobby, "a", &text, None) {
            Outcome::Committed { position, .. } => {
                stored += 1;
                assert_eq!(position.seq, stored);
            }
            Outcome::Failed { why, .. } => break why,
            other => panic!("{other:?}"),
        }
        assert!(stored < 10_000, "the disk never fills");
    };
    assert!(matches!(why, StoreFault::Full { .. }), "{why:?}");
    assert!(why.to_string().contains("no space left"), "{why}");
    assert!(matches!(
        caller.history.health(),
        Health::Failing(StoreFault::Full { .. })
    ));
    // What is stored is still served, and senders go on being told.
    assert_eq!(caller.all(&lobby).unwrap().len() as u64, stored);
    assert!(matches!(caller.say(&lobby, "a", &text, None), Outcome::Failed { .. }));
    fs::remove_file(&ballast).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while caller.history.health() != Health::Healthy {
        assert!(
            Instant::now() < deadline,
            "it does not recover: {:?}",
            caller.history.health()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    for n in 1..=20 {
        caller.submit(append(&lobby, "a", &text, None, n));
        assert_eq!(committed(caller.next()).seq, stored + n);
    }
    assert_eq!(caller.all(&lobby).unwrap().len() as u64, stored + 20);
    caller.history.stop();
    drop(caller);
    let caller = Caller::open(&disk.path().join("data"));
    assert_eq!(caller.all(&lobby).unwrap().len() as u64, stored + 20);
    assert!(caller.history.recovered().is_empty());
}
