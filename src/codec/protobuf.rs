//! Walks the fields of a protobuf message without decoding it.
//!
//! Callers count repeated fields before these take memory, and find the id of a request even if the rest is invalid. The walk
//! allocates nothing, does not enter nested messages, and ends at a group, which none of the schemas has.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

/// A field: its number in the schema, and its value.
pub(super) type Field<'a> = (u32, Value<'a>);

/// The value of a field, by its wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    /// A string, bytes or a message.
    Bytes(&'a [u8]),
    /// Four or eight bytes.
    Fixed,
}

/// The offset of a truncated or invalid field, which ends the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Torn {
    pub(super) at: usize,
}

/// The fields of one message in wire order, without those of nested messages.
pub(super) struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    fn field(&mut self) -> Option<Field<'a>> {
        let key = u32::try_from(self.varint()?).ok()?;
        let number = key >> 3;
        if number == 0 {
            return None;
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((number, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for place in 0..10 {
            let byte = *self.message.get(self.at)?;
            self.at += 1;
            // The tenth byte has room for one bit.
            if place == 9 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let bytes = self.message.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Torn>;

    fn next(&mut self) -> Option<Self::Item> {
        let begin = self.at;
        if begin >= self.message.len() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.at = self.message.len();
        }
        Some(field.ok_or(Torn { at: begin }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_walked_as_prost_decodes_them() {
        let message = b"\x0a\x03\xe5\xbc\xa0\x10\x96\x01\x1d\x01\x02\x03\x04\x21\x01\x02\x03\x04\x05\x06\x07\x08";
        let fields: Vec<_> = Fields::of(message).collect::<Result<_, _>>().unwrap();
        assert_eq!(
            fields,
            [
                (1, Value::Bytes("张".as_bytes())),
                (2, Value::Varint(150)),
                (3, Value::Fixed),
                (4, Value::Fixed)
            ]
        );
    }

    #[test]
    fn a_torn_field_is_the_last() {
        let fields: Vec<_> = Fields::of(b"\x08\x01\x0a\x05ab").collect();
        assert_eq!(fields, [Ok((1, Value::Varint(1))), Err(Torn { at: 2 })]);
    }
}
