//! The wire encodings of an event: one for each dialect and option set, counted at compile time from the table of dialects.
//!
//! An event has one place for the frames of each encoding, so this number must never lag behind the table.

use super::table::TABLE;

/// How a member sees events: a dialect, and one of that dialect's encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Encoding(u8);

/// Encodings of all dialects together.
pub const ENCODINGS: usize = total(TABLE.len());

/// The first encoding of each dialect.
static FIRST: [u8; TABLE.len()] = {
    let mut first = [0; TABLE.len()];
    let mut dialect = 0;
    while dialect < first.len() {
        first[dialect] = total(dialect) as u8;
        dialect += 1;
    }
    first
};

/// The dialect of each encoding.
static DIALECT: [u8; ENCODINGS] = {
    let mut of = [0; ENCODINGS];
    let mut dialect = 0;
    while dialect < TABLE.len() {
        let mut place = total(dialect);
        while place < total(dialect + 1) {
            of[place] = dialect as u8;
            place += 1;
        }
        dialect += 1;
    }
    of
};

impl Encoding {
    /// The encoding `within` a dialect, both by number. A number that the table does not have is the dialect's last.
    pub fn new(dialect: usize, within: usize) -> Self {
        let dialect = dialect.min(TABLE.len() - 1);
        let last = TABLE[dialect].1 - 1;
        debug_assert!(within <= last, "dialect {dialect} has {} encodings", last + 1);
        Self(FIRST[dialect] + within.min(last) as u8)
    }

    /// Its place among all encodings.
    pub fn place(self) -> usize {
        usize::from(self.0)
    }

    /// The number of its dialect.
    pub fn dialect(self) -> usize {
        DIALECT.get(self.place()).map_or(0, |dialect| usize::from(*dialect))
    }

    /// Its number within its dialect.
    pub fn within(self) -> usize {
        self.place() - FIRST.get(self.dialect()).map_or(0, |first| usize::from(*first))
    }
}

/// In how many encodings the dialect with this number shows events.
pub fn encodings_of(dialect: usize) -> usize {
    TABLE.get(dialect).map_or(0, |(_, encodings)| *encodings)
}

/// Encodings of the dialects before this one.
const fn total(before: usize) -> usize {
    let mut sum = 0;
    let mut dialect = 0;
    while dialect < before {
        let encodings = TABLE[dialect].1;
        assert!(encodings > 0, "a dialect without an encoding shows nothing to anybody");
        sum += encodings;
        dialect += 1;
    }
    fitting(sum)
}

/// A count that [`Encoding`] can number. Evaluated at compile time: a dialect too many does not compile.
const fn fitting(encodings: usize) -> usize {
    assert!(
        encodings <= u8::MAX as usize + 1,
        "more encodings than one byte numbers"
    );
    encodings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_of_the_table_has_a_place_of_its_own() {
        let mut places = Vec::new();
        for dialect in 0..TABLE.len() {
            for within in 0..encodings_of(dialect) {
                let encoding = Encoding::new(dialect, within);
                assert_eq!((encoding.dialect(), encoding.within()), (dialect, within));
                places.push(encoding.place());
            }
        }
        assert_eq!(places, (0..ENCODINGS).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "more encodings than one byte numbers")]
    fn a_dialect_too_many_is_refused() {
        // At compile time this same assertion is an error.
        fitting(257);
    }
}
