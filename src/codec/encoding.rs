//! Numbers for encodings: one for each dialect and option set, counted at compile time from the table of dialects.
//!
//! An event has one slot for the frames of each encoding. [`ENCODINGS`] is derived from the table, so it cannot lag behind it, and a
//! table with more encodings than a byte can number does not compile.

use super::table::{DIALECTS, DialectId};

/// How a member sees events: a dialect, and one of that dialect's encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Encoding(u8);

/// The number of encodings of all dialects.
pub const ENCODINGS: usize = before(DIALECTS.len());

/// The dialect of each encoding.
static DIALECT: [DialectId; ENCODINGS] = {
    let mut of = [DialectId::Native; ENCODINGS];
    let mut dialect = 0;
    while dialect < DIALECTS.len() {
        let mut place = before(dialect);
        while place < before(dialect + 1) {
            of[place] = DIALECTS[dialect];
            place += 1;
        }
        dialect += 1;
    }
    of
};

impl Encoding {
    /// The encoding `within` a dialect. A number that is too large selects the last one.
    pub fn new(dialect: DialectId, within: usize) -> Self {
        let last = dialect.encodings() - 1;
        debug_assert!(within <= last, "{dialect:?} has {} encodings", last + 1);
        Self((before(dialect as usize) + within.min(last)) as u8)
    }

    pub fn place(self) -> usize {
        usize::from(self.0)
    }

    pub fn dialect(self) -> DialectId {
        DIALECT[self.place()]
    }

    pub fn within(self) -> usize {
        self.place() - before(self.dialect() as usize)
    }
}

/// The number of encodings of the dialects before this one in the table.
const fn before(place: usize) -> usize {
    let mut sum = 0;
    let mut dialect = 0;
    while dialect < place {
        let encodings = DIALECTS[dialect].encodings();
        assert!(encodings > 0, "a dialect needs an encoding");
        sum += encodings;
        dialect += 1;
    }
    fitting(sum)
}

/// A count that [`Encoding`] can number. Evaluated at compile time: with too many dialects the table does not compile.
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
        for dialect in DIALECTS {
            for within in 0..dialect.encodings() {
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
