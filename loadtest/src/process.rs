//! The server as a process: starts and stops it, and reads its CPU time and memory from /proc.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit},
    time::{ClockId, clock_gettime},
};

use crate::limits;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    pub rss: u64,
    /// Resident anonymous memory: heap and stacks.
    pub anon: u64,
    /// Kernel memory of all TCP sockets of this machine.
    pub kernel_tcp: u64,
}

/// A started server. Dropping it ends it.
#[derive(Debug)]
pub struct Started {
    child: Child,
    pub address: SocketAddr,
}

/// CPU time of all threads of a process, in nanoseconds.
pub fn cpu_ns(pid: u32) -> Option<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let spent = fs::read_to_string(task.ok()?.path().join("schedstat"));
        // The thread ended between the listing and the reading.
        let Ok(spent) = spent else { continue };
        total += spent
            .split(' ')
            .next()
            .and_then(|ns| ns.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Some(total)
}

/// CPU time of all threads of this process, including ended ones, in nanoseconds.
pub fn own_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

pub fn memory(pid: u32) -> Option<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Memory {
        rss: kib("VmRSS:")? * 1024,
        anon: kib("RssAnon:")? * 1024,
        kernel_tcp: kernel_tcp().unwrap_or(0),
    })
}

/// Bytes that the kernel holds in the buffers of all TCP sockets.
fn kernel_tcp() -> Option<u64> {
    let text = fs::read_to_string("/proc/net/sockstat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let pages = line
        .split_whitespace()
        .skip_while(|word| *word != "mem")
        .nth(1)?
        .parse::<u64>()
        .ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Raises the soft limit of open files to the hard one; returns it.
pub fn raise_open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // If the system refuses, the soft limit stays and is returned.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(hard)
}

/// Pins this thread, and all that it will start, to one core.
pub fn pin_to_core(core: usize) -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// A description of this machine in one line.
pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    // Not `available_parallelism`: it returns 1 once this thread is pinned.
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} cores, {}, Linux {}",
        cores,
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim()
    )
}

/// Now, in UTC, to the minute.
pub fn date() -> Result<String, String> {
    let said = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M"]).output();
    let said = said.map_err(|error| format!("date: {error}"))?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// The address in `ws://host:port/…`, `http://host:port` or `host:port`, and the path if there is one.
pub fn parse_url(url: &str) -> Result<(SocketAddr, Option<String>), String> {
    let bare = url
        .strip_prefix("ws://")
        .or_else(|| url.strip_prefix("http://"))
        .unwrap_or(url);
    if bare.contains("://") {
        return Err(format!("{url}: only ws:// and http:// are supported"));
    }
    let (host, path) = match bare.split_once('/') {
        Some((host, path)) if !path.is_empty() => (host, Some(format!("/{path}"))),
        Some((host, _)) => (host, None),
        None => (bare, None),
    };
    let mut addresses = host
        .to_socket_addrs()
        .map_err(|error| format!("{url}: {error}; write it as ws://HOST:PORT"))?;
    let address = addresses.next().ok_or_else(|| format!("{url}: no address"))?;
    Ok((address, path))
}

impl Started {
    /// Starts `command` (split at spaces), pinned to a core if one is given, and waits until it prints `listening on http://ADDR`, or, with
    /// `address`, until it accepts there. Fails if another program already does: that would be measured instead.
    pub fn start(command: &str, core: Option<usize>, address: Option<SocketAddr>) -> Result<Self, String> {
        let pinned = core.map(|core| format!("taskset -c {core} {command}"));
        let words: Vec<&str> = pinned.as_deref().unwrap_or(command).split_whitespace().collect();
        let (program, arguments) = words.split_first().ok_or("--server-cmd is empty")?;
        if let Some(address) = address
            && accepts(address)
        {
            return Err(format!(
                "--url: something listens on {address} before --server-cmd is started, and would be measured instead; end it, \
                 or take another port in both"
            ));
        }
        let mut child = Command::new(program)
            .args(arguments)
            // Plaza refuses variables with its prefix that are not settings.
            .env_remove("PLAZA_BIN")
            .env_remove("PLAZA_URL")
            .env_remove("PLAZA_DIALECT")
            .env_remove("PLAZA_PATH")
            .env_remove("PLAZA_ROOM")
            .env_remove("PLAZA_PACE_MS")
            .env_remove("PLAZA_ALLOW_REMOTE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{command}: {error}"))?;
        let (said, heard) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                let mut lines = BufReader::new(stdout);
                let mut line = String::new();
                while matches!(lines.read_line(&mut line), Ok(1..)) {
                    if let Some((_, after)) = line.split_once("listening on http://")
                        && let Some(address) = after.split_whitespace().next().and_then(|text| text.parse().ok())
                    {
                        // Only the first one counts.
                        let _ = said.send(address);
                        break;
                    }
                    line.clear();
                }
                // Further output is read and discarded, or the server would block once the pipe is full.
                let _ = io::copy(&mut lines.by_ref(), &mut io::sink());
            });
        }
        let mut started = Self {
            child,
            address: address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        let deadline = Instant::now() + limits::SERVER_START_TIME;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = started.child.try_wait() {
                return Err(format!("{command}: ended at start with {status}"));
            }
            if let Some(address) = address {
                if accepts(address) {
                    return Ok(started);
                }
                thread::sleep(Duration::from_millis(20));
            } else if let Ok(address) = heard.recv_timeout(Duration::from_millis(100)) {
                started.address = address;
                return Ok(started);
            }
        }
        let seconds = limits::SERVER_START_TIME.as_secs();
        Err(format!(
            "{command}: not ready within {seconds} s; it must print `listening on http://ADDR`, or give --url"
        ))
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Whether a program accepts connections there.
fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + limits::SERVER_STOP_TIME;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_give_an_address_and_a_path() {
        let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
        assert_eq!(
            parse_url("ws://127.0.0.1:80/chat?a=b"),
            Ok((address, Some("/chat?a=b".to_owned())))
        );
        assert_eq!(parse_url("http://127.0.0.1:80/"), Ok((address, None)));
        assert_eq!(parse_url("127.0.0.1:80"), Ok((address, None)));
        assert!(parse_url("wss://127.0.0.1:80").is_err());
        assert!(parse_url("ws://127.0.0.1").is_err());
    }

    #[test]
    fn this_process_has_time_and_memory() {
        let pid = std::process::id();
        assert!(cpu_ns(pid).unwrap() > 0);
        assert!(memory(pid).unwrap().anon > 0);
        assert_eq!(memory(u32::MAX), None);
    }
}
