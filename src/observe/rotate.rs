//! Log files that rotate by time and size, and that are deleted by age and number.
//!
//! Files are named `<name>.<UTC time of their beginning>.<extension>`, so that names sort by time; the symlink `<name>.latest`
//! points at the open one. Invariants: a file contains whole lines only, even after a full disk or a crash. Every fault of the disk
//! is counted as an error, and writing resumes when the disk works again. This module never touches a file whose name has another
//! form, nor any file while another process holds `.<name>.lock`.

mod lines;
mod rotation;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;

use super::clock::{Ageing, Clocks, millis, parse_stamp, stamp};
use crate::{
    limits,
    lock::{self, FileLock, NotHeld},
};
use lines::{FILE_MODE, Open, first_line, options};
pub use rotation::Rotation;

/// Controls a [`RotatingFile`] from another thread.
#[derive(Debug)]
pub struct RotationControl {
    rotation: ArcSwap<Rotation>,
    reopen: AtomicBool,
}

/// The open log file and its predecessors.
pub struct RotatingFile {
    /// While this process holds it, no other one creates, truncates or deletes these files.
    _lock: FileLock,
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

impl RotationControl {
    /// Makes the next write open the file again by name, after a program has moved it away.
    pub fn reopen(&self) {
        // Release: pairs with the Acquire in `write`, so that `write` sees the file as moved.
        self.reopen.store(true, Ordering::Release);
    }

    /// Changes the rotation, from the next write on.
    pub fn set_rotation(&self, rotation: Rotation) {
        self.rotation.store(Arc::new(rotation));
    }
}

impl RotatingFile {
    /// Opens the newest file of this name if it has room, otherwise a new one. The error is for the operator; later errors are counted.
    /// [`io::ErrorKind::ResourceBusy`]: another process writes these files, and this one has not touched them.
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
        file.begin(now, &rotation, &[])?;
        Ok(file)
    }

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
        let mut rest = lines;
        while !rest.is_empty() {
            let room = |open: &Option<Open>| open.as_ref().map_or(0, |open| open.room_for(now, rest, &rotation));
            let mut part = room(&self.open);
            if part == 0 && now >= self.retry_at {
                if let Err(error) = self.begin(now, &rotation, first_line(rest)) {
                    self.retry_at = now.saturating_add(millis(limits::LOG_RETRY));
                    if self.open.is_none() {
                        return Err(error);
                    }
                    self.errors.inc();
                }
                part = room(&self.open);
            }
            // If no new file can be created, the old one stays open: a file that is too long is better than lost lines.
            let (lines, behind) = rest.split_at(if part == 0 { rest.len() } else { part });
            match &mut self.open {
                Some(open) => open.append(lines)?,
                None => {
                    return Err(io::Error::other(
                        "the log file could not be opened; the next attempt follows",
                    ));
                }
            }
            rest = behind;
        }
        Ok(())
    }

    /// Opens another file: the newest if it has room for this line, otherwise a new one.
    fn begin(&mut self, now: u64, rotation: &Rotation, line: &[u8]) -> io::Result<()> {
        make_dir(&self.dir)?;
        let files = self.files()?;
        let newest = files.last().filter(|_| self.open.is_none());
        let continued = newest.and_then(|(begun, path)| {
            let open = Open::existing(path, *begun).ok()?;
            let goes_on = match line {
                [] => open.may_go_on(now, rotation),
                line => open.room_for(now, line, rotation) > 0,
            };
            goes_on.then_some(open)
        });
        let open = match continued {
            Some(open) => open,
            None => {
                // Times increase even if the clock does not, so that names sort.
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
            // The directory may be missing too; the next write creates both.
            Err(_) => {
                self.errors.inc();
            }
        }
        self.retire(rotation);
    }

    /// The log's files, oldest first, each with the time of its beginning.
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

    /// Deletes files that are too old or too many.
    fn retire(&mut self, rotation: &Rotation) {
        let now = self.ageing.now(&self.clocks);
        let Ok(files) = self.files() else {
            self.errors.inc();
            return;
        };
        let keep = rotation.keep_files.map_or(usize::MAX, |keep| keep.max(1) as usize);
        let surplus = files.len().saturating_sub(keep);
        let oldest = rotation.keep_age.map_or(0, |age| now.saturating_sub(millis(age)));
        // The last line of a file is older than the beginning of the next file; the newest file has no next one and stays.
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
        // A rename replaces the link atomically, so that it always points at a file.
        fs::rename(&next, &latest)
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
        format!(
            "another plaza{process} writes log files there and has not stopped within {} s",
            limits::LOCK_WAIT.as_secs()
        ),
    )
}

/// The most files that can begin in one millisecond.
const NAME_ATTEMPTS: usize = 1000;
