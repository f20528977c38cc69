//! The open log file: it contains whole lines only, even after a crash or a full disk.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::rotation::Rotation;

/// The owner may write, the group may read.
pub(super) const FILE_MODE: u32 = 0o640;

pub(super) struct Open {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) begun: u64,
    /// The length of the whole lines.
    pub(super) bytes: u64,
    /// Whether a partial line may follow them in the file.
    pub(super) torn: bool,
}

impl Open {
    /// Opens an existing file, and truncates a partial line that a crash has left.
    pub(super) fn existing(path: &Path, begun: u64) -> io::Result<Self> {
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

    /// Whether a starting server may append to it: it is neither too old nor too long.
    pub(super) fn may_go_on(&self, now: u64, rotation: &Rotation) -> bool {
        self.is_current(now, rotation) && rotation.bytes.is_none_or(|most| self.bytes <= most)
    }

    /// Whether its period has not ended. If the wall clock moves back, the file stays current; otherwise every line would begin a new file.
    fn is_current(&self, now: u64, rotation: &Rotation) -> bool {
        rotation.period(now) <= rotation.period(self.begun)
    }

    /// How many bytes of these lines fit, in whole lines. 0 if a new file is due.
    pub(super) fn room_for(&self, now: u64, lines: &[u8], rotation: &Rotation) -> usize {
        if !self.is_current(now, rotation) {
            return 0;
        }
        let left = rotation.bytes.map_or(u64::MAX, |most| most.saturating_sub(self.bytes));
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if lines.len() <= left {
            return lines.len();
        }
        let whole = lines.iter().take(left).rposition(|byte| *byte == b'\n');
        match whole {
            Some(end) => end + 1,
            // A line longer than a whole file gets its own file.
            None if self.bytes == 0 => first_line(lines).len(),
            None => 0,
        }
    }

    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
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
                // The partial line is truncated, now or before the next line.
                self.torn = self.file.set_len(self.bytes).is_err();
                Err(error)
            }
        }
    }
}

/// The first line, including its line break.
pub(super) fn first_line(lines: &[u8]) -> &[u8] {
    lines.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// The length up to the last line break, inclusive.
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

pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).mode(FILE_MODE);
    options
}
