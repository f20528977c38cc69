//! `plaza history …`: the tools, as a person calls them.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;

use super::{StartFault, tools};
use crate::output;

/// What to do with the history in a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum HistoryCommand {
    /// Look at every row and say what is damaged; works while the server runs
    Check,
    /// Write everything as JSON lines; works while the server runs
    Export {
        /// Where to; standard output when not given
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
    },
}

impl HistoryCommand {
    /// Does it, says what came of it, and fails where something is damaged or was left out.
    pub fn run(&self, data: &Path) -> ExitCode {
        match self.tell(data) {
            Ok((said, code)) => match output::print(&said) {
                Ok(()) => code,
                Err(sentence) => {
                    if !sentence.is_empty() {
                        let _ = writeln!(io::stderr(), "plaza: {sentence}");
                    }
                    ExitCode::FAILURE
                }
            },
            Err(why) => {
                eprintln!("plaza: {why}");
                ExitCode::FAILURE
            }
        }
    }

    /// What is to be printed, and the exit code.
    fn tell(&self, data: &Path) -> Result<(String, ExitCode), StartFault> {
        match self {
            Self::Check => {
                let report = tools::check(data)?;
                let said = format!(
                    "{} logs, {} talks, {} damages\n",
                    report.logs, report.talks, report.damaged
                );
                Ok((said, listed(&report.damages)))
            }
            Self::Export { to } => {
                let moved = match to {
                    Some(file) => {
                        let out = File::create_new(file).map_err(|why| StartFault::Io {
                            file: file.clone(),
                            why,
                        })?;
                        let mut out = BufWriter::new(out);
                        let moved = tools::export(data, &mut out)?;
                        let synced = out.into_inner().map_err(io::IntoInnerError::into_error);
                        synced.and_then(|out| out.sync_all()).map_err(|why| StartFault::Io {
                            file: file.clone(),
                            why,
                        })?;
                        moved
                    }
                    None => tools::export(data, &mut BufWriter::new(io::stdout().lock()))?,
                };
                // Standard output may be the export itself.
                let _ = writeln!(
                    io::stderr(),
                    "{} talks, {} read positions and names",
                    moved.talks,
                    moved.others
                );
                Ok((String::new(), listed(&moved.left_out)))
            }
            Self::Backup { to } => {
                let bytes = tools::backup(data, to)?;
                let said = format!("{} holds {bytes} bytes; a server can be started on it\n", to.display());
                Ok((said, ExitCode::SUCCESS))
            }
            Self::Import { from } => {
                let moved = tools::import(data, from)?;
                let mut said = format!("{} talks, {} read positions and names\n", moved.talks, moved.others);
                for log in &moved.renumbered {
                    said.push_str(&format!("{log} had holes: it was numbered anew, in a new epoch\n"));
                }
                Ok((said, listed(&moved.left_out)))
            }
        }
    }
}

fn listed(damages: &[String]) -> ExitCode {
    let mut out = io::stderr().lock();
    for damage in damages {
        let _ = writeln!(out, "{damage}"); // nobody reads: the exit code says it too
    }
    if damages.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
