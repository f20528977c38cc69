//! Drives huge rooms from a second generator process.
//!
//! A loop that reads 15,000 members reads two others late, even with a fast server, so their latency would mostly be the generator's own.
//! Two processes share the core by the scheduler's rule, which prefers the one that slept.

use std::{
    io::{BufRead, BufReader, Lines},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    thread::{self, JoinHandle},
};

use clap::ValueEnum;
use serde_json::Value;

use super::Figures;
use crate::options::Rooms;

/// The second generator. Dropping it ends it.
#[derive(Debug)]
pub struct Apart {
    child: Child,
    json: PathBuf,
    /// Reads its output to the end, so that it never blocks on a full pipe.
    listener: Option<JoinHandle<String>>,
}

impl Apart {
    /// Starts it, and waits until all its members are in their rooms and send messages.
    pub fn start(options: &Rooms, address: SocketAddr, path: Option<&str>) -> Result<Self, String> {
        let common = &options.common;
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let json = std::env::temp_dir().join(format!("plaza-load-apart-{}.json", std::process::id()));
        let dialect = common.dialect.to_possible_value().ok_or("a dialect without a name")?;
        let mut command = Command::new(own);
        command
            .args(["rooms", "--small", "0", "--warmup", "0"])
            .args(["--big", &options.big.to_string()])
            .args(["--big-size", &options.big_size.to_string()])
            .args(["--big-rate", &options.big_rate.to_string()])
            .args(["--url", &format!("ws://{address}{}", path.unwrap_or_default())])
            .args(["--dialect", dialect.get_name()])
            .args(["--text", &common.text.to_string()])
            .args(["--seconds", &(common.warmup + common.seconds + LONGER).to_string()])
            .args(["--drain", &common.drain.to_string()])
            .arg("--json")
            .arg(&json);
        for (flag, wanted) in [
            ("--any-order", common.any_order),
            ("--allow-remote", common.allow_remote),
            ("--ready-on-upgrade", common.ready_on_upgrade),
        ] {
            if wanted {
                command.arg(flag);
            }
        }
        if let Some(sources) = common.sources {
            command.args(["--sources", &sources.to_string()]);
        }
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the second generator: {error}"))?;
        let stderr = child.stderr.take().ok_or("the second generator has no stderr")?;
        let mut apart = Self {
            child,
            json,
            listener: None,
        };
        let mut lines = BufReader::new(stderr).lines();
        let members = options.big * options.big_size;
        let last = wait_until_all_talk(&mut lines, members, common.quiet);
        if let Err(last) = last {
            return Err(format!(
                "the second generator ended before all its members were in their rooms: {last}"
            ));
        }
        let quiet = common.quiet;
        apart.listener = Some(thread::spawn(move || {
            lines.map_while(Result::ok).fold(String::new(), |_, line| {
                if !quiet {
                    eprintln!("apart: {line}");
                }
                line
            })
        }));
        Ok(apart)
    }

    /// Waits for its end; its figures, with `big_` before each name.
    pub fn figures(mut self) -> Result<Figures, String> {
        let status = self.child.wait().map_err(|error| error.to_string())?;
        let last = self.listener.take().and_then(|listener| listener.join().ok());
        let text = std::fs::read_to_string(&self.json)
            .map_err(|_| format!("the second generator: {status}: {}", last.unwrap_or_default()))?;
        let report: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        Ok(report["figures"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| {
                let name = name.strip_prefix("big_").unwrap_or(name);
                Some((format!("big_{name}"), value.as_f64()?))
            })
            .collect())
    }
}

/// The last line if it ends before.
fn wait_until_all_talk(lines: &mut Lines<BufReader<ChildStderr>>, members: usize, quiet: bool) -> Result<(), String> {
    let mut last = String::new();
    let mut all = false;
    for line in lines.map_while(Result::ok) {
        if !quiet {
            eprintln!("apart: {line}");
        }
        // A progress line per second begins with the number of present members: the second line with all of them covers a second of
        // messages.
        let there = line.split_whitespace().next().and_then(|word| word.parse().ok());
        if there == Some(members) {
            if all {
                return Ok(());
            }
            all = true;
        }
        last = line;
    }
    Err(last)
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It has already ended when its figures have been read.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.json);
    }
}

/// Seconds that the second generator sends longer than the measurement, because the members of the small rooms join meanwhile, and their
/// measurement must have the load all the time.
const LONGER: f64 = 4.0;
