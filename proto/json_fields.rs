//! The JSON form of single fields of Plaza's own protocol, for the generated types of the server and of the client.

/// Whether a field may be left out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The enum `Kind` as a word. A kind without a word in this version stays a number.
pub(crate) mod kind {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    /// The words, indexed by their number.
    pub(crate) const WORDS: [&str; 4] = ["text", "image", "video", "voice"];

    pub(crate) fn serialize<S: Serializer>(kind: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        match usize::try_from(*kind).ok().and_then(|place| WORDS.get(place)) {
            Some(word) => serializer.serialize_str(word),
            None => serializer.serialize_i32(*kind),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        deserializer.deserialize_any(WordOrNumber)
    }

    struct WordOrNumber;

    impl de::Visitor<'_> for WordOrNumber {
        type Value = i32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text, image, video, voice, or the number of a kind")
        }

        fn visit_str<E: de::Error>(self, word: &str) -> Result<i32, E> {
            WORDS
                .iter()
                .zip(0..)
                .find_map(|(known, number)| (*known == word).then_some(number))
                .ok_or_else(|| E::invalid_value(de::Unexpected::Str(word), &self))
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<i32, E> {
            i32::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<i32, E> {
            i32::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
        }
    }
}
