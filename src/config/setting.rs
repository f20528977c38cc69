//! What is known of each setting.

/// One setting, as the table has it.
#[derive(Debug)]
pub struct Setting {
    /// The table of the file it stands in.
    pub group: &'static str,
    /// Its key there.
    pub name: &'static str,
    /// What it does and why its default is what it is, line by line.
    pub doc: &'static [&'static str],
    /// As a variable would hold it.
    pub default: &'static str,
    /// The least and the most, each part of a list alike.
    pub bounds: Option<(&'static str, &'static str)>,
    /// Whether it has parts, so that a repeated flag adds one instead of replacing the value.
    pub parts: bool,
    /// Its own flag; every setting has `--set` besides.
    pub flag: Option<Flag>,
    /// When a change takes effect.
    pub change: Change,
    /// What to give: completes "give …".
    pub kind: fn() -> String,
}

/// A flag of the command line.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// What its value is called in the help text; empty: a switch, which may still be given `=false`.
    pub value: &'static str,
}

/// When a change of a setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// When the server starts again.
    Restart,
    /// At once, on SIGHUP.
    Reload,
}

impl Setting {
    /// As in `--set` and in messages: `group.name`.
    pub fn key(&self) -> String {
        format!("{}.{}", self.group, self.name)
    }

    /// The variable of the environment that sets it.
    pub fn variable(&self) -> String {
        format!("PLAZA_{}_{}", self.group, self.name).to_ascii_uppercase()
    }

    /// The sentence's end that says what to give.
    pub fn advice(&self) -> String {
        let kind = (self.kind)();
        match self.bounds {
            Some((min, max)) => format!("give {kind}, from {min} to {max}"),
            None => format!("give {kind}"),
        }
    }
}
