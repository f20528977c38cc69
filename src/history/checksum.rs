//! The checksum that every row carries.

/// A checksum over cells. Each cell's length is part of it, so that rows with different cells never have the same input. Short cells are
/// collected in a buffer first, because one long run is several times faster than one run per cell.
pub(crate) struct Checksum {
    sum: crc32fast::Hasher,
    buffered: [u8; BUFFER_BYTES],
    len: usize,
}

impl Default for Checksum {
    fn default() -> Self {
        Self {
            sum: crc32fast::Hasher::default(),
            buffered: [0; BUFFER_BYTES],
            len: 0,
        }
    }
}

impl Checksum {
    pub(crate) fn number(mut self, number: i64) -> Self {
        self.take(&number.to_le_bytes());
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let mut sum = self.number(bytes.len() as i64);
        sum.take(bytes);
        sum
    }

    pub(crate) fn finish(mut self) -> u32 {
        self.flush();
        self.sum.finalize()
    }

    fn take(&mut self, bytes: &[u8]) {
        if let Some(free) = self.buffered.get_mut(self.len..self.len + bytes.len()) {
            free.copy_from_slice(bytes);
            self.len += bytes.len();
            return;
        }
        self.flush();
        self.sum.update(bytes);
    }

    fn flush(&mut self) {
        if let Some(buffered) = self.buffered.get(..self.len) {
            self.sum.update(buffered);
        }
        self.len = 0;
    }
}

/// Fits a row with a text of usual length.
const BUFFER_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_the_same_however_its_cells_were_gathered() {
        let long = "长".repeat(1_000);
        for text in ["", "short", &long[..BUFFER_BYTES / 3 * 3], &long] {
            let buffered = Checksum::default().number(7).text(text).number(-1).text("end").finish();
            let mut plain = Vec::new();
            plain.extend_from_slice(&7_i64.to_le_bytes());
            plain.extend_from_slice(&(text.len() as i64).to_le_bytes());
            plain.extend_from_slice(text.as_bytes());
            plain.extend_from_slice(&(-1_i64).to_le_bytes());
            plain.extend_from_slice(&3_i64.to_le_bytes());
            plain.extend_from_slice(b"end");
            assert_eq!(buffered, crc32fast::hash(&plain), "{} bytes", text.len());
        }
    }
}
