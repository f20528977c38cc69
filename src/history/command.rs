//! The command line of the history tools: `plaza history …`.

use std::{
    fs::{self, File, TryLockError},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;

use super::{fault::StartFault, files, recovery::Epochs, tools};
use crate::output;

/// What to do with the history in a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum HistoryCommand {
    /// Look at every row and say what is damaged; works while the server runs
    Check,
    /// Write everything as JSON lines; works while the server runs
    Export {
        /// The file to write; standard output by default, or for -
        to: Option<PathBuf>,
    },
    /// Copy the store into a new directory; works while the server runs
    Backup {
        /// The new directory
        to: PathBuf,
    },
    /// Bring an export, or another data directory, into a fresh data directory
    Import {
        /// The export, or the directory of a backup
        from: PathBuf,
        /// Keep the epochs of the source, so that clients resume; only if no server will use the source again
        #[arg(long)]
        keep_epochs: bool,
    },
    /// Begin a new epoch in every conversation; needed after you restore a snapshot of a whole machine or file system
    NewEpoch,
}

impl HistoryCommand {
    /// Runs the command and prints its result. The exit code is a failure if something is damaged or was left out.
    pub fn run(&self, data: &Path) -> ExitCode {
        match self.execute(data) {
            Ok((text, code)) => match output::print(&text) {
                Ok(()) => code,
                Err(sentence) => {
                    if !sentence.is_empty() {
                        let _ = writeln!(io::stderr(), "plaza: {sentence}");
                    }
                    ExitCode::FAILURE
                }
            },
            Err(why) => {
                let _ = writeln!(io::stderr(), "plaza: {why}"); // without a reader, the exit code remains
                ExitCode::FAILURE
            }
        }
    }

    /// Returns the text to print and the exit code.
    fn execute(&self, data: &Path) -> Result<(String, ExitCode), StartFault> {
        match self {
            Self::Check => {
                let report = tools::check(data)?;
                let text = format!(
                    "{} logs, {} messages, {} damages\n",
                    report.logs, report.messages, report.damaged
                );
                Ok((text, listed(&report.damages)))
            }
            Self::Export { to } => {
                let moved = match to {
                    Some(file) if file != Path::new("-") => export_into(data, file)?,
                    Some(_) | None => tools::export(data, &mut BufWriter::new(io::stdout().lock()))?,
                };
                // Standard output may hold the export itself.
                let _ = writeln!(
                    io::stderr(),
                    "{} messages, {} read markers and names",
                    moved.messages,
                    moved.others
                );
                Ok((String::new(), listed(&moved.left_out)))
            }
            Self::Backup { to } => {
                let bytes = tools::backup(data, to)?;
                let text = format!("{} holds {bytes} bytes; a server can be started on it\n", to.display());
                Ok((text, ExitCode::SUCCESS))
            }
            Self::Import { from, keep_epochs } => {
                let epochs = if *keep_epochs { Epochs::Keep } else { Epochs::Begin };
                let moved = tools::import(data, from, epochs)?;
                let mut text = format!("{} messages, {} read markers and names\n", moved.messages, moved.others);
                for log in &moved.renumbered {
                    text.push_str(&format!("{log} had holes: it was numbered anew, in a new epoch\n"));
                }
                Ok((text, listed(&moved.left_out)))
            }
            Self::NewEpoch => {
                let logs = tools::new_epoch(data)?;
                Ok((format!("{logs} conversations go on in new epochs\n"), ExitCode::SUCCESS))
            }
        }
    }
}

/// Exports into a temporary file and renames it when it is complete.
fn export_into(data: &Path, file: &Path) -> Result<tools::Moved, StartFault> {
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let io = |file: &Path| {
        let file = file.to_owned();
        move |why: io::Error| StartFault::Io { file, why }
    };
    if file.symlink_metadata().is_ok() {
        return Err(io(file)(io::ErrorKind::AlreadyExists.into()));
    }
    // Overwrite the remains of a killed export, unless that export is still running.
    let out = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&unfinished)
        .map_err(io(&unfinished))?;
    out.try_lock().map_err(|why| match why {
        TryLockError::WouldBlock => io(&unfinished)(io::Error::other("another export is writing it")),
        TryLockError::Error(why) => io(&unfinished)(why),
    })?;
    out.set_len(0).map_err(io(&unfinished))?;
    let mut out = BufWriter::new(out);
    let written = tools::export(data, &mut out).and_then(|moved| {
        let out = out.into_inner().map_err(io::IntoInnerError::into_error);
        let synced = out.and_then(|out| out.sync_all());
        synced.map_err(io(&unfinished))?;
        fs::rename(&unfinished, file).map_err(io(file))?;
        Ok(moved)
    });
    if written.is_err() {
        // An error here does not matter: `written` has the fault, and the name of the remaining file marks it as unfinished.
        let _ = fs::remove_file(&unfinished);
    }
    let moved = written?;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    files::sync_dir(dir.unwrap_or(Path::new("."))).map_err(io(file))?;
    Ok(moved)
}

fn listed(damages: &[String]) -> ExitCode {
    let mut out = io::stderr().lock();
    for damage in damages {
        let _ = writeln!(out, "{damage}"); // without a reader, the exit code remains
    }
    if damages.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
