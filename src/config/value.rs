//! Parses the value of a setting from a file, a variable or a flag, and formats it as TOML.
//!
//! Every value can be written as text, so that one reader serves all sources: a TOML number is its text, `a,b` in a variable is the
//! list `["a", "b"]`, and `1=lobby,2=games` the table with these two keys.

use std::{cmp::Ordering, collections::BTreeMap};

use crate::limits;

/// The value of one setting in a source, before it is parsed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Raw {
    /// The line in the file, from 1; `None` for other sources.
    pub(super) line: Option<usize>,
    pub(super) form: Form,
}

/// The forms that a value may have in a source.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    /// Text: a variable's, a flag's, or a TOML string.
    Text(String),
    /// A TOML number, boolean or date, as text.
    Bare(String),
    List(Vec<Raw>),
    Table(Vec<(String, Raw)>),
}

/// Why a value was refused: completes the sentence "`key` is `seen`, …".
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    /// The line, if it differs from that of the setting.
    pub(super) line: Option<usize>,
    /// The wrong part, as written.
    pub(super) seen: String,
    /// What is wrong with it.
    pub(super) problem: String,
}

/// A value without parts.
pub(super) trait Scalar: Sized + Clone + PartialEq {
    /// What to write, with an example; completes "give …".
    fn kind() -> String;
    /// Parses the text, or says what is wrong with it ("which …").
    fn parse(text: &str) -> Result<Self, String>;
    /// Text that `parse` reads as the same value.
    fn show(&self) -> String;
    /// Whether TOML writes it in quotes.
    fn quoted() -> bool {
        true
    }
    /// Compares values of kinds that have bounds.
    fn order(&self, _other: &Self) -> Option<Ordering> {
        None
    }
}

/// A value of a setting: a scalar, `off` or a scalar, a list, or a table of scalars.
pub(super) trait Value: Sized + Clone + PartialEq {
    /// Whether it has parts; a repeated flag then adds one instead of replacing the value.
    const PARTS: bool = false;

    /// What to write, with an example; completes "give …".
    fn kind() -> String;
    /// Parses the value of a source. The bounds, written as text, hold for each part.
    fn read(raw: &Raw, bounds: Option<(&str, &str)>) -> Result<Self, Fault>;
    /// The value as TOML.
    fn toml(&self) -> String;
}

impl Raw {
    /// Text from a variable or a flag.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self {
            line: None,
            form: Form::Text(text.into()),
        }
    }

    /// The value as TOML, cut to a length that fits a message.
    pub(super) fn seen(&self) -> String {
        cut(match &self.form {
            Form::Text(text) => quote(text),
            Form::Bare(text) => text.clone(),
            Form::List(parts) => format!("[{}]", join(parts.iter().take(SEEN_CHARS).map(Self::seen))),
            Form::Table(parts) => format!(
                "{{ {} }}",
                join(
                    parts
                        .iter()
                        .take(SEEN_CHARS)
                        .map(|(key, raw)| format!("{} = {}", quote(key), raw.seen()))
                )
            ),
        })
    }

    fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault {
            line: self.line,
            seen: self.seen(),
            problem: problem.into(),
        }
    }

    fn scalar(&self) -> Option<&str> {
        match &self.form {
            Form::Text(text) | Form::Bare(text) => Some(text.trim()),
            Form::List(_) | Form::Table(_) => None,
        }
    }
}

impl<T: Scalar> Value for T {
    fn kind() -> String {
        <T as Scalar>::kind()
    }

    fn read(raw: &Raw, bounds: Option<(&str, &str)>) -> Result<Self, Fault> {
        let Some(text) = raw.scalar() else {
            return Err(raw.fault("which is a list or a table, not a single value"));
        };
        let value = T::parse(text).map_err(|problem| raw.fault(problem))?;
        if let Some((min, max)) = bounds {
            let below = T::parse(min).ok().and_then(|min| value.order(&min)) == Some(Ordering::Less);
            let above = T::parse(max).ok().and_then(|max| value.order(&max)) == Some(Ordering::Greater);
            if below || above {
                let side = if below { "less" } else { "more" };
                return Err(raw.fault(format!("which is {side} than the bounds {min} to {max} allow")));
            }
        }
        Ok(value)
    }

    fn toml(&self) -> String {
        let text = self.show();
        if T::quoted() { quote(&text) } else { text }
    }
}

impl<T: Scalar> Value for Option<T> {
    fn kind() -> String {
        format!("{}, or \"{OFF}\"", <T as Scalar>::kind())
    }

    fn read(raw: &Raw, bounds: Option<(&str, &str)>) -> Result<Self, Fault> {
        match raw.scalar() {
            Some(OFF) => Ok(None),
            Some("" | "false" | "none") => Err(raw.fault(format!("which is no value; \"{OFF}\" switches it off"))),
            Some(_) | None => T::read(raw, bounds).map(Some),
        }
    }

    fn toml(&self) -> String {
        self.as_ref().map_or_else(|| quote(OFF), Value::toml)
    }
}

impl<T: Scalar> Value for Vec<T> {
    const PARTS: bool = true;

    fn kind() -> String {
        format!("a list, each entry {}", <T as Scalar>::kind())
    }

    fn read(raw: &Raw, bounds: Option<(&str, &str)>) -> Result<Self, Fault> {
        let split;
        let parts = match &raw.form {
            Form::Text(text) | Form::Bare(text) => {
                split = split_text(text, raw.line);
                &split
            }
            Form::List(parts) => parts,
            Form::Table(_) => return Err(raw.fault("which is a table, not a list")),
        };
        bounded(raw, parts.len())?;
        let mut values: Self = Vec::with_capacity(parts.len());
        for part in parts {
            let value = T::read(part, bounds)?;
            if values.contains(&value) {
                return Err(part.fault("which stands in the list twice"));
            }
            values.push(value);
        }
        Ok(values)
    }

    fn toml(&self) -> String {
        format!("[{}]", join(self.iter().map(Value::toml)))
    }
}

impl<T: Scalar> Value for BTreeMap<String, T> {
    const PARTS: bool = true;

    fn kind() -> String {
        format!(
            "a table such as {{ \"key\" = … }} (in a variable or flag: key=value,key=value), each value {}",
            <T as Scalar>::kind()
        )
    }

    fn read(raw: &Raw, bounds: Option<(&str, &str)>) -> Result<Self, Fault> {
        let split;
        let parts = match &raw.form {
            Form::Text(text) | Form::Bare(text) => {
                split = split_table(text, raw)?;
                &split
            }
            Form::Table(parts) => parts,
            Form::List(_) => return Err(raw.fault("which is a list, not a table")),
        };
        bounded(raw, parts.len())?;
        let mut values = Self::new();
        for (key, part) in parts {
            if values.insert(key.clone(), T::read(part, bounds)?).is_some() {
                return Err(raw.fault(format!("which holds the key {} twice", quote(key))));
            }
        }
        Ok(values)
    }

    fn toml(&self) -> String {
        if self.is_empty() {
            return "{}".to_owned();
        }
        let parts = self
            .iter()
            .map(|(key, value)| format!("{} = {}", quote(key), value.toml()));
        format!("{{ {} }}", join(parts))
    }
}

/// A string as TOML writes it.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn bounded(raw: &Raw, entries: usize) -> Result<(), Fault> {
    if entries > limits::SETTING_ENTRIES {
        let bound = limits::SETTING_ENTRIES;
        return Err(raw.fault(format!("which has {entries} entries; at most {bound} are allowed")));
    }
    Ok(())
}

fn split_text(text: &str, line: Option<usize>) -> Vec<Raw> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| Raw {
            line,
            form: Form::Text(part.to_owned()),
        })
        .collect()
}

fn split_table(text: &str, whole: &Raw) -> Result<Vec<(String, Raw)>, Fault> {
    split_text(text, whole.line)
        .into_iter()
        .map(|part| {
            let entry = part.scalar().and_then(|text| text.split_once('='));
            let (key, value) = entry.ok_or_else(|| part.fault("which has no \"=\" between key and value"))?;
            let form = Form::Text(value.trim().to_owned());
            Ok((key.trim().to_owned(), Raw { line: whole.line, form }))
        })
        .collect()
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn cut(text: String) -> String {
    match text.char_indices().nth(SEEN_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Turns a setting off.
pub(super) const OFF: &str = "off";
/// A message repeats at most this much of a value.
const SEEN_CHARS: usize = 80;
