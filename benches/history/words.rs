//! Message texts, and searches in them.

use std::sync::Arc;

/// Texts in which some words are common and most are rare, half of them Chinese.
pub(crate) struct Words {
    english: Vec<String>,
    chinese: Vec<String>,
}

impl Words {
    pub(crate) fn new(dice: &mut fastrand::Rng) -> Self {
        let english = (0..20_000)
            .map(|_| (0..dice.usize(2..10)).map(|_| dice.lowercase()).collect())
            .collect();
        let mut glyph = || char::from_u32(0x4E00 + (3_000.0 * dice.f64() * dice.f64()) as u32).unwrap();
        let chinese = (0..20_000).map(|_| [glyph(), glyph()].iter().collect()).collect();
        Self { english, chinese }
    }

    fn word<'w>(words: &'w [String], dice: &mut fastrand::Rng) -> &'w str {
        &words[(words.len() as f64 * dice.f64().powi(4)) as usize]
    }

    pub(crate) fn text(&self, dice: &mut fastrand::Rng) -> Arc<str> {
        let mut text = String::new();
        for _ in 0..dice.usize(3..14) {
            if dice.u8(..2) == 0 {
                text.push_str(Self::word(&self.chinese, dice));
                if dice.u8(..3) == 0 {
                    text.push('的');
                }
            } else {
                text.push(' ');
                text.push_str(Self::word(&self.english, dice));
                text.push(' ');
            }
        }
        text.into()
    }

    /// The search of a round: half of them are of words that are rare, absent or common.
    pub(crate) fn question(&self, round: usize, dice: &mut fastrand::Rng) -> Arc<str> {
        match round % 8 {
            0 => "needle".into(),
            1 => "草堆".into(),
            2 => "absent".into(),
            3 => "的".into(),
            _ => self.query(dice),
        }
    }

    fn query(&self, dice: &mut fastrand::Rng) -> Arc<str> {
        let chinese = Self::word(&self.chinese, dice);
        let english = Self::word(&self.english, dice);
        match dice.u8(..4) {
            0 => chinese.into(),
            1 => english.into(),
            2 => format!("{chinese} {english}").into(),
            _ => format!("{chinese}{}", Self::word(&self.chinese, dice)).into(),
        }
    }
}
