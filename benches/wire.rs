//! The cost of the frame reader: 64-byte messages in reads of 64 KiB, whole, in fragments, and torn by the end of a read.
//!
//! `cargo bench --bench wire`. The reader unmasks in place, so each iteration has its own copy of the bytes, which is not measured.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use plaza::wire::{Flow, FrameReader, Incoming, Progress, ReaderLimits};

const LIMITS: ReaderLimits = ReaderLimits {
    message_bytes: 64 * 1024,
    fragments: 1024,
    text_is_utf8: true,
};
const READ_BYTES: usize = 64 * 1024;
const TEXT: [u8; 64] = [b'x'; 64];

fn wire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire");
    let whole = frame(0x81, &TEXT);
    let fragmented = [frame(0x01, &TEXT[..32]), frame(0x80, &TEXT[32..])].concat();
    for (name, message) in [("whole", whole), ("two_fragments", fragmented)] {
        let input = message.repeat(READ_BYTES / message.len());
        let messages = READ_BYTES / message.len();
        group.throughput(Throughput::Elements(messages as u64));
        group.bench_function(format!("read_64_byte_messages/{name}"), |bencher| {
            let mut reader = FrameReader::new(LIMITS);
            bencher.iter_batched_ref(
                || input.clone(),
                |input| assert_eq!(count(&mut reader, input), messages),
                BatchSize::SmallInput,
            );
        });
    }

    // One message of 64 bytes whose second half arrives with the next read: the cost of the reader's own buffer.
    let torn = frame(0x81, &TEXT);
    group.throughput(Throughput::Elements(1));
    group.bench_function("read_64_byte_messages/torn", |bencher| {
        let mut reader = FrameReader::new(LIMITS);
        bencher.iter_batched_ref(
            || (torn[..38].to_vec(), torn[38..].to_vec()),
            |(front, back)| assert_eq!(count(&mut reader, front) + count(&mut reader, back), 1),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn count(reader: &mut FrameReader, input: &mut [u8]) -> usize {
    let mut messages = 0;
    let progress = reader.read(input, |incoming| {
        if let Incoming::Message(message) = black_box(incoming) {
            black_box(message);
            messages += 1;
        }
        Flow::Go
    });
    assert_eq!(progress, Ok(Progress::NeedMore));
    messages
}

/// A masked frame of at most 125 bytes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![first, 0x80 | payload.len() as u8];
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

criterion_group!(benches, wire);
criterion_main!(benches);
