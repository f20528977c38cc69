//! The server log: what the program does, for its operator.
//!
//! Separate threads write its lines, so a terminal or a disk that hangs never blocks a shard. If they fall behind, lines are dropped
//! and counted.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    sync::Arc,
};

use tracing::Dispatch;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{self, MakeWriter, writer::MakeWriterExt},
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
};

use super::{Alive, Clocks, Metrics, Need, RotatingFile, Rotation, RotationControl, Watch};
use crate::limits;

#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Selects lines, as `RUST_LOG` does.
    pub filter: String,
    pub format: LogFormat,
    /// The directory of the log's files; `None` to write to standard error only.
    pub files: Option<PathBuf>,
    pub rotation: Rotation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    /// One object per line, for programs.
    Json,
}

/// The running server log. Dropping it writes the waiting lines, so it must live until the process ends.
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
    file: Option<Arc<RotationControl>>,
    dropped: Vec<ErrorCounter>,
    watches: Vec<Watch>,
    _guards: Vec<WorkerGuard>,
}

impl Logs {
    /// Starts the server log of this process. The error is one sentence.
    pub fn install(settings: &LogSettings, metrics: &Metrics) -> Result<Self, String> {
        let (logs, dispatch) = Self::build(settings, io::stderr(), io::stderr().is_terminal(), metrics)?;
        tracing::dispatcher::set_global_default(dispatch)
            .map_err(|_| "the server log was started twice in one process".to_owned())?;
        Ok(logs)
    }

    /// Like `install`, but does not make it the log of the process, and writes to `stderr` instead of standard error.
    pub fn build(
        settings: &LogSettings,
        stderr: impl Write + Send + 'static,
        colours: bool,
        metrics: &Metrics,
    ) -> Result<(Self, Dispatch), String> {
        let (filter, handle) = reload::Layer::new(env_filter(&settings.filter));
        let mut logs = Self {
            filter: handle,
            file: None,
            dropped: Vec::new(),
            watches: Vec::new(),
            _guards: Vec::new(),
        };
        let to_stderr = logs.writer("log-stderr", stderr);
        let format = settings.format;
        let lines = match &settings.files {
            Some(dir) => {
                let errors = metrics.logs.write_errors.clone();
                let file = RotatingFile::open(dir, "server", "log", settings.rotation, Clocks::system(), errors)
                    .map_err(|error| {
                        let (dir, fix) = (dir.display(), log_files_fix(&error));
                        format!("the server log cannot be written into {dir}: {error}; {fix}")
                    })?;
                logs.file = Some(file.control());
                let to_file = logs.writer("log-file", file);
                // The same line goes to both, so that neither has colours.
                layer(format, to_stderr.and(to_file), false)
            }
            None => layer(format, to_stderr, colours),
        };
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        Ok((logs, Dispatch::new(subscriber)))
    }

    /// The number of lines dropped because a terminal or a disk was too slow; for [`Metrics::follow_total`].
    pub fn dropped_lines(&self) -> impl Fn() -> u64 + Send + 'static {
        let counters = self.dropped.clone();
        move || counters.iter().map(|counter| counter.dropped_lines() as u64).sum()
    }

    /// A watch over each thread that writes.
    pub fn watches(&self) -> Vec<Watch> {
        self.watches.clone()
    }

    /// Changes the selection of lines.
    pub fn set_filter(&self, filter: &str) {
        // Fails only without a subscriber, and then there is no log.
        let _ = self.filter.reload(env_filter(filter));
    }

    /// The control of the log's files, if there are any.
    pub fn file(&self) -> Option<&RotationControl> {
        self.file.as_deref()
    }

    fn writer(&mut self, thread: &str, to: impl Write + Send + 'static) -> NonBlocking {
        let need = Need::Useful("lines of the server log are lost there");
        let (alive, watch) = Watch::over(format!("the thread {thread}"), need);
        self.watches.push(watch);
        let (writer, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(limits::SERVER_LOG_LINES)
            .thread_name(thread)
            .finish(Watched { to, _alive: alive });
        self.dropped.push(writer.error_counter());
        self._guards.push(guard);
        writer
    }
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logs").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Owned by the thread that writes, so that it is dropped when the thread ends.
struct Watched<W> {
    to: W,
    _alive: Alive,
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn layer<S, W>(format: LogFormat, writer: W, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    match format {
        LogFormat::Text => fmt::layer().with_writer(writer).with_ansi(colours).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    }
}

/// The advice for log files that cannot be opened.
pub(crate) fn log_files_fix(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ResourceBusy => "stop that one, or give this one another directory with --data or log.dir",
        _ => "set log.dir to a directory that can be written",
    }
}

fn env_filter(filter: &str) -> EnvFilter {
    // The settings have checked it; if it is wrong nevertheless, the default filter is better than none.
    EnvFilter::builder()
        .parse(filter)
        .unwrap_or_else(|_| EnvFilter::new("info"))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn settings(filter: &str, format: LogFormat, files: Option<&Path>) -> LogSettings {
        LogSettings {
            filter: filter.to_owned(),
            format,
            files: files.map(Path::to_owned),
            rotation: Rotation::default(),
        }
    }

    #[test]
    fn lines_go_to_standard_error_and_into_a_file_and_the_filter_can_change() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::new(1, &[]);
        let stderr = Shared::default();
        let settings = settings("warn", LogFormat::Text, Some(dir.path()));
        let (logs, dispatch) = Logs::build(&settings, stderr.clone(), false, &metrics).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!("quiet");
            tracing::warn!(user = ?"a\nb", "loud");
            logs.set_filter("info");
            tracing::info!("now logged");
        });
        assert!(logs.file().is_some());
        assert_eq!(logs.dropped_lines()(), 0);
        drop((dispatch, logs));
        let written = fs::read_to_string(dir.path().join("server.latest")).unwrap();
        assert_eq!(written, String::from_utf8(stderr.0.lock().unwrap().clone()).unwrap());
        let lines: Vec<_> = written.lines().collect();
        assert_eq!(lines.len(), 2, "{written}");
        assert!(
            lines[0].contains("WARN") && lines[0].contains("loud user=\"a\\nb\""),
            "{written}"
        );
        assert!(lines[1].contains("now logged"), "{written}");
    }

    #[test]
    fn json_lines_are_one_object_each() {
        let stderr = Shared::default();
        let settings = settings("info", LogFormat::Json, None);
        let (logs, dispatch) = Logs::build(&settings, stderr.clone(), true, &Metrics::new(1, &[])).unwrap();
        tracing::dispatcher::with_default(&dispatch, || tracing::info!(port = 8080, "listening"));
        drop((dispatch, logs));
        let line: serde_json::Value = serde_json::from_slice(&stderr.0.lock().unwrap()).unwrap();
        assert_eq!((&line["message"], &line["port"]), (&"listening".into(), &8080.into()));
    }

    struct Panics;

    impl Write for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("this panic belongs to the test")
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_thread_that_panics_is_seen() {
        let settings = settings("info", LogFormat::Text, None);
        let (logs, dispatch) = Logs::build(&settings, Panics, false, &Metrics::new(1, &[])).unwrap();
        let watches = logs.watches();
        assert!(watches.iter().all(|watch| !watch.has_ended()));
        tracing::dispatcher::with_default(&dispatch, || tracing::info!("the last line"));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !watches.iter().any(Watch::has_ended) {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_one_sentence() {
        let dir = tempfile::NamedTempFile::new().unwrap();
        let settings = settings("info", LogFormat::Text, Some(dir.path()));
        let built = Logs::build(&settings, Shared::default(), false, &Metrics::new(1, &[]));
        let error = built.map(|_| ()).unwrap_err();
        assert!(
            error.contains("set log.dir") && error.contains(dir.path().to_str().unwrap()),
            "{error}"
        );
    }
}
