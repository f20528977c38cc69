//! Any split of the same bytes gives the same messages and the same end, memory follows the received bytes, and fastwebsockets reads
//! the same where it is right. The first 4 bytes choose the limits and the splits; the rest is the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plaza::wire::{ReaderLimits, properties};

fuzz_target!(|input: &[u8]| {
    let Some((&[size, fragments, utf8, seed], stream)) = input.split_first_chunk() else { return };
    let limits = ReaderLimits {
        // Up to 65 KiB, so that every form of the length can be right.
        message_bytes: usize::from(size) * 260,
        fragments: usize::from(fragments % 16),
        text_is_utf8: utf8 % 2 == 0,
    };
    properties::check(stream, limits, u64::from(seed));
});
