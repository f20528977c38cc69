//! Names of users and rooms: parsed at the edge, valid from there on.

use std::{fmt, sync::Arc};

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::limits;

/// A user's name: 1 to 64 characters, NFC, without control or bidirectional characters, without characters that cannot be
/// seen, not blank at its ends.
///
/// Joiners and selectors are taken only where they change what is seen: U+200C and U+200D between two letters of the scripts
/// whose letters join, U+200D between two pictographs, U+FE0E and U+FE0F behind a pictograph or in a keycap.
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
    /// A control, bidirectional or otherwise invisible character, or a joiner or variation selector where it changes nothing
    /// that is seen.
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
    let (mut before, mut left) = (None, text.chars());
    while let Some(character) = left.next() {
        if forbidden(character) || !seen(before, character, left.clone().next()) {
            return Err(NameFault::Forbidden { character });
        }
        before = Some(character);
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
/// spaces, the tag block, and what else is drawn as nothing or as a blank (Unicode's Default_Ignorable_Code_Point, and the
/// Braille pattern without dots): two names that differ by one look the same. What depends on its neighbours is in [`seen`].
fn forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}' | '\u{2800}' | '\u{FFA0}'
            | '\u{FE00}'..='\u{FE0D}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0080}'..='\u{E0FFF}' | '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}' | '\u{115F}' | '\u{1160}' | '\u{3164}')
}

/// Whether a joiner or a variation selector changes what is seen between these neighbours; anything else does.
fn seen(before: Option<char>, c: char, after: Option<char>) -> bool {
    let is = |neighbour: Option<char>, kind: fn(char) -> bool| neighbour.is_some_and(kind);
    match c {
        '\u{200C}' => is(before, joins) && is(after, joins),
        '\u{200D}' => {
            is(before, joins) && is(after, joins)
                || is(before, |c| pictograph(c) || c == '\u{FE0F}') && is(after, pictograph)
        }
        '\u{FE0E}' | '\u{FE0F}' => {
            is(before, pictograph)
                || c == '\u{FE0F}' && is(before, |c| matches!(c, '0'..='9' | '#' | '*')) && after == Some('\u{20E3}')
        }
        _ => true,
    }
}

/// Scripts in which a joiner tells two written forms apart: Arabic to Mandaic, those of India and their neighbours, Mongolian.
fn joins(c: char) -> bool {
    matches!(c, '\u{0620}'..='\u{08FF}' | '\u{0900}'..='\u{109F}' | '\u{1700}'..='\u{18AF}' | '\u{1900}'..='\u{1AAF}'
        | '\u{1B00}'..='\u{1C7F}' | '\u{A800}'..='\u{A95F}' | '\u{A980}'..='\u{AAFF}' | '\u{ABC0}'..='\u{ABFF}'
        | '\u{11000}'..='\u{11FFF}')
}

/// Symbols that have a coloured form, and are put together by joiners; skin tones and flags are among them.
fn pictograph(c: char) -> bool {
    matches!(c, '\u{00A9}' | '\u{00AE}' | '\u{203C}' | '\u{2049}' | '\u{2100}'..='\u{27FF}' | '\u{2900}'..='\u{2BFF}'
        | '\u{3030}' | '\u{303D}' | '\u{3297}' | '\u{3299}' | '\u{1F000}'..='\u{1FAFF}')
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
    fn names_with_what_cannot_be_seen_are_refused() {
        for bad in [
            "\u{2800}",
            "ann\u{2800}",
            "ann\u{200D}",
            "\u{200D}ann",
            "an\u{200D}n",
            "an\u{200C}n",
            "系\u{200D}统",
            "ann\u{FE0F}",
            "1\u{FE0F}",
            "👩\u{200D}",
            "👩\u{200D}\u{200D}🚀",
            "❤\u{FE0F}\u{FE0F}",
            "علی\u{200C}",
            "an\u{AD}n",
            "an\u{34F}n",
            "ann\u{FFA0}",
            "ann\u{180B}",
            "葛\u{E0100}",
            "系\u{FE00}统",
            "علی\u{FE0F}",
        ] {
            assert!(
                matches!(UserName::parse(bad), Err(NameFault::Forbidden { .. })),
                "{bad:?}"
            );
        }
        // A rocket's pilot, a heart that burns, a flag, a keycap; Persian, Hindi and Sinhala as they are written.
        for good in [
            "👩\u{200D}🚀",
            "👩🏽\u{200D}🚀",
            "❤\u{FE0F}\u{200D}🔥",
            "🏳\u{FE0F}\u{200D}🌈",
            "ann ❤\u{FE0F}",
            "1\u{FE0F}\u{20E3}",
            "می\u{200C}خواهم",
            "क्\u{200D}ष",
            "ශ්\u{200D}රී",
            "⠓⠊",
        ] {
            assert_eq!(UserName::parse(good).unwrap().as_str(), good);
        }
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
