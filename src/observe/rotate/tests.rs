use std::{fs::OpenOptions, sync::atomic::AtomicU64, time::Duration};

use super::*;

const BEGINNING: u64 = 1_795_212_900_000;

struct Bench {
    dir: tempfile::TempDir,
    now: Arc<AtomicU64>,
    running: Arc<AtomicU64>,
    errors: Counter,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            now: Arc::new(AtomicU64::new(BEGINNING)),
            running: Arc::default(),
            errors: Counter::default(),
        }
    }

    fn open(&self, rotation: Rotation) -> RotatingFile {
        self.open_in(self.dir.path(), "messages", rotation).unwrap()
    }

    fn open_in(&self, dir: &Path, name: &'static str, rotation: Rotation) -> io::Result<RotatingFile> {
        let (now, running) = (self.now.clone(), self.running.clone());
        let clocks = Clocks {
            wall: Arc::new(move || now.load(Ordering::Relaxed)),
            running: Arc::new(move || running.load(Ordering::Relaxed)),
        };
        RotatingFile::open(dir, name, "jsonl", rotation, clocks, self.errors.clone())
    }

    fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds * 1000, Ordering::Relaxed);
        self.running.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    fn files(&self) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
            .filter(|(name, _)| name != ".messages.lock")
            .map(|(name, path)| (name, fs::read_to_string(path).unwrap()))
            .collect();
        files.sort();
        files
    }

    fn contents(&self) -> Vec<String> {
        self.files().into_iter().map(|(_, content)| content).collect()
    }
}

#[test]
fn a_new_file_begins_with_every_period() {
    let bench = Bench::new();
    let mut log = bench.open(Rotation {
        every: Some(Duration::from_secs(60)),
        ..Rotation::default()
    });
    log.write_all(b"a\n").unwrap();
    bench.pass(59);
    log.write_all(b"b\n").unwrap();
    bench.pass(1);
    log.write_all(b"c\n").unwrap();
    let [(first, one), (second, two)] = &bench.files()[..] else {
        panic!("{:?}", bench.files())
    };
    assert_eq!(
        (first.as_str(), one.as_str()),
        ("messages.20261120T221500.000Z.jsonl", "a\nb\n")
    );
    assert_eq!(
        (second.as_str(), two.as_str()),
        ("messages.20261120T221600.000Z.jsonl", "c\n")
    );
    assert_eq!(
        fs::read_to_string(bench.dir.path().join("messages.latest")).unwrap(),
        "c\n"
    );
}

#[test]
fn a_new_file_begins_before_one_grows_too_long_and_names_sort_within_a_millisecond() {
    let bench = Bench::new();
    let mut log = bench.open(Rotation {
        bytes: Some(10),
        ..Rotation::default()
    });
    for line in ["12345\n", "123\n", "1\n", "a line of more than ten bytes\n", "x\n"] {
        log.write_all(line.as_bytes()).unwrap();
    }
    assert_eq!(
        bench.contents(),
        ["12345\n123\n", "1\n", "a line of more than ten bytes\n", "x\n"]
    );
    assert_eq!(
        fs::read_link(bench.dir.path().join("messages.latest"))
            .unwrap()
            .to_str(),
        Some(&*bench.files()[3].0)
    );
}

#[test]
fn lines_written_together_are_parted_at_their_ends_so_that_no_file_is_longer_than_it_may_be() {
    let bench = Bench::new();
    let mut log = bench.open(Rotation {
        bytes: Some(10),
        ..Rotation::default()
    });
    log.write_all(b"12345\n").unwrap();
    log.write_all(b"123\n1\n22\n333\n4444\na line of more than ten bytes\nx\n")
        .unwrap();
    assert_eq!(
        bench.contents(),
        [
            "12345\n123\n",
            "1\n22\n333\n",
            "4444\n",
            "a line of more than ten bytes\n",
            "x\n"
        ]
    );
}

#[test]
fn only_so_many_files_are_kept_and_none_that_is_not_its_own_is_touched() {
    let bench = Bench::new();
    for other in [
        "messages.txt",
        "messages.20201120T221503.042Z.jsonl.gz",
        "server.20201120T221503.042Z.jsonl",
        "messages.2020.jsonl",
    ] {
        fs::write(bench.dir.path().join(other), "other").unwrap();
    }
    let mut log = bench.open(Rotation {
        bytes: Some(1),
        keep_files: Some(3),
        ..Rotation::default()
    });
    for line in ["a\n", "b\n", "c\n", "d\n", "e\n"] {
        log.write_all(line.as_bytes()).unwrap();
    }
    let (others, own): (Vec<_>, Vec<_>) = bench.contents().into_iter().partition(|content| content == "other");
    assert_eq!(
        (others.len(), own),
        (4, vec!["c\n".to_owned(), "d\n".to_owned(), "e\n".to_owned()])
    );
    assert_eq!(bench.errors.get(), 0);
}

#[test]
fn files_go_when_their_last_line_is_too_old() {
    let bench = Bench::new();
    let mut log = bench.open(Rotation {
        every: Some(Duration::from_secs(60)),
        keep_age: Some(Duration::from_secs(120)),
        ..Rotation::default()
    });
    for line in ["0\n", "1\n", "2\n", "3\n", "4\n"] {
        log.write_all(line.as_bytes()).unwrap();
        bench.pass(60);
    }
    // The file that began at minute 1 may have lines up to minute 2. At minute 4 these are at most 120 s old, so it stays.
    assert_eq!(bench.contents(), ["1\n", "2\n", "3\n", "4\n"]);
    bench.pass(3600);
    log.write_all(b"5\n").unwrap();
    assert_eq!(bench.contents(), ["4\n", "5\n"]);
}

#[test]
fn files_that_another_writes_are_not_touched_and_their_directory_takes_other_logs() {
    let bench = Bench::new();
    let mut log = bench.open(Rotation::default());
    log.write_all(b"whole\n").unwrap();
    // A partial line.
    log.open.as_mut().unwrap().file.write_all(b"ha").unwrap();
    let before = bench.files();
    let rotation = Rotation {
        bytes: Some(1),
        keep_files: Some(1),
        ..Rotation::default()
    };
    let open = |name| bench.open_in(bench.dir.path(), name, rotation);
    let refused = open("messages").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
    assert!(
        refused.to_string().contains(&std::process::id().to_string()),
        "{refused}"
    );
    assert_eq!(bench.files(), before);
    drop(open("server").unwrap());
    drop(log);
    open("messages").unwrap();
}

#[test]
fn a_restart_goes_on_in_the_newest_file_and_cuts_off_a_torn_line() {
    let bench = Bench::new();
    bench.open(Rotation::default()).write_all(b"whole\n").unwrap();
    let path = bench.dir.path().join(&bench.files()[0].0);
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(&[b'x'; 9000])
        .unwrap();
    bench.pass(5);
    bench.open(Rotation::default()).write_all(b"next\n").unwrap();
    assert_eq!(bench.contents(), ["whole\nnext\n"]);
}

#[test]
fn a_restart_in_another_period_begins_a_new_file() {
    let bench = Bench::new();
    let rotation = Rotation {
        every: Some(Duration::from_secs(60)),
        ..Rotation::default()
    };
    bench.open(rotation).write_all(b"a\n").unwrap();
    bench.pass(60);
    bench.open(rotation).write_all(b"b\n").unwrap();
    assert_eq!(bench.contents(), ["a\n", "b\n"]);
}

#[test]
fn a_clock_that_was_set_back_does_not_put_new_lines_before_old_ones() {
    let bench = Bench::new();
    let rotation = |bytes| Rotation {
        every: Some(Duration::from_secs(60)),
        bytes: Some(bytes),
        ..Rotation::default()
    };
    bench.open(rotation(2)).write_all(b"a\n").unwrap();
    bench.now.fetch_sub(3_600_000, Ordering::Relaxed);
    let mut log = bench.open(rotation(1));
    log.control().set_rotation(rotation(100));
    for line in ["b\n", "c\n"] {
        log.write_all(line.as_bytes()).unwrap();
    }
    assert_eq!(bench.contents(), ["a\n", "b\nc\n"]);
}

#[test]
fn a_clock_that_jumps_forward_begins_a_file_and_deletes_none_that_is_not_old() {
    let bench = Bench::new();
    let mut log = bench.open(Rotation {
        every: Some(Duration::from_secs(60)),
        keep_age: Some(Duration::from_secs(3_600)),
        ..Rotation::default()
    });
    for line in ["a\n", "b\n", "c\n"] {
        log.write_all(line.as_bytes()).unwrap();
        bench.pass(60);
    }
    let day = 24 * 3_600_000;
    bench.now.fetch_add(day, Ordering::Relaxed);
    log.write_all(b"tomorrow\n").unwrap();
    assert_eq!(bench.contents(), ["a\n", "b\n", "c\n", "tomorrow\n"]);
    bench.now.fetch_sub(day, Ordering::Relaxed);
    log.write_all(b"today\n").unwrap();
    assert_eq!(bench.contents(), ["a\n", "b\n", "c\n", "tomorrow\ntoday\n"]);
    // The wall clock was wrong and is now right. Files are deleted once as much time has passed.
    bench.now.fetch_add(day, Ordering::Relaxed);
    bench.pass(24 * 3_600);
    log.write_all(b"later\n").unwrap();
    assert_eq!(bench.contents(), ["tomorrow\ntoday\n", "later\n"]);
}

#[test]
fn after_reopen_a_file_that_was_moved_away_is_made_again() {
    let bench = Bench::new();
    let mut log = bench.open(Rotation::default());
    log.write_all(b"a\n").unwrap();
    let path = bench.dir.path().join(&bench.files()[0].0);
    fs::rename(&path, bench.dir.path().join("0-moved")).unwrap();
    log.write_all(b"b\n").unwrap();
    assert!(!path.exists());
    log.control().reopen();
    log.write_all(b"c\n").unwrap();
    assert_eq!(bench.contents(), ["a\nb\n", "c\n"]);
}

#[test]
fn rules_can_change_while_running() {
    let bench = Bench::new();
    let mut log = bench.open(Rotation::default());
    log.write_all(b"a\n").unwrap();
    log.control().set_rotation(Rotation {
        bytes: Some(2),
        ..Rotation::default()
    });
    log.write_all(b"b\n").unwrap();
    assert_eq!(bench.contents(), ["a\n", "b\n"]);
}

#[test]
fn a_directory_that_goes_and_comes_back_costs_lines_and_errors_but_not_the_log() {
    let bench = Bench::new();
    let dir = bench.dir.path().join("logs");
    let rotation = Rotation {
        every: Some(Duration::from_secs(60)),
        ..Rotation::default()
    };
    let mut log = bench.open_in(&dir, "messages", rotation).unwrap();
    // A file in place of the directory, so that creating a file there fails even for root.
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, "").unwrap();
    log.control().reopen();
    assert!(log.write_all(b"lost\n").is_err());
    assert!(log.write_all(b"lost too\n").is_err());
    assert!(bench.errors.get() >= 2);
    fs::remove_file(&dir).unwrap();
    bench.pass(2);
    log.write_all(b"back\n").unwrap();
    assert_eq!(fs::read_to_string(dir.join("messages.latest")).unwrap(), "back\n");
}

#[test]
fn a_full_disk_tears_no_line() {
    // /dev/full accepts no bytes, and cannot be truncated either.
    let mut open = Open {
        file: OpenOptions::new().append(true).open("/dev/full").unwrap(),
        path: "/dev/full".into(),
        begun: 0,
        bytes: 0,
        torn: false,
    };
    assert_eq!(open.append(b"a\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!((open.bytes, open.torn), (0, true));

    let bench = Bench::new();
    let mut log = bench.open(Rotation::default());
    log.write_all(b"whole\n").unwrap();
    let open = log.open.as_mut().unwrap();
    open.file.write_all(b"to").unwrap();
    open.torn = true;
    log.write_all(b"next\n").unwrap();
    assert_eq!(bench.contents(), ["whole\nnext\n"]);
}
