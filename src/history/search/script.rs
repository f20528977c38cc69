//! Word boundaries: classes of characters, and scripts that write without spaces.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Between,
    Letter,
    Glyph,
}

/// A run of characters of one class, and its offset in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'t> {
    pub(super) class: Class,
    pub(super) at: usize,
    pub(super) text: &'t str,
}

/// Splits between letters (with adjacent punctuation) and a script without spaces: people write both `用Rust写` and `用 Rust 写`.
pub(super) fn by_script(word: &str) -> impl Iterator<Item = &str> {
    let mut cuts = vec![0];
    let mut glyphs = None;
    let mut has_letter = false;
    let mut run = 0;
    for Piece { class, at, .. } in pieces(word) {
        let now = class == Class::Glyph;
        if glyphs.is_some_and(|before: bool| before != now) {
            // One of the two adjacent runs has letters.
            if has_letter {
                cuts.extend([run, at]);
            }
            run = at;
            has_letter = false;
        }
        has_letter |= class == Class::Letter;
        glyphs = Some(now);
    }
    if has_letter {
        cuts.push(run);
    }
    cuts.push(word.len());
    cuts.dedup();
    let ends = cuts.clone().into_iter().skip(1);
    cuts.into_iter()
        .zip(ends)
        .filter_map(|(start, end)| word.get(start..end))
        .filter(|term| !term.is_empty())
}

pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let class = classify(rest.chars().next()?);
        let length = rest.find(|c| classify(c) != class).unwrap_or(rest.len());
        let piece = Piece {
            class,
            at,
            text: rest.get(..length)?,
        };
        at += length;
        Some(piece)
    })
}

pub(super) fn classify(c: char) -> Class {
    match c {
        'a'..='z' | '0'..='9' => Class::Letter,
        '\0'..='\x7f' => Class::Between,
        // Thai to Myanmar, Khmer; Hangul; kana, Han and their extensions; symbols and pictures.
        '\u{0E00}'..='\u{0EFF}'
        | '\u{1000}'..='\u{11FF}'
        | '\u{1780}'..='\u{17FF}'
        | '\u{2600}'..='\u{27BF}'
        | '\u{2E80}'..='\u{2FDF}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3021}'..='\u{303C}'
        | '\u{3041}'..='\u{9FFF}'
        | '\u{A960}'..='\u{A97F}'
        | '\u{AC00}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{1F000}'..='\u{1FAFF}'
        | '\u{20000}'..='\u{3FFFF}'
            if c != '\u{30FB}' =>
        {
            Class::Glyph
        }
        c if c.is_alphanumeric() || unicode_normalization::char::is_combining_mark(c) => Class::Letter,
        _ => Class::Between,
    }
}
