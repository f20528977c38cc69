//! Names of users and rooms.
//!
//! Parsing is the only way to make one, so a [`UserName`] or [`RoomName`] is always valid.

mod visibility;

use std::{fmt, sync::Arc};

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::limits;

/// A user's name: 1 to 64 characters in NFC, without control, bidirectional or invisible characters, and without white space at its ends.
///
/// Joiners, variation selectors and tags are valid where they change what is drawn; `name/visibility.rs` has the rule.
///
/// In open mode a name proves nothing, and any number of sessions may share it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Arc<str>);

/// A room's name, under the same rules as a user's.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

/// Why a name was refused. The text says what was seen, and the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    /// No characters, or only white space.
    Empty,
    /// More than [`limits::NAME_CHARS`] characters after NFC.
    Long { chars: usize },
    /// A control, bidirectional or otherwise invisible character, or a joiner or variation selector that changes nothing
    /// visible.
    Forbidden { character: char },
    /// It begins with the prefix of an app's names ([`super::World`]).
    Marked,
}

impl UserName {
    /// Parses a name. Trims white space and normalises the rest to NFC.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        parse(text).map(Self)
    }

    /// The name under which the operator acts.
    pub fn operator() -> Self {
        Self("系统".into())
    }

    /// The name of the `n`-th guest.
    pub fn guest(n: u64) -> Self {
        Self(format!("guest-{n}").into())
    }

    /// A free variant of a taken name: `name~2`. A long name is cut to make room for the number.
    pub fn numbered(&self, n: u32) -> Self {
        let suffix = format!("~{n}");
        let mut front: Vec<char> = self.0.chars().collect();
        front.truncate(limits::NAME_CHARS.saturating_sub(suffix.len()));
        loop {
            // The cut may leave a character that is not allowed at the end, such as a joiner.
            let text: String = front.iter().chain(&suffix.chars().collect::<Vec<_>>()).collect();
            match Self::parse(&text) {
                Ok(name) => return name,
                Err(_) if front.pop().is_some() => {}
                Err(_) => return Self(suffix.into()),
            }
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RoomName {
    /// Parses a name, as [`UserName::parse`] does.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        parse(text).map(Self)
    }

    /// The room where the users of all dialects meet.
    pub fn lobby() -> Self {
        Self("lobby".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Ordered and compared like its text.
impl std::borrow::Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Ordered and compared like its text.
impl std::borrow::Borrow<str> for RoomName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the name is empty; give 1 to {} characters", limits::NAME_CHARS),
            Self::Long { chars } => write!(
                f,
                "the name has {chars} characters; at most {} are allowed",
                limits::NAME_CHARS
            ),
            Self::Forbidden { character } => {
                write!(
                    f,
                    "the name contains U+{:04X}, which cannot be shown; leave it out",
                    *character as u32
                )
            }
            Self::Marked => write!(
                f,
                "names that begin with ⟦ belong to apps; begin with another character"
            ),
        }
    }
}

impl std::error::Error for NameFault {}

fn parse(text: &str) -> Result<Arc<str>, NameFault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(NameFault::Empty);
    }
    // Refuse a name of a megabyte before normalising it: NFC makes text at most three times shorter.
    let raw_chars = text.chars().take(limits::NAME_CHARS * 4 + 1).count();
    if raw_chars > limits::NAME_CHARS * 4 {
        return Err(NameFault::Long {
            chars: text.chars().count(),
        });
    }
    let name: Arc<str> = if is_nfc(text) {
        text.into()
    } else {
        text.nfc().collect::<String>().into()
    };
    let chars = name.chars().count();
    if chars > limits::NAME_CHARS {
        return Err(NameFault::Long { chars });
    }
    // NFC may replace the character before a selector (U+212B is a symbol and becomes a letter), so it comes first.
    match visibility::first_invisible(&name) {
        Some(character) => Err(NameFault::Forbidden { character }),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_judged_by_what_stands_before_it_after_nfc() {
        // The signs for angstrom, kelvin and ohm become letters.
        for sign in ["\u{212B}", "\u{212A}", "\u{2126}"] {
            let name = format!("{sign}\u{FE0F}");
            assert!(
                matches!(UserName::parse(&name), Err(NameFault::Forbidden { .. })),
                "{name:?}"
            );
        }
        // A compatibility ideograph becomes the unified one, with its variant selector.
        assert_eq!(UserName::parse("\u{FA19}\u{E0101}").unwrap().as_str(), "神\u{E0101}");
    }

    #[test]
    fn names_are_brought_to_nfc_and_trimmed() {
        assert_eq!(UserName::parse(" e\u{301}tienne ").unwrap().as_str(), "étienne");
        assert_eq!(UserName::parse("张三").unwrap().as_str(), "张三");
        assert_eq!(UserName::parse("a:b,c").unwrap().as_str(), "a:b,c");
    }

    #[test]
    fn names_that_forge_lines_or_lists_are_refused() {
        for bad in [
            "a\nb",
            "a\0b",
            "\u{202E}nimda",
            "a\u{200F}b",
            "a\u{2028}b",
            "a\u{7f}b",
            "a\u{85}b",
        ] {
            assert!(
                matches!(UserName::parse(bad), Err(NameFault::Forbidden { .. })),
                "{bad:?}"
            );
        }
        assert_eq!(UserName::parse(" \t "), Err(NameFault::Empty));
        assert_eq!(UserName::parse(&"长".repeat(64)).unwrap().as_str().chars().count(), 64);
        assert_eq!(UserName::parse(&"x".repeat(300)), Err(NameFault::Long { chars: 300 }));
    }
}
