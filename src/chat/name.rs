//! Names of users and rooms: parsed at the edge, valid from there on.

use std::{fmt, sync::Arc};

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::limits;

/// A user's name: 1 to 64 characters, NFC, without control or bidirectional characters, not blank at its ends.
///
/// In open mode a name proves nothing: any number of sessions may share it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Arc<str>);

/// A room's name, under the same rules as a user's.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

/// Why a name was refused; the text says what was seen and what the bound is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    /// No characters, or only white space.
    Empty,
    /// More than [`limits::NAME_CHARS`] characters after NFC.
    Long {
        /// How many were seen.
        chars: usize,
    },
    /// A control, bidirectional or otherwise invisible character.
    Forbidden {
        /// Which one.
        character: char,
    },
}

impl UserName {
    /// Parses a name; white space at its ends is cut off and the rest brought to NFC.
    pub fn parse(text: &str) -> Result<Self, NameFault> {
        parse(text).map(Self)
    }

    /// Who sets what no user sets.
    pub fn operator() -> Self {
        Self("系统".into())
    }

    /// The name of the `n`-th user who gave none.
    pub fn guest(n: u64) -> Self {
        Self(format!("guest-{n}").into())
    }

    /// The name as text.
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

    /// The name as text.
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
                    "the name holds U+{:04X}, which cannot be shown; leave it out",
                    *character as u32
                )
            }
        }
    }
}

impl std::error::Error for NameFault {}

fn parse(text: &str) -> Result<Arc<str>, NameFault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(NameFault::Empty);
    }
    // A name of a megabyte is not normalised before it is refused: NFC makes text at most three times shorter.
    let raw_chars = text.chars().take(limits::NAME_CHARS * 4 + 1).count();
    if raw_chars > limits::NAME_CHARS * 4 {
        return Err(NameFault::Long {
            chars: text.chars().count(),
        });
    }
    if let Some(character) = text.chars().find(|c| forbidden(*c)) {
        return Err(NameFault::Forbidden { character });
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
    Ok(name)
}

/// Control characters, line and paragraph separators, bidirectional controls (they forge the order of a line), zero-width
/// spaces and joiners between which two names look the same, and the tag and variation blocks' invisible fillers.
fn forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}' | '\u{115F}' | '\u{1160}' | '\u{3164}')
}

#[cfg(test)]
mod tests {
    use super::*;

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
