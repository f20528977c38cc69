//! The command line. Its flags come from the table of settings.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind,
};

use crate::{
    config::{CONFIG_VARIABLE, FlagValue, Loaded, SETTINGS, Sources, example, in_force, read_file},
    history::HistoryCommand,
    version::VERSION,
};

/// The command line as typed.
#[derive(Debug, Parser)]
#[command(name = "plaza", about = "A chat server for very large rooms.", version = VERSION, disable_help_subcommand = true)]
pub struct CommandLine {
    /// The command; the default is `serve`.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// The flags.
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// A command of the program.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Run the server (the default).
    Serve,
    /// Show the settings in force, and the source of each.
    Config {
        /// Show the commented example file instead.
        #[arg(long)]
        example: bool,
    },
    /// Inspect, back up or fill the store.
    #[command(subcommand)]
    History(HistoryCommand),
}

/// The flags that set settings, and `--config`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingFlags {
    /// The file.
    pub file: Option<PathBuf>,
    /// The others.
    pub values: Vec<FlagValue>,
}

/// The task that the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Task {
    /// Run the server with these settings.
    Serve {
        loaded: Box<Loaded>,
        /// Kept to load the settings again on SIGHUP.
        flags: SettingFlags,
    },
    /// Work on the store in this directory.
    History { command: HistoryCommand, data: PathBuf },
    /// Write this to standard output and end with 0.
    Print(String),
    /// Write this to standard error and end with this code.
    Refuse { message: String, code: u8 },
}

/// Reads the command line and the settings.
pub fn read(arguments: impl IntoIterator<Item = OsString>, environment: Vec<(String, String)>) -> Task {
    let line = match CommandLine::command()
        .try_get_matches_from(arguments)
        .and_then(|matches| CommandLine::from_arg_matches(&matches))
    {
        Ok(line) => line,
        Err(error) => {
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Task::Print(error.to_string()),
                _ => Task::Refuse {
                    message: error.to_string(),
                    code: EX_USAGE,
                },
            };
        }
    };
    let verb = line.verb.unwrap_or(Verb::Serve);
    if verb == (Verb::Config { example: true }) {
        return Task::Print(example());
    }
    match (line.settings.load(environment), verb) {
        (Ok(loaded), Verb::Serve) => Task::Serve {
            loaded: Box::new(loaded),
            flags: line.settings,
        },
        (Ok(loaded), Verb::Config { .. }) => Task::Print(in_force(&loaded)),
        (Ok(loaded), Verb::History(command)) => Task::History {
            command,
            data: loaded.config.server.data,
        },
        (Err(message), Verb::Serve | Verb::Config { .. } | Verb::History(_)) => Task::Refuse {
            message,
            code: EX_USAGE,
        },
    }
}

impl SettingFlags {
    /// Loads the settings: the file named by `--config` or `PLAZA_CONFIG`, the environment, these flags. The error is
    /// ready to print, with its line break.
    pub fn load(&self, environment: Vec<(String, String)>) -> Result<Loaded, String> {
        let named = environment
            .iter()
            .find(|(name, text)| name == CONFIG_VARIABLE && !text.is_empty());
        let file = match (&self.file, named) {
            (Some(path), _) => Some(path.to_string_lossy().into_owned()),
            (None, Some((_, path))) => Some(path.clone()),
            (None, None) => None,
        };
        let file = match file {
            None => None,
            Some(path) => {
                let content = read_file(&path).map_err(|sentence| format!("plaza: {sentence}\n"))?;
                Some((path, content))
            }
        };
        let sources = Sources {
            file,
            environment,
            flags: self.values.clone(),
        };
        Loaded::from_sources(&sources).map_err(|mistakes| mistakes.to_string())
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long("config")
            .value_name("FILE")
            .global(true)
            .help("Read settings from this TOML file");
        let set = Arg::new(SET)
            .long("set")
            .value_name("GROUP.NAME=VALUE")
            .action(ArgAction::Append)
            .global(true)
            .help("Set any setting; `plaza config --example` lists them");
        let command = command.arg(file.value_parser(clap::value_parser!(PathBuf))).arg(set);
        SETTINGS.iter().fold(command, |command, setting| {
            let Some(flag) = setting.flag else { return command };
            let help = setting.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
            let (short, _) = help.split_once(". ").unwrap_or((help.trim_end_matches('.'), ""));
            let arg = Arg::new(flag.name)
                .long(flag.name)
                .global(true)
                .action(ArgAction::Append)
                .help(format!("{short} [default: {}]", setting.default));
            command.arg(if flag.value.is_empty() {
                arg.num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .value_name("true|false")
            } else {
                arg.value_name(flag.value)
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<PathBuf>(FILE).cloned();
        for setting in SETTINGS {
            let Some(flag) = setting.flag else { continue };
            self.values.extend(
                matches
                    .get_many::<String>(flag.name)
                    .into_iter()
                    .flatten()
                    .map(|text| FlagValue {
                        flag: format!("--{}", flag.name),
                        key: setting.key(),
                        text: text.clone(),
                    }),
            );
        }
        for assignment in matches.get_many::<String>(SET).into_iter().flatten() {
            let (key, text) = assignment.split_once('=').ok_or_else(|| {
                clap::Error::raw(
                    ErrorKind::ValueValidation,
                    format!("--set has {assignment:?}, which has no \"=\"; give GROUP.NAME=VALUE\n"),
                )
            })?;
            self.values.push(FlagValue {
                flag: "--set".to_owned(),
                key: key.trim().to_owned(),
                text: text.to_owned(),
            });
        }
        Ok(())
    }
}

/// The exit code for a bad command line or configuration (`sysexits.h`).
pub const EX_USAGE: u8 = 64;
const FILE: &str = "config-file";
const SET: &str = "set";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Task {
        let arguments = ["plaza"].iter().chain(arguments).map(Into::into);
        let environment = environment
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        read(arguments, environment.collect())
    }

    fn served(task: Task) -> Loaded {
        match task {
            Task::Serve { loaded, .. } => *loaded,
            task @ Task::History { .. } => panic!("{task:?}"),
            Task::Print(text) => panic!("printed {text}"),
            Task::Refuse { message, .. } => panic!("refused: {message}"),
        }
    }

    fn refused(task: Task) -> (String, u8) {
        match task {
            Task::Refuse { message, code } => (message, code),
            Task::Serve { .. } => panic!("served"),
            task @ Task::History { .. } => panic!("{task:?}"),
            Task::Print(text) => panic!("printed {text}"),
        }
    }

    #[test]
    fn a_repeated_flag_adds_to_a_list_and_replaces_anything_else() {
        let arguments = [
            "--shards=2",
            "--listen",
            "[::1]:0",
            "--set",
            "server.shards=3",
            "--listen",
            "127.0.0.1:0",
        ];
        let config = served(run(&arguments, &[])).config;
        assert_eq!((config.server.shards, config.server.listen.len()), (3, 2));
    }

    #[test]
    fn the_verb_may_stand_before_or_after_the_flags_or_nowhere() {
        for arguments in [
            ["--shards", "3", "--memory"].as_slice(),
            &["serve", "--shards", "3", "--memory"],
            &["--shards", "3", "--memory", "serve"],
            &["--shards=3", "serve", "--memory=true"],
            &["--set", "server.shards=3", "--set", "server.memory=true"],
        ] {
            let config = served(run(arguments, &[])).config;
            assert_eq!((config.server.shards, config.server.memory), (3, true), "{arguments:?}");
        }
    }

    #[test]
    fn a_file_is_named_by_flag_or_variable_and_the_flag_wins() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str, content: &str| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let two = path("two.toml", "[server]\nshards = 2");
        let three = path("three.toml", "[server]\nshards = 3");
        assert_eq!(served(run(&[], &[("PLAZA_CONFIG", &two)])).config.server.shards, 2);
        assert_eq!(
            served(run(&["--config", &three], &[("PLAZA_CONFIG", &two)]))
                .config
                .server
                .shards,
            3
        );
        let missing = dir.path().join("none.toml");
        let (message, code) = refused(run(&["--config", missing.to_str().unwrap()], &[]));
        assert_eq!((code, message.lines().count()), (64, 1), "{message}");
        assert!(message.contains("none.toml cannot be read"), "{message}");
        let (message, code) = refused(run(&["--config", dir.path().to_str().unwrap()], &[]));
        assert_eq!((code, message.lines().count()), (64, 1), "{message}");
    }

    #[test]
    fn a_bad_command_line_is_refused_with_64_and_help_is_not() {
        for arguments in [
            ["--no-such-flag"].as_slice(),
            &["no-such-verb"],
            &["--set", "server.shards"],
            &["--shards"],
            &["--memory=perhaps"],
            &["--listen", "nowhere"],
        ] {
            let (message, code) = refused(run(arguments, &[]));
            assert_eq!(code, 64, "{arguments:?}: {message}");
            assert!(message.ends_with('\n'), "{arguments:?}: {message:?}");
        }
        assert!(
            matches!(run(&["--help"], &[]), Task::Print(text) if text.contains("--listen <ADDR[=DIALECT][+proxy]>"))
        );
        assert!(
            matches!(run(&["--version"], &[]), Task::Print(text) if text.contains("commit") && text.contains("build"))
        );
        assert!(
            matches!(run(&["config", "--example"], &[("PLAZA_NONSENSE", "1")]), Task::Print(text) if text == example())
        );
    }
}
