//! What was acknowledged had reached the disk: strace says what was written and synced, in which order; a disk that forgets
//! everything that was not synced is built from that at every acknowledgement, and opened.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Caller, child, committed, room, rounds};

/// One call of the traced process that touched a file, when it was complete.
#[derive(Debug)]
enum Call {
    Write { file: PathBuf, at: usize, bytes: Vec<u8> },
    Truncate { file: PathBuf, len: usize },
    Sync { file: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    Fresh { file: PathBuf },
    Ack { n: u64 },
}

#[test]
fn an_ack_has_a_sync_before_it_and_a_disk_that_forgets_loses_nothing_acknowledged() {
    if !Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!("SKIPPED: there is no strace here, so the order of syncs and acknowledgements is not tested");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // A store with something in it, closed: everything of it is on the disk.
    let caller = Caller::open(&data);
    committed(caller.say(&room("lobby"), "a", "before", None));
    caller.history.stop();
    drop(caller);
    let mut durable: HashMap<PathBuf, Vec<u8>> = HashMap::new();
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        durable.insert(path.clone(), fs::read(&path).unwrap());
    }
    let trace = dir.path().join("trace");
    let talks = rounds("PLAZA_TEST_SYNCED", 40);
    let plain = child("kill::child_writer", &data);
    let status = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "200000", "-o"])
        .arg(&trace)
        .args([
            "-e",
            "trace=fsync,fdatasync,pwrite64,write,ftruncate,rename,renameat,renameat2,openat,unlink",
        ])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env(crate::support::CHILD_DIR, &data)
        .envs([
            ("FRESH", "0"),
            ("END", talks.to_string().as_str()),
            ("IN_FLIGHT", "1"),
            ("REPEAT", ""),
        ])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    if !status.success() {
        eprintln!(
            "SKIPPED: strace may not trace here ({status}), so the order of syncs and acknowledgements is not tested"
        );
        return;
    }
    let calls = parse(&fs::read_to_string(&trace).unwrap());
    let mut disk = Disk {
        volatile: durable.clone(),
        durable,
        renames: Vec::new(),
        synced: Vec::new(),
    };
    let mut acked = Vec::new();
    for call in calls {
        if let Call::Ack { n } = call {
            let log = data.join("history.db-wal");
            assert!(
                disk.synced.contains(&log),
                "ack {n}: no sync of the log since the last one: {:?}",
                disk.synced
            );
            assert!(
                disk.synced.contains(&data.join("history.head")),
                "ack {n}: the head file was not synced"
            );
            disk.synced.clear();
            acked.push(n);
            let after = tempfile::tempdir().unwrap();
            disk.lay(&data, after.path());
            let caller = Caller::open(after.path());
            assert_eq!(caller.history.recovered(), [], "ack {n}");
            let stored = caller.all(&room("lobby")).unwrap();
            for n in &acked {
                let text = format!("text {n}");
                assert_eq!(
                    stored.iter().filter(|talk| *talk.text == *text).count(),
                    1,
                    "{text} was acknowledged"
                );
            }
        } else {
            disk.apply(call);
        }
    }
    assert_eq!(acked.len(), talks, "the trace holds every acknowledgement");
}

/// A disk on which only what was synced survives.
struct Disk {
    volatile: HashMap<PathBuf, Vec<u8>>,
    durable: HashMap<PathBuf, Vec<u8>>,
    renames: Vec<(PathBuf, PathBuf)>,
    synced: Vec<PathBuf>,
}

impl Disk {
    fn apply(&mut self, call: Call) {
        match call {
            Call::Write { file, at, bytes } => {
                let content = self.volatile.entry(file).or_default();
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[at..end].copy_from_slice(&bytes);
            }
            Call::Truncate { file, len } => self.volatile.entry(file).or_default().resize(len, 0),
            Call::Fresh { file } => drop(self.volatile.insert(file, Vec::new())),
            Call::Rename { from, to } => {
                let content = self.volatile.remove(&from).unwrap_or_default();
                self.volatile.insert(to.clone(), content);
                self.renames.push((from, to));
            }
            Call::Sync { file } => {
                // The sync of a directory makes the renames in it durable.
                for (from, to) in std::mem::take(&mut self.renames) {
                    if to.parent() == Some(file.as_path()) {
                        let content = self.durable.remove(&from).unwrap_or_default();
                        self.durable.insert(to, content);
                    } else {
                        self.renames.push((from, to));
                    }
                }
                if let Some(content) = self.volatile.get(&file) {
                    self.durable.insert(file.clone(), content.clone());
                }
                self.synced.push(file);
            }
            Call::Ack { .. } => {}
        }
    }

    fn lay(&self, data: &Path, dir: &Path) {
        for (file, content) in &self.durable {
            let Ok(name) = file.strip_prefix(data) else { continue };
            if !name.as_os_str().is_empty() && !name.to_string_lossy().ends_with("-shm") {
                fs::write(dir.join(name), content).unwrap();
            }
        }
    }
}

/// Reads a trace of `strace -f -y -xx`; calls stand where they were complete.
fn parse(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        let whole = if let Some(start) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(pid, start.trim_end().to_owned());
            continue;
        } else if rest.starts_with("<... ") {
            let end = rest.split_once("resumed>").map_or("", |(_, end)| end);
            begun.remove(pid).unwrap_or_default() + end
        } else {
            rest.to_owned()
        };
        calls.extend(call(&whole));
    }
    calls
}

fn call(line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") ")?;
    let result: i64 = result
        .trim_start_matches(['=', ' '])
        .split([' ', '<'])
        .next()?
        .parse()
        .ok()?;
    if result < 0 {
        return None;
    }
    let result = usize::try_from(result).ok()?;
    let file = || {
        Some(PathBuf::from(unhex_text(
            arguments.split_once('<')?.1.split_once('>')?.0,
        )))
    };
    let quoted: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
    match name {
        "fsync" | "fdatasync" => Some(Call::Sync { file: file()? }),
        "ftruncate" => Some(Call::Truncate {
            file: file()?,
            len: arguments.rsplit_once(", ")?.1.trim().parse().ok()?,
        }),
        "pwrite64" => {
            let at = arguments.rsplit_once(", ")?.1.trim().parse().ok()?;
            let mut bytes = unhex(quoted.first()?);
            bytes.truncate(result);
            Some(Call::Write {
                file: file()?,
                at,
                bytes,
            })
        }
        "write" if arguments.starts_with("1<") => {
            let said = String::from_utf8_lossy(&unhex(quoted.first()?)).into_owned();
            let n = said.split("ack ").nth(1)?.split(' ').next()?.parse().ok()?;
            Some(Call::Ack { n })
        }
        "rename" | "renameat" | "renameat2" => {
            let path = |at: usize| {
                Some(PathBuf::from(
                    String::from_utf8_lossy(&unhex(quoted.get(at)?)).into_owned(),
                ))
            };
            Some(Call::Rename {
                from: path(0)?,
                to: path(1)?,
            })
        }
        "openat" if arguments.contains("O_TRUNC") => Some(Call::Fresh {
            file: PathBuf::from(String::from_utf8_lossy(&unhex(quoted.first()?)).into_owned()),
        }),
        _ => None,
    }
}

/// `\x61\x62` as bytes.
fn unhex(text: &str) -> Vec<u8> {
    text.split("\\x")
        .skip(1)
        .map(|pair| u8::from_str_radix(&pair[..2], 16).unwrap())
        .collect()
}

/// A path as strace shows it: in some versions escaped, in others plain.
fn unhex_text(text: &str) -> String {
    if text.starts_with("\\x") {
        String::from_utf8_lossy(&unhex(text)).into_owned()
    } else {
        text.to_owned()
    }
}
