//! The file being written: whole lines only, also after a crash or a full disk.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{FILE_MODE, Rotation};

pub(super) struct Open {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) begun: u64,
    /// Bytes of whole lines.
    pub(super) bytes: u64,
    /// Whether there may be more in the file than whole lines.
    pub(super) torn: bool,
}

impl Open {
    /// Opens a file that is there, and cuts off what a crash left of a line.
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

    pub(super) fn has_room(&self, now: u64, length: u64, rotation: &Rotation) -> bool {
        // A clock that was set back begins no new file with every line.
        let same_period = rotation.period(now) <= rotation.period(self.begun);
        // A line longer than a whole file has a file of its own.
        let fits = rotation
            .bytes
            .is_none_or(|most| self.bytes == 0 || self.bytes + length <= most);
        same_period && fits
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
                // What was written of it is cut off, now or before the next line.
                self.torn = self.file.set_len(self.bytes).is_err();
                Err(error)
            }
        }
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

pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).mode(FILE_MODE);
    options
}
