//! Folding: the form of a text that search compares, without case, accents, invisible characters and keyboard variants.
//!
//! Stored texts and queries are folded alike, so folding never hides a match. It must keep every difference that distinguishes words:
//! vowel signs of Indian scripts, the dots of kana, the parts of Hangul, the breve of й.

use unicode_normalization::UnicodeNormalization as _;

/// Returns the text in lower case and compatibility form (NFKC), without accents, points and invisible characters.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    if text.chars().all(is_simple) {
        return text.chars().map(narrowed).collect();
    }
    let mut before = ' ';
    text.nfkc()
        .flat_map(char::to_lowercase)
        .nfkd()
        .filter(move |c| {
            let kept = !is_left_out(*c, before);
            if kept {
                before = *c;
            }
            kept
        })
        .nfc()
        .flat_map(|c| {
            let (first, second) = match c {
                'ß' => ('s', Some('s')),
                'æ' => ('a', Some('e')),
                'œ' => ('o', Some('e')),
                'ø' => ('o', None),
                'đ' | 'ð' => ('d', None),
                'ħ' => ('h', None),
                'ł' => ('l', None),
                'ŧ' => ('t', None),
                'þ' => ('t', Some('h')),
                // People without a Turkish keyboard write i for both, and İ has become i as well.
                'ı' => ('i', None),
                'ς' => ('σ', None),
                // Persian and Arabic keyboards have different characters for the same letters and digits.
                'ی' | 'ى' => ('ي', None),
                'ک' => ('ك', None),
                '\u{0660}'..='\u{0669}' => (digit(c, '\u{0660}'), None),
                '\u{06F0}'..='\u{06F9}' => (digit(c, '\u{06F0}'), None),
                // Phones write these where a keyboard has one quotation mark, one apostrophe and one dash.
                '\u{2018}' | '\u{2019}' | '\u{201B}' | '\u{02BB}' | '\u{02BC}' | '\u{2032}' => ('\'', None),
                '\u{201C}'..='\u{201F}' => ('"', None),
                '\u{2010}'..='\u{2015}' | '\u{2212}' => ('-', None),
                other => (other, None),
            };
            [Some(first), second].into_iter().flatten()
        })
        .collect()
}

/// The ASCII digit for a digit of another script.
fn digit(c: char, zero: char) -> char {
    (c as u32)
        .checked_sub(zero as u32)
        .and_then(|value| char::from_digit(value, 10))
        .unwrap_or(c)
}

/// Nearly every character of Chinese, Japanese and Korean text. The full procedure changes only their width and ASCII's case.
fn is_simple(c: char) -> bool {
    matches!(c, '\0'..='\x7f' | '\u{3001}'..='\u{3029}' | '\u{3041}'..='\u{3094}' | '\u{30A1}'..='\u{30FE}'
        | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{FF01}'..='\u{FF5E}')
}

fn narrowed(c: char) -> char {
    let ascii = match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFF01 + 0x21).unwrap_or(c),
        other => other,
    };
    ascii.to_ascii_lowercase()
}

/// Accents of European scripts, points of Hebrew and Arabic, variation selectors, joiners and other zero-width characters.
fn is_left_out(c: char, before: char) -> bool {
    match c {
        // й is a different letter from и, not an accented one.
        '\u{0306}' => before != 'и',
        '\u{0300}'..='\u{036F}'
        | '\u{1AB0}'..='\u{1AFF}'
        | '\u{1DC0}'..='\u{1DFF}'
        | '\u{20D0}'..='\u{20FF}'
        | '\u{FE20}'..='\u{FE2F}' => true,
        '\u{0591}'..='\u{05BD}' | '\u{05BF}' | '\u{05C1}' | '\u{05C2}' | '\u{05C4}' | '\u{05C5}' | '\u{05C7}' => true,
        '\u{0610}'..='\u{061A}' | '\u{0640}' | '\u{064B}'..='\u{065F}' | '\u{0670}' => true,
        '\u{00AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}' => true,
        '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_what_is_not_seen_are_left_out() {
        for (text, folded) in [
            ("Café", "cafe"),
            ("CAFE\u{301}", "cafe"),
            ("Straße STRASSE", "strasse strasse"),
            ("Ærøskøbing", "aeroskobing"),
            ("Łódź", "lodz"),
            ("ΌΔΥΣΣΕΎΣ", "οδυσσευσ"),
            ("İstanbul", "istanbul"),
            ("Đặng Văn", "dang van"),
            ("ﬁn", "fin"),
            ("Ｐｌａｚａ！", "plaza!"),
            ("你好，Ｗorld", "你好,world"),
            ("葛\u{E0100}城 ❤\u{FE0F}", "葛城 ❤"),
            ("мой", "мой"),
            ("ёлка", "елка"),
            ("が ガ", "が ガ"),
            ("한국", "한국"),
            ("हिन्दी", "हिन्दी"),
            ("مُحَمَّد", "محمد"),
            ("Diyarbakır ISPARTA ısparta", "diyarbakir isparta isparta"),
            ("Ħal Ŧ", "hal t"),
            ("علی على ک۱۲٣", "علي علي ك123"),
            ("don’t “so” 2020–2026 −5 ʻokina", "don't \"so\" 2020-2026 -5 'okina"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn folding_again_changes_nothing_and_the_short_way_is_the_long_way() {
        let short: String = ('\u{3001}'..='\u{3029}')
            .chain('\u{3041}'..='\u{3094}')
            .chain('\u{30A1}'..='\u{30FE}')
            .chain('\u{4E00}'..='\u{4E80}')
            .chain('\u{AC00}'..='\u{AC80}')
            .chain('\u{FF01}'..='\u{FF5E}')
            .collect();
        // é selects the full procedure.
        assert_eq!(fold(&format!("é{short}")), format!("e{}", fold(&short)));
        for text in ["Ærøskøbing", "İSTANBUL", "Iıİi", "ẞ", "ﬃ", "علی ۱", "‘–’"] {
            assert_eq!(fold(&fold(text)), fold(text), "{text}");
        }
    }
}
