//! Reads the sources of settings into [`Layers`]: the file, the environment, the flags.
//!
//! For an unknown key, the mistake suggests the nearest known one. Nothing here does I/O.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{
    layers::{Layers, Source},
    setting::Setting,
    table::{GROUPS, SETTINGS, find},
    value::{Form, Raw},
};

/// The sources of settings, as texts that the caller has read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file's name, for messages, and its content.
    pub file: Option<(String, String)>,
    /// All variables of the environment. Only those that begin with `PLAZA_` count.
    pub environment: Vec<(String, String)>,
    /// In their order.
    pub flags: Vec<FlagValue>,
}

/// One flag and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagValue {
    /// As typed, such as `--listen`.
    pub flag: String,
    /// The key of the setting: `group.name`.
    pub key: String,
    /// Several values of one list setting form one list.
    pub text: String,
}

impl Layers {
    pub(super) fn gather(sources: &Sources) -> Self {
        let mut layers = Self::default();
        if let Some((file, content)) = &sources.file {
            layers.read_file(file, content);
        }
        layers.read_environment(&sources.environment);
        layers.read_flags(&sources.flags);
        layers
    }

    fn read_file(&mut self, file: &str, content: &str) {
        let at = |span: Range<usize>| Source::File {
            file: file.to_owned(),
            line: line_of(content, span.start),
        };
        let (document, errors) = DeTable::parse_recoverable(content);
        for error in errors {
            let message = error.message().trim_end_matches('.');
            let sentence = format!("this is not TOML ({message}); write key = value lines under [group] headings");
            self.mistake(at(error.span().unwrap_or(0..0)), sentence);
        }
        for (group, entries) in document.get_ref() {
            let group_name = group.get_ref().as_ref();
            let DeValue::Table(entries) = entries.get_ref() else {
                let sentence = match suggest_place(group_name) {
                    Some(key) => format!("{group_name:?} stands under no group; did you mean {key}?"),
                    None => format!("{group_name:?} stands under no group; the groups are {}", group_names()),
                };
                self.mistake(at(group.span()), sentence);
                continue;
            };
            if !GROUPS.iter().any(|(name, _)| *name == group_name) {
                let near = nearest(group_name, GROUPS.iter().map(|(name, _)| (*name).to_owned()));
                let sentence = match near {
                    Some(near) => format!("there is no group [{group_name}]; did you mean [{near}]?"),
                    None => format!("there is no group [{group_name}]; the groups are {}", group_names()),
                };
                self.mistake(at(group.span()), sentence);
                continue;
            }
            for (name, value) in entries {
                let key = format!("{group_name}.{}", name.get_ref());
                let source = at(name.span());
                match find(&key) {
                    Some(setting) => {
                        self.add(setting, source, raw(content, value.span(), value.get_ref(), 0));
                    }
                    None => self.mistake(source, unknown(&key)),
                }
            }
        }
    }

    fn read_environment(&mut self, environment: &[(String, String)]) {
        let mut variables: Vec<_> = environment
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        variables.sort();
        for (name, text) in variables {
            let source = Source::Variable(name.clone());
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == *name) {
                self.add(setting, source, Raw::text(text));
            } else if !not_ours(name) {
                let near = nearest(name, SETTINGS.iter().map(Setting::variable));
                let advice = near.map_or_else(
                    || "`plaza config --example` lists the settings".to_owned(),
                    |near| format!("did you mean {near}?"),
                );
                self.mistake(source, format!("no setting has this variable; {advice}"));
            }
        }
    }

    fn read_flags(&mut self, flags: &[FlagValue]) {
        let mut gathered: Vec<(&'static Setting, String, String)> = Vec::new();
        for FlagValue { flag, key, text } in flags {
            match find(key) {
                None => self.mistake(Source::Flag(flag.clone()), unknown(key)),
                Some(setting) => match gathered.iter_mut().find(|(other, ..)| std::ptr::eq(*other, setting)) {
                    Some((_, _, all)) if setting.parts => *all = format!("{all},{text}"),
                    Some((_, last, value)) => (*last, *value) = (flag.clone(), text.clone()),
                    None => gathered.push((setting, flag.clone(), text.clone())),
                },
            }
        }
        for (setting, flag, text) in gathered {
            self.add(setting, Source::Flag(flag), Raw::text(text));
        }
    }
}

fn raw(content: &str, span: Range<usize>, value: &DeValue<'_>, depth: usize) -> Raw {
    let form = match value {
        DeValue::String(text) => Form::Text(text.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            Form::Bare(bare(content.get(span.clone()).unwrap_or_default(), value))
        }
        // No setting has lists in lists; a deeper one is refused as text.
        DeValue::Array(_) | DeValue::Table(_) if depth >= 2 => Form::List(Vec::new()),
        DeValue::Array(parts) => {
            let parts = parts
                .iter()
                .map(|part| raw(content, part.span(), part.get_ref(), depth + 1));
            Form::List(parts.collect())
        }
        DeValue::Table(parts) => {
            let parts = parts.iter().map(|(key, part)| {
                let part = raw(content, part.span(), part.get_ref(), depth + 1);
                (key.get_ref().to_string(), part)
            });
            Form::Table(parts.collect())
        }
    };
    Raw {
        line: Some(line_of(content, span.start)),
        form,
    }
}

/// A number in Rust's syntax (TOML allows `1_000` and `0x10`); anything else as it stands.
fn bare(source: &str, value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(integer) => match i128::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => number.to_string(),
            Err(_) => source.to_owned(),
        },
        DeValue::Float(float) => float.as_str().to_owned(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::String(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => source.to_owned(),
    }
}

fn line_of(content: &str, offset: usize) -> usize {
    1 + content.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn unknown(key: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    let near = suggest_place(name).or_else(|| nearest(key, SETTINGS.iter().map(Setting::key)));
    match near {
        Some(near) => format!("there is no setting {key}; did you mean {near}?"),
        None => format!("there is no setting {key}; `plaza config --example` lists them"),
    }
}

/// The setting with this name in any group.
fn suggest_place(name: &str) -> Option<String> {
    let mut same = SETTINGS
        .iter()
        .filter(|setting| setting.name == name || setting.flag.is_some_and(|flag| flag.name == name));
    same.next().map(Setting::key)
}

fn group_names() -> String {
    GROUPS
        .iter()
        .map(|(name, _)| format!("[{name}]"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The candidate at the smallest edit distance, if that is small enough for a typing error.
fn nearest(text: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let typed: String = text.chars().take(MISSPELT_CHARS).collect();
    let distances = candidates.map(|candidate| (strsim::levenshtein(&typed, &candidate), candidate));
    let (least, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (least <= 2.max(text.len() / 5)).then_some(candidate)
}

/// Variables that are no settings: the one that names the file, those that the build sets, and those that Kubernetes sets in each
/// container beside a service called `plaza`.
fn not_ours(name: &str) -> bool {
    name == CONFIG_VARIABLE
        || matches!(name, "PLAZA_COMMIT" | "PLAZA_PROFILE")
        || name == "PLAZA_PORT"
        || name.starts_with("PLAZA_PORT_")
        || name.starts_with("PLAZA_SERVICE_")
}

/// The variable that names the file.
pub const CONFIG_VARIABLE: &str = "PLAZA_CONFIG";
const PREFIX: &str = "PLAZA_";
/// Most characters of a key that are compared for a suggestion.
const MISSPELT_CHARS: usize = 128;
