//! `plaza history …`: the tools, as a person calls them.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;

use super::{StartFault, tools};

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
            Ok(code) => code,
            Err(why) => {
                eprintln!("plaza: {why}");
                ExitCode::FAILURE
            }
        }
    }

    fn tell(&self, data: &Path) -> Result<ExitCode, StartFault> {
        match self {
            Self::Check => {
                let report = tools::check(data)?;
                println!(
                    "{} logs, {} talks, {} damages",
                    report.logs, report.talks, report.damaged
                );
                Ok(listed(&report.damages))
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
                eprintln!("{} talks, {} read positions and names", moved.talks, moved.others);
                Ok(listed(&moved.left_out))
            }
            Self::Backup { to } => {
                let bytes = tools::backup(data, to)?;
                println!("{} holds {bytes} bytes; a server can be started on it", to.display());
                Ok(ExitCode::SUCCESS)
            }
            Self::Import { from } => {
                let moved = tools::import(data, from)?;
                println!("{} talks, {} read positions and names", moved.talks, moved.others);
                for log in &moved.renumbered {
                    println!("{log} had holes: it was numbered anew, in a new epoch");
                }
                Ok(listed(&moved.left_out))
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
