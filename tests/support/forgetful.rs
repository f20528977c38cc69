//! A disk that loses all unsynced data, built from a trace of a program's writes and syncs (strace).
//!
//! A sync makes durable what the file held when the sync began, and only once it has succeeded. So a test can compare everything that the
//! program tells anybody with what a power cut at that moment would leave.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses its part")]

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::UNIX_EPOCH,
};

/// A system call of the traced program.
#[derive(Debug)]
pub enum Call {
    Write {
        file: PathBuf,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: PathBuf,
        len: usize,
    },
    SyncBegan {
        process: String,
        file: PathBuf,
    },
    Synced {
        process: String,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Fresh {
        file: PathBuf,
    },
    Remove {
        file: PathBuf,
    },
    /// Data sent to a socket or a pipe; it counts from the beginning of the call.
    Said {
        to: String,
        bytes: Vec<u8>,
    },
}

/// Makes the files of this directory those that the commit marker says they are, as after a crash of the machine they stand in: to
/// the store they would be a copy. Where they stand in the commit marker is in `docs/history-format.md`.
pub fn settle_in(dir: &Path) {
    let head = dir.join("history.head");
    let Ok(mut bytes) = fs::read(&head) else { return };
    if bytes.len() < 512 || crc32fast::hash(&bytes[..508]).to_le_bytes() != bytes[508..512] {
        return;
    }
    for (at, file) in [(48, head.clone()), (64, dir.join("history.db"))] {
        let Ok(data) = fs::metadata(file) else { continue };
        let born = data
            .created()
            .map_or(0, |time| time.duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
        bytes[at..at + 8].copy_from_slice(&data.ino().to_le_bytes());
        bytes[at + 8..at + 16].copy_from_slice(&born.to_le_bytes());
    }
    let sum = crc32fast::hash(&bytes[..508]).to_le_bytes();
    bytes[508..512].copy_from_slice(&sum);
    // In its place: a new file would be another one.
    fs::write(&head, bytes).unwrap();
}

/// `strace` with the output that [`parse`] reads, into this file; `None`, with a notice, if it cannot trace.
pub fn strace(trace: &Path, what: &str) -> Option<Command> {
    let mut try_out = Command::new("strace");
    try_out.args(["-f", "-o", "/dev/null", "true"]);
    let may = try_out.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        crate::skip::skipped(&format!("{what}: there is no strace here that may trace"));
        return None;
    }
    let mut command = Command::new("strace");
    command
        .args(["-f", "-y", "-xx", "-s", "400000", "-e"])
        .arg("trace=fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg,ftruncate,rename,renameat,renameat2,unlink,openat")
        .arg("-o")
        .arg(trace);
    Some(command)
}

/// A disk on which only synced data survives.
#[derive(Default)]
pub struct Disk {
    volatile: HashMap<PathBuf, Vec<u8>>,
    durable: HashMap<PathBuf, Vec<u8>>,
    /// Renames and removals (to nowhere) that no sync of their directory has made durable.
    renames: Vec<(PathBuf, Option<PathBuf>)>,
    in_flight: HashMap<String, (PathBuf, Option<Vec<u8>>)>,
    /// Files synced since this list was emptied, in order.
    pub synced: Vec<PathBuf>,
}

impl Disk {
    /// A disk with everything in this directory.
    pub fn holding(dir: &Path) -> Self {
        let mut disk = Self::default();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let content = fs::read(&path).unwrap();
            disk.volatile.insert(path.clone(), content.clone());
            disk.durable.insert(path, content);
        }
        disk
    }

    /// Whether the call changed what is durable.
    pub fn apply(&mut self, call: &Call) -> bool {
        match call {
            Call::Write { file, at, bytes } => {
                let content = self.volatile.entry(file.clone()).or_default();
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(bytes);
            }
            Call::Truncate { file, len } => self.volatile.entry(file.clone()).or_default().resize(*len, 0),
            Call::Fresh { file } => drop(self.volatile.insert(file.clone(), Vec::new())),
            Call::Rename { from, to } => {
                let content = self.volatile.remove(from).unwrap_or_default();
                self.volatile.insert(to.clone(), content);
                self.renames.push((from.clone(), Some(to.clone())));
            }
            Call::Remove { file } => {
                self.volatile.remove(file);
                self.renames.push((file.clone(), None));
            }
            Call::SyncBegan { process, file } => {
                let content = self.volatile.get(file).cloned();
                self.in_flight.insert(process.clone(), (file.clone(), content));
            }
            Call::Synced { process } => {
                let Some((file, content)) = self.in_flight.remove(process) else {
                    return false;
                };
                // The sync of a directory makes the renames in it durable.
                for (from, to) in std::mem::take(&mut self.renames) {
                    if from.parent() == Some(file.as_path()) {
                        let content = self.durable.remove(&from).unwrap_or_default();
                        if let Some(to) = to {
                            self.durable.insert(to, content);
                        }
                    } else {
                        self.renames.push((from, to));
                    }
                }
                if let Some(content) = content {
                    self.durable.insert(file.clone(), content);
                }
                self.synced.push(file);
                return true;
            }
            Call::Said { .. } => {}
        }
        false
    }

    /// Writes what a power cut leaves of `data` into `dir`.
    pub fn lay(&self, data: &Path, dir: &Path) {
        for (file, content) in &self.durable {
            let Ok(name) = file.strip_prefix(data) else { continue };
            let plain = name.components().count() == 1;
            if plain && !name.to_string_lossy().ends_with("-shm") {
                fs::write(dir.join(name), content).unwrap();
            }
        }
        settle_in(dir);
    }
}

/// Reads a trace of [`strace`].
pub fn parse(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((process, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix("<unfinished ...>") {
            calls.extend(at_once(process, start));
            begun.insert(process, start.trim_end().to_owned());
        } else if rest.starts_with("<... ") {
            let end = rest.split_once("resumed>").map_or("", |(_, end)| end);
            calls.extend(at_the_end(process, &(begun.remove(process).unwrap_or_default() + end)));
        } else {
            calls.extend(at_once(process, rest));
            calls.extend(at_the_end(process, rest));
        }
    }
    calls
}

/// The file or socket of a call.
fn target(arguments: &str) -> Option<String> {
    let name = arguments.split_once('<')?.1.split_once('>')?.0;
    // In some versions escaped, in others plain.
    Some(if name.starts_with("\\x") {
        String::from_utf8_lossy(&unhex(name)).into_owned()
    } else {
        name.to_owned()
    })
}

fn at_once(process: &str, line: &str) -> Option<Call> {
    let (name, arguments) = line.split_once('(')?;
    match name {
        "fsync" | "fdatasync" => Some(Call::SyncBegan {
            process: process.to_owned(),
            file: target(arguments)?.into(),
        }),
        "write" | "writev" | "sendto" | "sendmsg" => Some(Call::Said {
            to: target(arguments)?,
            bytes: quoted(arguments).flat_map(unhex).collect(),
        }),
        _ => None,
    }
}

fn at_the_end(process: &str, line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") ").or_else(|| rest.rsplit_once(')'))?;
    let result = result.trim_start_matches(['=', ' ']).split([' ', '<']).next()?;
    // A failed call is a negative number.
    let result: usize = result.parse().ok()?;
    let path = |at: usize| {
        let name = quoted(arguments).nth(at).map(unhex)?;
        Some(PathBuf::from(String::from_utf8_lossy(&name).into_owned()))
    };
    match name {
        "fsync" | "fdatasync" => Some(Call::Synced {
            process: process.to_owned(),
        }),
        "ftruncate" => Some(Call::Truncate {
            file: target(arguments)?.into(),
            len: arguments.rsplit_once(", ")?.1.trim().parse().ok()?,
        }),
        "pwrite64" => {
            let mut bytes = unhex(quoted(arguments).next()?);
            bytes.truncate(result);
            Some(Call::Write {
                file: target(arguments)?.into(),
                at: arguments.rsplit_once(", ")?.1.trim().parse().ok()?,
                bytes,
            })
        }
        "rename" | "renameat" | "renameat2" => Some(Call::Rename {
            from: path(0)?,
            to: path(1)?,
        }),
        "unlink" => Some(Call::Remove { file: path(0)? }),
        "openat" if arguments.contains("O_TRUNC") => Some(Call::Fresh { file: path(0)? }),
        _ => None,
    }
}

fn quoted(arguments: &str) -> impl Iterator<Item = &str> {
    arguments.split('"').skip(1).step_by(2)
}

/// `\x61\x62` as bytes.
fn unhex(text: &str) -> Vec<u8> {
    text.split("\\x")
        .skip(1)
        .map(|pair| u8::from_str_radix(&pair[..2], 16).unwrap())
        .collect()
}
