//! Layers of settings: a value in a higher layer hides those below it.
//!
//! Invariant: every value of every layer is checked, a hidden one too, and all mistakes are collected.

use std::fmt;

use super::{
    setting::Setting,
    value::{Raw, Value},
};

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The table of settings.
    Default,
    /// A line of a file.
    File {
        file: String,
        /// Counted from 1.
        line: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag.
    Flag(String),
}

/// One mistake: its place, what was seen, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub source: Source,
    /// What was seen, the bound and the fix.
    pub sentence: String,
}

/// The value in force of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// The key of the setting: `group.name`.
    pub key: String,
    /// The value as TOML.
    pub toml: String,
    pub source: Source,
}

/// All values of all layers, lowest first, and the mistakes found so far.
#[derive(Debug, Default)]
pub(super) struct Layers {
    values: Vec<(&'static Setting, Source, Raw)>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) in_force: Vec<InForce>,
}

impl Layers {
    /// Adds a value on top.
    pub(super) fn add(&mut self, setting: &'static Setting, source: Source, raw: Raw) {
        self.values.push((setting, source, raw));
    }

    pub(super) fn mistake(&mut self, source: Source, sentence: String) {
        self.mistakes.push(Mistake { source, sentence });
    }

    /// The value of the topmost layer with one. Collects the mistakes of all layers.
    pub(super) fn resolve<T: Value>(&mut self, setting: &'static Setting) -> T {
        let mut resolved: Option<(T, Source)> = None;
        for (_, source, raw) in self.values.iter().filter(|(of, ..)| std::ptr::eq(*of, setting)) {
            match T::read(raw, setting.bounds) {
                Ok(value) => resolved = Some((value, source.clone())),
                Err(fault) => {
                    let source = match (source, fault.line) {
                        (Source::File { file, .. }, Some(line)) => Source::File {
                            file: file.clone(),
                            line,
                        },
                        (source, _) => source.clone(),
                    };
                    let sentence = format!(
                        "{} has {}, {}; {}",
                        setting.key(),
                        fault.seen,
                        fault.problem,
                        setting.advice()
                    );
                    self.mistakes.push(Mistake { source, sentence });
                }
            }
        }
        let (value, source) = resolved.unwrap_or_else(|| (default(setting), Source::Default));
        self.in_force.push(InForce {
            key: setting.key(),
            toml: value.toml(),
            source,
        });
        value
    }

    /// The source of the value in force.
    pub(super) fn source(&self, key: &str) -> Source {
        let found = self.in_force.iter().find(|entry| entry.key == key);
        found.map_or(Source::Default, |entry| entry.source.clone())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.sentence)
    }
}

/// The default of a setting; a test parses all of them.
fn default<T: Value>(setting: &'static Setting) -> T {
    match T::read(&Raw::text(setting.default), setting.bounds) {
        Ok(value) => value,
        Err(fault) => unreachable!("the default of {} has {}, {}", setting.key(), fault.seen, fault.problem),
    }
}
