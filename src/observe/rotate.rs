//! Log files that begin anew by time and size and go away by age and number.
//!
//! Files are named `<name>.<UTC time of their beginning>.<extension>`, so that they sort; the symlink `<name>.latest` points at
//! the one being written. What it promises: a file holds whole lines only, also after a full disk or a crash; and whatever
//! the disk does becomes a counted error, never a panic, and goes on when the disk does. What it never does: touch a file
//! that is not named as its own are, or one that another process writes, which holds `.<name>.lock`.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;

use super::clock::{Ageing, Clocks, parse_stamp, stamp};
use crate::{
    config, limits,
    lock::{self, NotHeld},
};

/// When a new file begins, and which old ones stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotation {
    /// A new file at every full one of these since 1970, UTC.
    pub every: Option<Duration>,
    /// A new file before one grows beyond this many bytes.
    pub bytes: Option<u64>,
    /// At most this many files, the one being written included.
    pub keep_files: Option<u32>,
    /// No file whose last line is older than this.
    pub keep_age: Option<Duration>,
}

/// What other threads may tell a [`RotatingFile`].
#[derive(Debug)]
pub struct RotationControl {
    rotation: ArcSwap<Rotation>,
    reopen: AtomicBool,
}

/// The file being written, and its predecessors.
pub struct RotatingFile {
    /// What this process cuts, begins and deletes is nobody else's as long as it is held.
    _lock: File,
    dir: PathBuf,
    name: &'static str,
    extension: &'static str,
    clocks: Clocks,
    ageing: Ageing,
    control: Arc<RotationControl>,
    errors: Counter,
    open: Option<Open>,
    last_stamp: u64,
    retry_at: u64,
}

struct Open {
    file: File,
    path: PathBuf,
    begun: u64,
    /// Bytes of whole lines.
    bytes: u64,
    /// Whether there may be more in the file than whole lines.
    torn: bool,
}

impl Rotation {
    /// As the settings have it.
    pub fn from_config(log: &config::Log) -> Self {
        Self {
            every: log.rotate_every,
            bytes: log.rotate_bytes.map(|bytes| bytes.0),
            keep_files: log.keep_files,
            keep_age: log.keep_age,
        }
    }

    fn period(&self, at: u64) -> u64 {
        self.every.map_or(0, |every| at / millis(every).max(1))
    }
}

impl RotationControl {
    /// Makes the next write open the file again by its name: after something moved it away.
    pub fn reopen(&self) {
        // Release: pairs with the Acquire in `write`, so that what was moved before is seen as moved.
        self.reopen.store(true, Ordering::Release);
    }

    /// Changes the rules from the next write on.
    pub fn set_rotation(&self, rotation: Rotation) {
        self.rotation.store(Arc::new(rotation));
    }
}

impl RotatingFile {
    /// Opens the newest file of this name if it still has room, else a new one. The error is for the operator; later ones
    /// are counted. [`io::ErrorKind::ResourceBusy`]: another process writes these files, and nothing was touched.
    pub fn open(
        dir: &Path,
        name: &'static str,
        extension: &'static str,
        rotation: Rotation,
        clocks: Clocks,
        errors: Counter,
    ) -> io::Result<Self> {
        make_dir(dir)?;
        let lock = lock::hold(&dir.join(format!(".{name}.lock")), FILE_MODE).map_err(not_held)?;
        let mut file = Self {
            _lock: lock,
            dir: dir.to_owned(),
            name,
            extension,
            ageing: Ageing::begin(&clocks),
            clocks,
            control: Arc::new(RotationControl {
                rotation: ArcSwap::from_pointee(rotation),
                reopen: AtomicBool::new(false),
            }),
            errors,
            open: None,
            last_stamp: 0,
            retry_at: 0,
        };
        let now = (file.clocks.wall)();
        file.begin(now, &rotation, 0)?;
        Ok(file)
    }

    /// For SIGHUP.
    pub fn control(&self) -> Arc<RotationControl> {
        self.control.clone()
    }

    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let now = (self.clocks.wall)();
        self.ageing.now(&self.clocks);
        let rotation = **self.control.rotation.load();
        // Acquire: pairs with the Release in `reopen`.
        if self.control.reopen.swap(false, Ordering::Acquire) {
            self.reopen(&rotation);
        }
        let length = lines.len() as u64;
        let full = self
            .open
            .as_ref()
            .is_none_or(|open| !open.has_room(now, length, &rotation));
        // A file that is too long is better than lines that are lost: a failed beginning leaves the old one open.
        if full
            && now >= self.retry_at
            && let Err(error) = self.begin(now, &rotation, length)
        {
            self.retry_at = now.saturating_add(millis(limits::LOG_RETRY));
            if self.open.is_none() {
                return Err(error);
            }
            self.errors.inc();
        }
        match &mut self.open {
            Some(open) => open.append(lines),
            None => Err(io::Error::other("the log file could not be opened a moment ago")),
        }
    }

    /// Makes another file the open one: the newest, if it has room for so many bytes more, or a new one.
    fn begin(&mut self, now: u64, rotation: &Rotation, length: u64) -> io::Result<()> {
        make_dir(&self.dir)?;
        let files = self.files()?;
        let newest = files.last().filter(|_| self.open.is_none());
        let continued = newest.and_then(|(begun, path)| {
            let open = Open::existing(path, *begun).ok()?;
            open.has_room(now, length, rotation).then_some(open)
        });
        let open = match continued {
            Some(open) => open,
            None => {
                // Times must grow also when the clock does not, so that the names sort.
                let newest = files.last().map_or(0, |(begun, _)| *begun);
                self.create(now.max(newest + 1).max(self.last_stamp + 1))?
            }
        };
        self.last_stamp = open.begun;
        let path = open.path.clone();
        self.open = Some(open);
        self.retry_at = 0;
        if self.point_latest_at(&path).is_err() {
            self.errors.inc();
        }
        self.retire(rotation);
        Ok(())
    }

    fn create(&self, mut begun: u64) -> io::Result<Open> {
        for _ in 0..NAME_ATTEMPTS {
            let path = self
                .dir
                .join(format!("{}.{}.{}", self.name, stamp(begun), self.extension));
            match options().create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Open {
                        file,
                        path,
                        begun,
                        bytes: 0,
                        torn: false,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => begun += 1,
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "all names for a new log file are taken",
        ))
    }

    fn reopen(&mut self, rotation: &Rotation) {
        let Some(open) = self.open.take() else { return };
        let again = options()
            .create(true)
            .open(&open.path)
            .and_then(|_| Open::existing(&open.path, open.begun));
        match again {
            Ok(again) => {
                self.open = Some(again);
                if self.point_latest_at(&open.path).is_err() {
                    self.errors.inc();
                }
            }
            // The directory may be gone as well: the write that follows makes both.
            Err(_) => {
                self.errors.inc();
            }
        }
        self.retire(rotation);
    }

    /// Own files, oldest first, with the times of their beginning.
    fn files(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let begun = name
                .to_str()
                .and_then(|name| name.strip_prefix(self.name)?.strip_prefix('.'))
                .and_then(|rest| rest.strip_suffix(self.extension)?.strip_suffix('.'))
                .and_then(parse_stamp);
            if let Some(begun) = begun
                && entry.file_type()?.is_file()
            {
                files.push((begun, entry.path()));
            }
        }
        files.sort();
        Ok(files)
    }

    /// Deletes what is too old or too much.
    fn retire(&mut self, rotation: &Rotation) {
        let now = self.ageing.now(&self.clocks);
        let Ok(files) = self.files() else {
            self.errors.inc();
            return;
        };
        let keep = rotation.keep_files.map_or(usize::MAX, |keep| keep.max(1) as usize);
        let surplus = files.len().saturating_sub(keep);
        let oldest = rotation.keep_age.map_or(0, |age| now.saturating_sub(millis(age)));
        // The last line of a file is older than the beginning of the next one; the newest file has no next one and stays.
        for ((_, path), (index, (next, _))) in files.iter().zip(files.iter().enumerate().skip(1)) {
            let open = self.open.as_ref().is_some_and(|open| open.path == *path);
            if (index <= surplus || *next < oldest) && !open && fs::remove_file(path).is_err() {
                self.errors.inc();
            }
        }
    }

    fn point_latest_at(&self, path: &Path) -> io::Result<()> {
        let target = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let latest = self.dir.join(format!("{}.latest", self.name));
        let next = self.dir.join(format!(".{}.latest.{}", self.name, std::process::id()));
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        symlink(target, &next)?;
        // A rename replaces the link in one step: it always points at a file.
        fs::rename(&next, &latest)
    }
}

impl Open {
    /// Opens a file that is there, and cuts off what a crash left of a line.
    fn existing(path: &Path, begun: u64) -> io::Result<Self> {
        let mut file = options().read(true).open(path)?;
        let length = file.metadata()?.len();
        let bytes = whole_lines(&mut file, length)?;
        if bytes != length {
            file.set_len(bytes)?;
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            begun,
            bytes,
            torn: false,
        })
    }

    fn has_room(&self, now: u64, length: u64, rotation: &Rotation) -> bool {
        // A clock that was set back begins no new file with every line.
        let same_period = rotation.period(now) <= rotation.period(self.begun);
        // A line longer than a whole file has a file of its own.
        let fits = rotation
            .bytes
            .is_none_or(|most| self.bytes == 0 || self.bytes + length <= most);
        same_period && fits
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.bytes)?;
            self.torn = false;
        }
        match self.file.write_all(lines) {
            Ok(()) => {
                self.bytes += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                // What was written of it is cut off, now or before the next line.
                self.torn = self.file.set_len(self.bytes).is_err();
                Err(error)
            }
        }
    }
}

impl Write for RotatingFile {
    /// Writes whole lines: all of them or, with an error, none.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match self.write_lines(lines) {
            Ok(()) => Ok(lines.len()),
            Err(error) => {
                self.errors.inc();
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for RotatingFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.open.as_ref().map(|open| &open.path);
        f.debug_struct("RotatingFile")
            .field("dir", &self.dir)
            .field("path", &path)
            .finish_non_exhaustive()
    }
}

/// The length up to and with the last line break.
fn whole_lines(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = usize::try_from(end - start).unwrap_or(block.len());
        let bytes = block.get_mut(..part).unwrap_or_default();
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(bytes)?;
        if let Some(position) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + position as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).mode(FILE_MODE);
    options
}

fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(dir)
}

fn not_held(why: NotHeld) -> io::Error {
    let holder = match why {
        NotHeld::Io(why) => return why,
        NotHeld::Taken(holder) => holder,
    };
    let process = holder.map_or_else(String::new, |holder| format!(" (process {holder})"));
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!("another plaza{process} writes it there"),
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Who reads logs need not be who runs the server, but not everybody either.
const FILE_MODE: u32 = 0o640;
/// Files that may begin at the same millisecond before something must be wrong.
const NAME_ATTEMPTS: usize = 1000;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::AtomicU64;

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
            self.open_in(self.dir.path(), "talk", rotation).unwrap()
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
                .filter(|(name, _)| name != ".talk.lock")
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
            ("talk.20261120T221500.000Z.jsonl", "a\nb\n")
        );
        assert_eq!(
            (second.as_str(), two.as_str()),
            ("talk.20261120T221600.000Z.jsonl", "c\n")
        );
        assert_eq!(fs::read_to_string(bench.dir.path().join("talk.latest")).unwrap(), "c\n");
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
            fs::read_link(bench.dir.path().join("talk.latest")).unwrap().to_str(),
            Some(&*bench.files()[3].0)
        );
    }

    #[test]
    fn only_so_many_files_are_kept_and_none_that_is_not_its_own_is_touched() {
        let bench = Bench::new();
        for other in [
            "talk.txt",
            "talk.20201120T221503.042Z.jsonl.gz",
            "server.20201120T221503.042Z.jsonl",
            "talk.2020.jsonl",
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
        // At minute 4, the file of minute 1 may hold a line of minute 2 less a moment, 120 s ago.
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
        // A line that is being written.
        log.open.as_mut().unwrap().file.write_all(b"ha").unwrap();
        let before = bench.files();
        let rotation = Rotation {
            bytes: Some(1),
            keep_files: Some(1),
            ..Rotation::default()
        };
        let open = |name| bench.open_in(bench.dir.path(), name, rotation);
        let refused = open("talk").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        assert!(
            refused.to_string().contains(&std::process::id().to_string()),
            "{refused}"
        );
        assert_eq!(bench.files(), before);
        drop(open("server").unwrap());
        drop(log);
        open("talk").unwrap();
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
        // The clock was wrong, and is set to tomorrow for good: what is old by it goes when as much time has passed.
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
        fs::rename(&path, bench.dir.path().join("moved")).unwrap();
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
        let mut log = bench.open_in(&dir, "talk", rotation).unwrap();
        // A file in place of the directory: nothing can be made there, whoever the test runs as.
        fs::remove_dir_all(&dir).unwrap();
        fs::write(&dir, "").unwrap();
        log.control().reopen();
        assert!(log.write_all(b"lost\n").is_err());
        assert!(log.write_all(b"lost too\n").is_err());
        assert!(bench.errors.get() >= 2);
        fs::remove_file(&dir).unwrap();
        bench.pass(2);
        log.write_all(b"back\n").unwrap();
        assert_eq!(fs::read_to_string(dir.join("talk.latest")).unwrap(), "back\n");
    }

    #[test]
    fn a_full_disk_tears_no_line() {
        // /dev/full takes nothing, and cannot be cut either.
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
}
