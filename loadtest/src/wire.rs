//! The part of protobuf that the generator needs to write a message and recognise a reply: varints and length-delimited fields.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The bytes; empty for a number.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Varint(_) => &[],
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The number; 0 for bytes.
    pub fn number(self) -> u64 {
        match self {
            Self::Varint(number) => number,
            Self::Bytes(_) => 0,
        }
    }
}

/// The fields of a message in their order. Ends at the first invalid byte.
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a [u8]);

pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields(message)
}

impl<'a> Fields<'a> {
    /// The last value of a field, as protobuf defines.
    pub fn last_of(self, number: u64) -> Option<Value<'a>> {
        self.filter(|(found, _)| *found == number)
            .map(|(_, value)| value)
            .last()
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

pub fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3);
    put_varint(out, number);
}

pub fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_rubbish_ends_the_walk() {
        let mut message = Vec::new();
        put_number(&mut message, 1, 300);
        put_bytes(&mut message, 5, b"text");
        assert_eq!(
            fields(&message).collect::<Vec<_>>(),
            [(1, Value::Varint(300)), (5, Value::Bytes(b"text"))],
        );
        assert_eq!(fields(&message).last_of(5).map(Value::bytes), Some(&b"text"[..]));
        assert_eq!(fields(&[0x0a, 0x7f, 1]).count(), 0);
        assert_eq!(fields(&[0xff; 20]).count(), 0);
    }
}
