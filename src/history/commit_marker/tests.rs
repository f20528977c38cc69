use super::*;
use std::collections::BTreeMap;

fn header() -> Header {
    Header {
        store: 7,
        boot: [3; 16],
        durability: Durability::Fsync,
        state: State::Running,
        base: 40,
        files: FileIdentities::default(),
    }
}

fn begin(path: &Path, header: Header) -> io::Result<CommitMarker> {
    CommitMarker::begin(path, &path.with_extension("db"), header)
}

fn remember(marker: &mut CommitMarker, commit: u64, heads: &[(u32, u64)]) {
    marker.announce(commit, heads);
    marker.confirm(commit).unwrap();
}

/// The last commit and the heads that recovery trusts if the database has this many commits.
fn believed(path: &Path, commits: u64) -> (u64, Vec<(u32, u64)>) {
    match LastRun::read(path).unwrap().resolve_announced(commits) {
        LastRun::Read { commit, heads, .. } => (commit, heads.iter().map(|(log, (_, head))| (*log, *head)).collect()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_announced_and_not_confirmed_counts_only_if_it_is_there_or_the_system_was_down() {
    for (boot, absent) in [(files::boot_id(), (41, vec![(1, 10)])), ([3; 16], (42, vec![(1, 12)]))] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.head");
        let mut marker = begin(&path, Header { boot, ..header() }).unwrap();
        remember(&mut marker, 41, &[(1, 10)]);
        marker.announce(42, &[(1, 12)]);
        assert_eq!(believed(&path, 41), absent);
        assert_eq!(believed(&path, 42), (42, vec![(1, 12)]));
        marker.confirm(42).unwrap();
        assert_eq!(believed(&path, 41), (42, vec![(1, 12)]));
    }
}

#[test]
fn announcement_that_is_withdrawn_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.head");
    let mut marker = begin(&path, header()).unwrap();
    remember(&mut marker, 41, &[(1, 10)]);
    marker.announce(42, &[(1, 12), (2, 7)]);
    marker.withdraw();
    assert_eq!(believed(&path, 41), (41, vec![(1, 10)]));
    remember(&mut marker, 42, &[(1, 11)]);
    assert_eq!(believed(&path, 42), (42, vec![(1, 11)]));
}

#[test]
fn without_a_note_that_can_be_read_the_last_announcement_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.head");
    let mut marker = begin(
        &path,
        Header {
            boot: files::boot_id(),
            ..header()
        },
    )
    .unwrap();
    remember(&mut marker, 41, &[(1, 10)]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER_BYTES] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(believed(&path, 40), (41, vec![(1, 10)]));
}

#[test]
fn one_damaged_entry_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.head");
    assert_eq!(LastRun::read(&path).unwrap(), LastRun::Missing);
    let mut marker = begin(&path, header()).unwrap();
    remember(&mut marker, 41, &[(1, 10), (2, 5)]);
    remember(&mut marker, 42, &[]);
    remember(&mut marker, 43, &[(1, 12)]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER_BYTES + 2 * ENTRY_BYTES + 9] ^= 4;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(
        LastRun::read(&path).unwrap(),
        LastRun::Read {
            header: Header {
                files: marker.header.files,
                ..header()
            },
            commit: 43,
            heads: BTreeMap::from([(1, (43, 12))]),
            announced: None,
            // The damaged entry counts twice: it is also missing from its commit.
            unreadable: 2,
            hidden: 0,
        }
    );
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(LastRun::read(&path).unwrap(), LastRun::Damaged);
}

#[test]
fn entries_that_are_missing_or_unreadable_are_counted_wherever_they_stood() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.head");
    let running = Header {
        boot: files::boot_id(),
        ..header()
    };
    let mut marker = begin(&path, running).unwrap();
    remember(&mut marker, 41, &[(1, 10), (2, 5)]);
    remember(&mut marker, 42, &[(3, 1)]);
    remember(&mut marker, 43, &[(1, 11), (2, 6)]);
    let whole = fs::read(&path).unwrap();
    let seen = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        match LastRun::read(&path).unwrap() {
            LastRun::Read {
                commit,
                unreadable,
                hidden,
                ..
            } => (commit, unreadable > 0, hidden),
            other => panic!("{other:?}"),
        }
    };
    let at = |entry: usize| HEADER_BYTES + entry * ENTRY_BYTES;
    assert_eq!(seen(&|_| ()), (43, false, 0));
    // Zeroes in the middle and at the end of the written part, and a truncated file.
    assert_eq!(seen(&|bytes| bytes[at(3)..at(4)].fill(0)), (43, true, 0));
    assert_eq!(seen(&|bytes| bytes[at(5)..].fill(0)), (43, true, 0));
    assert_eq!(seen(&|bytes| bytes.truncate(at(4))), (43, true, 0));
    // Only the note records the number of commits.
    assert_eq!(seen(&|bytes| bytes[at(4)..at(6)].fill(7)), (43, true, 0));
    assert_eq!(
        seen(&|bytes| {
            bytes[at(0)] ^= 1;
            bytes[at(4)..at(6)].fill(7);
        }),
        (42, true, 2)
    );
    let (commit, damaged, hidden) = seen(&|bytes| {
        bytes[at(0)..at(1)].fill(0);
        bytes[at(3)..].fill(0);
    });
    // Two entries of one commit are left. This looks like the first commit, whose announcement precedes the note.
    assert_eq!((commit, damaged, hidden), (40, false, 0));
    let (commit, damaged, hidden) = seen(&|bytes| {
        bytes[at(0)..at(1)].fill(0);
        bytes[at(4)..].fill(0);
    });
    assert!(commit == 42 && damaged && hidden > 1_000, "{commit} {hidden}");
}

#[test]
fn a_full_file_grows_and_a_checkpoint_begins_it_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.head");
    let mut marker = begin(
        &path,
        Header {
            durability: Durability::None,
            ..header()
        },
    )
    .unwrap();
    for commit in 41..=6_000 {
        remember(&mut marker, commit, &[(9, commit * 2)]);
    }
    let LastRun::Read { commit, heads, .. } = LastRun::read(&path).unwrap() else {
        panic!()
    };
    assert_eq!((commit, heads[&9]), (6_000, (6_000, 12_000)));
    marker.checkpointed(6_000).unwrap();
    let LastRun::Read { commit, heads, .. } = LastRun::read(&path).unwrap() else {
        panic!()
    };
    assert_eq!((commit, heads.len()), (6_000, 0));
}
