//! The description of one setting.

/// One setting of the table.
#[derive(Debug)]
pub struct Setting {
    /// Its table in the file.
    pub group: &'static str,
    /// Its key in that table.
    pub name: &'static str,
    /// Its effect and the reason for its default, line by line.
    pub doc: &'static [&'static str],
    /// The default, in the syntax of a variable.
    pub default: &'static str,
    /// The least and the greatest value; they hold for each part of a list.
    pub bounds: Option<(&'static str, &'static str)>,
    /// Whether it is a list or a table: a repeated flag then adds an entry instead of replacing the value.
    pub parts: bool,
    /// The flag for this setting alone; `--set` works for every setting.
    pub flag: Option<Flag>,
    /// When a change takes effect.
    pub change: Change,
    /// The expected form; completes "give …".
    pub kind: fn() -> String,
}

/// A flag of the command line.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// The name of its value in the help text; empty: a switch, for which `=false` is allowed.
    pub value: &'static str,
}

/// When a change of a setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// At the next start.
    Restart,
    /// At once, on SIGHUP.
    Reload,
}

impl Setting {
    /// `group.name`, as in `--set` and in messages.
    pub fn key(&self) -> String {
        format!("{}.{}", self.group, self.name)
    }

    /// The variable of the environment that sets it.
    pub fn variable(&self) -> String {
        format!("PLAZA_{}_{}", self.group, self.name).to_ascii_uppercase()
    }

    /// The advice at the end of an error.
    pub fn advice(&self) -> String {
        let kind = (self.kind)();
        match self.bounds {
            Some((min, max)) => format!("give {kind}, from {min} to {max}"),
            None => format!("give {kind}"),
        }
    }
}
