//! Decides which characters of a name are visible. Names have no others, so two names that look the same are equal.
//!
//! Control characters and most of what Unicode calls Default_Ignorable_Code_Point are never accepted. Joiners, variation
//! selectors and tags are, but only where they change what is drawn:
//!
//! - U+200C and U+200D between two letters of the scripts whose letters join, U+200D between two emoji;
//! - U+200D after the virama of a script of India, also at the end of a word: it makes a half form, and the final consonants
//!   of names in Malayalam (അവന്‍) and Bengali (হঠাত্‍), as most keyboards write them;
//! - U+FE0E and U+FE0F after an emoji or in a keycap;
//! - U+FE00 to U+FE02 after an ideograph that has such variants, U+FE00 after letters of Myanmar and Phags-pa;
//! - U+E0100 to U+E01EF after an ideograph: the variants of Japanese and Chinese family names. Which exist depends on the
//!   font, so two names may look the same here; without it people cannot write theirs;
//! - Mongolian selectors after a Mongolian letter;
//! - tags in a flag: U+1F3F4, the code of a subdivision, U+E007F.
//!
//! Sources: UTS #51 (emoji), UTS #37 (ideographic variation sequences), StandardizedVariants.txt.

use std::{collections::HashMap, sync::LazyLock};

use unicode_normalization::char::{canonical_combining_class, decompose_canonical};

/// The first character of a normalised name that is not drawn where it stands.
pub(super) fn first_invisible(name: &str) -> Option<char> {
    let mut before = None;
    let mut rest = name.chars();
    while let Some(character) = rest.next() {
        if character == BLACK_FLAG
            && let Some(tags) = flag_tags(rest.as_str())
        {
            rest = rest.as_str().get(tags..).unwrap_or_default().chars();
            // A tag may be followed neither by a joiner nor by a selector.
            before = None;
            continue;
        }
        if is_forbidden(character) || !is_drawn(before, character, rest.clone().next()) {
            return Some(character);
        }
        before = Some(character);
    }
    None
}

/// Control characters, line and paragraph separators, bidirectional controls (they forge the order of a line), zero-width
/// spaces, and other characters that are drawn as nothing or as a blank, such as the Braille pattern without dots. Characters that
/// depend on their neighbours are in [`is_drawn`].
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{200B}'
            | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}'
            | '\u{FE03}'..='\u{FE0D}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{13430}'..='\u{1343F}'
            | '\u{16FE4}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D159}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E00FF}' | '\u{E01F0}'..='\u{E0FFF}')
}

/// Whether a joiner or a variation selector changes what is drawn between these neighbours; anything else is drawn itself.
fn is_drawn(before: Option<char>, c: char, after: Option<char>) -> bool {
    let is = |neighbour: Option<char>, kind: fn(char) -> bool| neighbour.is_some_and(kind);
    match c {
        '\u{200C}' => is(before, joins) && is(after, joins),
        '\u{200D}' => {
            is(before, is_virama)
                || is(before, joins) && is(after, joins)
                || is(before, |c| is_emoji(c) || c == '\u{FE0F}') && is(after, is_emoji)
        }
        '\u{FE0E}' | '\u{FE0F}' => {
            is(before, is_emoji)
                || c == '\u{FE0F}' && is(before, |c| matches!(c, '0'..='9' | '#' | '*')) && after == Some('\u{20E3}')
        }
        '\u{FE00}'..='\u{FE02}' => before.is_some_and(|before| has_variant(before, c)),
        '\u{E0100}'..='\u{E01EF}' => is(before, is_ideograph),
        '\u{180B}'..='\u{180D}' | '\u{180F}' => is(before, is_mongolian),
        '\u{180E}' => is(before, is_mongolian) && is(after, is_mongolian),
        _ => true,
    }
}

/// The length in bytes of the tags after a black flag that turn it into the flag of a subdivision: two letters of the country, one
/// to three letters or digits, and the end tag. `None`: these are not such tags.
fn flag_tags(behind: &str) -> Option<usize> {
    let end = behind.find(CANCEL_TAG)?;
    let code: Vec<char> = behind
        .get(..end)?
        .chars()
        .map(|tag| char::from_u32((tag as u32).checked_sub(TAGS)?))
        .collect::<Option<_>>()?;
    let (country, subdivision) = code.split_at_checked(2)?;
    let is_code = country.iter().all(char::is_ascii_lowercase)
        && (1..=3).contains(&subdivision.len())
        && subdivision.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    is_code.then_some(end + CANCEL_TAG.len_utf8())
}

/// Whether Unicode defines this variation sequence (StandardizedVariants.txt). An ideograph has one variant for each of its
/// compatibility ideographs.
fn has_variant(base: char, selector: char) -> bool {
    static VARIANTS: LazyLock<HashMap<char, u32>> = LazyLock::new(|| {
        let mut variants = HashMap::new();
        for c in ('\u{F900}'..='\u{FAFF}').chain('\u{2F800}'..='\u{2FA1F}') {
            decompose_canonical(c, |unified| {
                if unified != c {
                    *variants.entry(unified).or_default() += 1;
                }
            });
        }
        variants
    });
    let nth = selector as u32 - '\u{FE00}' as u32;
    match base {
        '\u{1000}'..='\u{1031}' | '\u{1075}'..='\u{1080}' | '\u{A856}'..='\u{A868}' | '\u{AA60}'..='\u{AA7A}' => {
            nth == 0
        }
        _ => VARIANTS.get(&base).is_some_and(|variants| nth < *variants),
    }
}

/// Scripts in which a joiner distinguishes two written forms: Arabic to Mandaic, those of India and their neighbours, Mongolian.
fn joins(c: char) -> bool {
    matches!(c, '\u{0620}'..='\u{08FF}' | '\u{0900}'..='\u{109F}' | '\u{1700}'..='\u{180A}' | '\u{1810}'..='\u{18AF}'
        | '\u{1900}'..='\u{1AAF}' | '\u{1B00}'..='\u{1C7F}' | '\u{A800}'..='\u{A95F}' | '\u{A980}'..='\u{AAFF}'
        | '\u{ABC0}'..='\u{ABFF}' | '\u{11000}'..='\u{11FFF}')
}

/// Whether this is a virama (it suppresses the vowel of the consonant before it) after which a joiner alone changes the shape of
/// that consonant. The scripts from Devanagari to Oriya, Malayalam and Sinhala have these; Tamil, Telugu and Kannada do not.
fn is_virama(c: char) -> bool {
    matches!(c, '\u{0900}'..='\u{0B7F}' | '\u{0D00}'..='\u{0DFF}') && canonical_combining_class(c) == VIRAMA
}

fn is_mongolian(c: char) -> bool {
    matches!(c, '\u{1820}'..='\u{1878}' | '\u{1880}'..='\u{18AA}')
}

/// Unified_Ideograph: the blocks, with the twelve of the compatibility block.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{FA0E}'..='\u{FA29}' | '\u{20000}'..='\u{3FFFD}')
}

/// Emoji of the first plane (emoji-data.txt), and the blocks of pictographs; skin tones and flags are among these.
fn is_emoji(c: char) -> bool {
    matches!(c, '\u{00A9}' | '\u{00AE}' | '\u{203C}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2194}'..='\u{2199}'
        | '\u{21A9}' | '\u{21AA}' | '\u{231A}' | '\u{231B}' | '\u{2328}' | '\u{23CF}' | '\u{23E9}'..='\u{23F3}'
        | '\u{23F8}'..='\u{23FA}' | '\u{24C2}' | '\u{25AA}' | '\u{25AB}' | '\u{25B6}' | '\u{25C0}'
        | '\u{25FB}'..='\u{25FE}' | '\u{2600}'..='\u{27BF}' | '\u{2934}' | '\u{2935}' | '\u{2B05}'..='\u{2B07}'
        | '\u{2B1B}' | '\u{2B1C}' | '\u{2B50}' | '\u{2B55}' | '\u{3030}' | '\u{303D}' | '\u{3297}' | '\u{3299}'
        | '\u{1F000}'..='\u{1FAFF}')
}

/// The Canonical_Combining_Class of viramas.
const VIRAMA: u8 = 9;
const BLACK_FLAG: char = '\u{1F3F4}';
const CANCEL_TAG: char = '\u{E007F}';
/// A tag is this plus the ASCII character that it stands for.
const TAGS: u32 = 0xE0000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chat::{NameFault, UserName};

    fn flag(code: &str) -> String {
        let tags = code.bytes().map(|byte| char::from_u32(TAGS + u32::from(byte)).unwrap());
        [BLACK_FLAG].into_iter().chain(tags).chain([CANCEL_TAG]).collect()
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
            "ℂ\u{FE0F}",
            "👩\u{200D}",
            "👩\u{200D}\u{200D}🚀",
            "❤\u{FE0F}\u{FE0F}",
            "علی\u{200C}",
            "an\u{AD}n",
            "an\u{34F}n",
            "ann\u{FFA0}",
            "ann\u{180B}",
            "علی\u{FE0F}",
            "അ\u{200D}",
            "അവന്\u{200D}\u{200D}",
            "അവന്\u{200C}",
            "రామ్\u{200D}",
            "\u{1D159}",
            "ann\u{16FE4}",
            "ann\u{13430}",
            // Variation selectors: one that the ideograph does not have, two in a row, after a letter, after a kana, at the
            // beginning.
            "系\u{FE00}统",
            "神\u{FE01}",
            "葛\u{E0100}\u{E0101}",
            "ann\u{E0100}",
            "あ\u{E0100}",
            "\u{E0100}葛",
            "葛\u{E01F0}",
            "葛\u{FE0F}",
            "葛\u{FE03}",
            // Tags that hide text: without a flag, without an end, without a code, after another flag, or with a code that is none.
            "ann\u{E0061}\u{E0062}",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}",
            "🏴\u{E007F}",
            "🏳\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            &flag("gb"),
            &flag("gbengland"),
            &flag("GBENG"),
            &flag("12345"),
            &format!("{}\u{E007F}", flag("gbeng")),
            &format!("{}\u{FE0F}", flag("gbeng")),
            &format!("{}\u{200D}🚀", flag("gbeng")),
        ] {
            assert!(
                matches!(UserName::parse(bad), Err(NameFault::Forbidden { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn names_are_taken_as_people_write_them() {
        for good in [
            // A rocket's pilot, a heart that burns, a flag, a keycap; Persian, Indian scripts, Sinhala and Mongolian.
            "👩\u{200D}🚀",
            "👩🏽\u{200D}🚀",
            "👩\u{200D}❤\u{FE0F}\u{200D}💋\u{200D}👨",
            "👨\u{200D}👩\u{200D}👧\u{200D}👦",
            "🏴\u{200D}☠\u{FE0F}",
            "🙂\u{200D}↔\u{FE0F}",
            "❤\u{FE0F}\u{200D}🔥",
            "🏳\u{FE0F}\u{200D}🌈",
            "ann ❤\u{FE0F}",
            "1\u{FE0F}\u{20E3}",
            "🇨🇳",
            "می\u{200C}خواهم",
            "क्\u{200D}ष",
            "ශ්\u{200D}රී",
            "അവന്\u{200D}",
            "രാജന്\u{200D} മേനോന്\u{200D}",
            "കൃഷ്ണന്\u{200D}കുട്ടി",
            "ত্\u{200D}",
            "क्\u{200D}",
            "ᠠ\u{180B}",
            "ᠨ\u{180E}ᠠ",
            "⠓⠊",
            // Family names: Katsuragi, Tsuji, Watanabe with the variant that is theirs, and one with a standardized variant.
            "葛\u{E0100}城",
            "辻\u{E0101}",
            "渡邉\u{E010E}",
            "𠮷\u{E0100}野",
            "神\u{FE00}",
            "🏴",
            &flag("gbeng"),
            &format!("{}{}ann", flag("gbsct"), flag("gbwls")),
            &flag("ustx"),
        ] {
            assert_eq!(UserName::parse(good).as_ref().map(UserName::as_str), Ok(good));
        }
    }

    /// Random text with many selectors, joiners and tags.
    fn mixed() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            proptest::char::any(),
            Just('葛'),
            Just('a'),
            Just('❤'),
            Just(BLACK_FLAG),
            Just(CANCEL_TAG),
            proptest::char::range('\u{E0020}', '\u{E007F}'),
            proptest::char::range('\u{E0100}', '\u{E01EF}'),
            proptest::char::range('\u{FE00}', '\u{FE0F}'),
            proptest::char::range('\u{200B}', '\u{200F}'),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_name_comes_out_as_it_came_in(text in mixed()) {
            use unicode_normalization::UnicodeNormalization as _;
            if let Ok(name) = UserName::parse(&text) {
                prop_assert_eq!(name.as_str(), text.trim().nfc().collect::<String>());
                prop_assert_eq!(UserName::parse(name.as_str()), Ok(name));
            }
        }

        /// In an accepted name, every hidden character follows one that it changes.
        #[test]
        fn what_is_accepted_hides_nothing(text in mixed()) {
            if let Ok(name) = UserName::parse(&text) {
                let mut before = ' ';
                for c in name.as_str().chars() {
                    match c {
                        '\u{E0020}'..='\u{E007F}' => {
                            let behind_flag = before == BLACK_FLAG || ('\u{E0020}'..CANCEL_TAG).contains(&before);
                            prop_assert!(behind_flag, "{:?}", name);
                        }
                        '\u{E0100}'..='\u{E01EF}' => prop_assert!(is_ideograph(before), "{:?}", name),
                        '\u{FE00}'..='\u{FE02}' => prop_assert!(!before.is_ascii(), "{:?}", name),
                        '\u{200B}' | '\u{200E}' | '\u{200F}' => prop_assert!(false, "{:?}", name),
                        _ => {}
                    }
                    before = c;
                }
            }
        }

        #[test]
        fn every_ideographic_variant_is_taken_behind_its_ideograph_alone(
            base in proptest::char::range('\u{4E00}', '\u{9FFF}'),
            selector in proptest::char::range('\u{E0100}', '\u{E01EF}'),
        ) {
            let name = format!("{base}{selector}");
            let parsed = UserName::parse(&name).unwrap();
            prop_assert_eq!(parsed.as_str(), name);
            let hidden = format!("ann{selector}");
            prop_assert!(UserName::parse(&hidden).is_err());
        }
    }
}
