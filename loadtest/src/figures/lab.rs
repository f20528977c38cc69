//! One run: starts this program again with one scenario, against a server that it starts and stops.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{FiguresOptions, PLAZA};

pub(super) type Run = BTreeMap<String, f64>;

/// A server and how the generator connects to it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) command: String,
    pub(super) url: Option<&'static str>,
    pub(super) dialect: &'static str,
    /// Further arguments of the generator.
    pub(super) more: &'static str,
    pub(super) pinned: bool,
    /// Whether the generator, which has the other core, never sleeps.
    pub(super) busy: bool,
    /// Whether to run with small send buffers, in a network namespace of its own.
    pub(super) small_buffers: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            name: "",
            command: String::new(),
            url: None,
            dialect: "raw",
            more: "",
            pinned: true,
            busy: true,
            small_buffers: false,
        }
    }
}

/// The environment of the runs.
pub(super) struct Lab {
    pub(super) options: FiguresOptions,
    own: PathBuf,
    plaza: PathBuf,
    scratch: PathBuf,
    pub(super) version: String,
    pub(super) troubles: Vec<String>,
}

impl Lab {
    pub(super) fn new(options: &FiguresOptions) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let plaza = options.plaza.clone().unwrap_or_else(|| own.with_file_name("plaza"));
        let said = Command::new(&plaza)
            .arg("--version")
            .output()
            .map_err(|error| format!("{}: {error}; cargo build --release, or --plaza", plaza.display()))?;
        let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        let floor = own.with_file_name("floor");
        if !floor.exists() {
            let floor = floor.display();
            return Err(format!("{floor}: not there; cargo build --release -p plaza-loadtest"));
        }
        let scratch = std::env::temp_dir().join(format!("plaza-figures-{}", std::process::id()));
        fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        let lab = Self {
            options: options.clone(),
            own,
            plaza,
            scratch,
            version,
            troubles: Vec::new(),
        };
        if options.rivals {
            lab.prepare_rivals()?;
        }
        Ok(lab)
    }

    /// Plaza without history, with these arguments added.
    pub(super) fn plaza(&self, words: &str) -> Server {
        Server {
            name: PLAZA,
            command: format!(
                "{} serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 {words}",
                self.plaza.display()
            ),
            dialect: "proto",
            ..Server::default()
        }
    }

    /// Plaza as in most parts: one shard, everything in memory.
    pub(super) fn one_shard(&self) -> Server {
        self.plaza("--memory --shards 1")
    }

    /// One blocking `send()` per member.
    pub(super) fn floor(&self, words: &str) -> Server {
        Server {
            name: "floor",
            command: format!("{} {words}", self.own.with_file_name("floor").display()),
            ..Server::default()
        }
    }

    /// Alternatives to Plaza.
    pub(super) fn rivals(&self) -> Vec<Server> {
        let dir = rivals_dir();
        let rival = |name, command: &str, url, dialect| Server {
            name,
            command: command.replace("DIR", &dir.display().to_string()),
            url: Some(url),
            dialect,
            more: "--any-order",
            ..Server::default()
        };
        vec![
            rival("uWebSockets", "DIR/uws.sh 14480", "ws://127.0.0.1:14480", "raw"),
            rival(
                "NATS",
                "env GOMAXPROCS=1 nats-server -c DIR/nats.conf",
                "ws://127.0.0.1:14280",
                "nats",
            ),
            rival("Nchan", "DIR/nchan.sh", "ws://127.0.0.1:14380", "raw"),
        ]
    }

    fn prepare_rivals(&self) -> Result<(), String> {
        for (program, package) in [("nats-server", "nats-server"), ("nginx", "nginx libnginx-mod-nchan")] {
            let mut version = Command::new(program);
            if version
                .arg("-v")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_err()
            {
                return Err(format!("{program} is not installed: apt-get install {package}"));
            }
        }
        let built = Command::new(rivals_dir().join("uws.sh"))
            .arg("--build")
            .status()
            .map_err(|error| format!("uws.sh: {error}"))?;
        if !built.success() {
            return Err("uWebSockets could not be built; see loadtest/rivals/uws.sh".to_owned());
        }
        Ok(())
    }

    /// This number of members, scaled by `--scale`.
    pub(super) fn members(&self, count: usize) -> usize {
        ((count as f64 * self.options.scale) as usize).max(2)
    }

    /// Rounds of a heavy part.
    pub(super) fn few_rounds(&self) -> usize {
        self.options.rounds.min(3)
    }

    /// A directory for a server's data, empty.
    pub(super) fn data(&self) -> PathBuf {
        let data = self.scratch.join("data");
        // It is not there the first time.
        let _ = fs::remove_dir_all(&data);
        data
    }

    /// One run; `None`, with a recorded problem, if it failed. A run in which a message was lost is a problem too.
    pub(super) fn run(&mut self, server: &Server, words: &str) -> Option<Run> {
        match self.try_run(server, words) {
            Ok(run) => Some(run),
            Err(trouble) => {
                eprintln!("  {trouble}");
                self.troubles.push(trouble);
                None
            }
        }
    }

    fn try_run(&mut self, server: &Server, words: &str) -> Result<Run, String> {
        let json = self.scratch.join("run.json");
        // It is not there the first time.
        let _ = fs::remove_file(&json);
        let mut command = if server.small_buffers {
            let mut command = Command::new("unshare");
            command.args(["-n", "sh", "-c", SMALL_BUFFERS, "sh"]).arg(&self.own);
            command
        } else {
            Command::new(&self.own)
        };
        command
            .args(words.split_whitespace())
            .args(["--quiet", "--server-cmd", &server.command, "--dialect", server.dialect])
            .args(server.more.split_whitespace())
            .arg("--json")
            .arg(&json);
        if server.pinned {
            command
                .args(["--server-core", &self.options.server_core.to_string()])
                .args(["--load-core", &self.options.load_core.to_string()]);
        }
        if server.busy {
            command.arg("--busy");
        }
        if let Some(url) = server.url {
            command.args(["--url", url]);
        }
        let output = command
            .output()
            .map_err(|error| format!("{}: {error}", self.own.display()))?;
        let name = server.name;
        let report: Value = match fs::read_to_string(&json) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| error.to_string())?,
            Err(_) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().last().unwrap_or_default();
                return Err(format!("{name}: {words}: {}: {last}", output.status));
            }
        };
        let run: Run = report["figures"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
            .collect();
        for missed in report["missed"].as_array().into_iter().flatten() {
            let missed = missed.as_str().unwrap_or_default();
            // Losses of other servers are printed but do not count as problems of the server under test.
            let trouble = format!("{name}, {}: {words}: {missed}", server.dialect);
            eprintln!("  {trouble}");
            if name == PLAZA {
                self.troubles.push(trouble);
            }
        }
        let shown: Vec<String> = [
            "cpu_us",
            "deliveries_per_s",
            "p99_ms",
            "bytes_per_conn",
            "first_s",
            "cpu_us_per_join",
            "presence_bytes_s_max",
        ]
        .into_iter()
        .filter_map(|figure| Some(format!("{figure} {}", crate::report::number(*run.get(figure)?))))
        .collect();
        eprintln!("  {name}, {}: {words}: {}", server.dialect, shown.join(", "));
        Ok(run)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Only scratch; nothing depends on it.
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// The kernel lets a send buffer grow to megabytes, and a reader that stalls for seconds is then not slow. A network namespace, which
/// needs root, can set the bound without changing that of the machine.
const SMALL_BUFFERS: &str = "ip link set lo up && echo '4096 16384 65536' >/proc/sys/net/ipv4/tcp_wmem && exec \"$@\"";

fn rivals_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals")
}

pub(super) fn of(run: Option<&Run>, figure: &str) -> Option<f64> {
    run?.get(figure).copied()
}

/// The median of the present values.
pub(super) fn median(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().flatten().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    match values.get(middle.wrapping_sub(1)) {
        Some(lower) if values.len().is_multiple_of(2) => Some((lower + upper) / 2.0),
        Some(_) | None => Some(*upper),
    }
}

/// The median of the ratios of two figures from the same round.
pub(super) fn ratio<'a>(
    rounds: impl IntoIterator<Item = (Option<&'a Run>, Option<&'a Run>)>,
    figure: &str,
) -> Option<f64> {
    let ratio = |(one, other)| Some(of(one, figure)? / of(other, figure)?);
    median(rounds.into_iter().map(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        assert_eq!(median([9.0, 1.0, 5.0].map(Some)), Some(5.0));
        assert_eq!(median([4.0, 1.0, 9.0, 2.0].map(Some)), Some(3.0));
        assert_eq!(median([None, Some(4.0)]), Some(4.0));
        assert_eq!(median([None]), None);
    }

    #[test]
    fn a_ratio_is_of_the_same_round() {
        let run = |value: f64| Run::from([("cpu_us".to_owned(), value)]);
        // The machine was twice as slow in the second round; the ratio does not see it.
        let rounds = [(run(2.0), run(4.0)), (run(4.0), run(8.0)), (run(3.0), run(6.0))];
        let rounds = rounds.iter().map(|(one, other)| (Some(one), Some(other)));
        assert_eq!(ratio(rounds, "cpu_us"), Some(0.5));
    }
}
