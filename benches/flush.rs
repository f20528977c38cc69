//! The cost of a delivery in a shard: one message, or 16, read, numbered and written to every member of a room. Three variants: a sink
//! (the shard's own part), real sockets (with the kernel's part), and a bare loop of `send()` over the same sockets (the floor).
//!
//! `cargo bench --bench flush`. Between iterations the bench empties the readers' side, which is not measured.

use std::{
    hint::black_box,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plaza::shard::bench::{Room, Sink};

/// Members of a room without sockets.
const MEMBERS: usize = 1_000;
/// Members with real sockets: two files each, and `ulimit -n` is often 1,024.
const SOCKETS: usize = 400;
/// Messages of one flush.
const TALKS: [usize; 2] = [1, 16];

struct Nowhere;

impl Sink for Nowhere {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(black_box(bytes).len())
    }
}

struct Wire(TcpStream);

impl Sink for Wire {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }
}

fn flush(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flush");
    for talks in TALKS {
        group.throughput(Throughput::Elements((talks * MEMBERS) as u64));
        let mut room = Room::new((0..MEMBERS).map(|_| Nowhere));
        group.bench_function(BenchmarkId::new("sink", talks), |bencher| {
            bencher.iter(|| {
                for _ in 0..talks {
                    room.talk();
                }
                assert_eq!(room.flush(), (talks * MEMBERS) as u64);
            });
        });

        group.throughput(Throughput::Elements((talks * SOCKETS) as u64));
        let (ours, theirs) = pairs();
        let mut room = Room::new(ours.into_iter().map(Wire));
        empty(&theirs);
        group.bench_function(BenchmarkId::new("sockets", talks), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let began = Instant::now();
                    for _ in 0..talks {
                        room.talk();
                    }
                    assert_eq!(room.flush(), (talks * SOCKETS) as u64);
                    spent += began.elapsed();
                    empty(&theirs);
                }
                spent
            });
        });
        drop(room);

        let (ours, theirs) = pairs();
        // As large as the frame of such a message.
        let frame = [0_u8; 120];
        group.bench_function(BenchmarkId::new("send per member", talks), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let began = Instant::now();
                    for _ in 0..talks {
                        for mut member in &ours {
                            assert_eq!(member.write(&frame).ok(), Some(frame.len()));
                        }
                    }
                    spent += began.elapsed();
                    empty(&theirs);
                }
                spent
            });
        });
    }
    group.finish();
}

/// Connected, non-blocking sockets on the loopback.
fn pairs() -> (Vec<TcpStream>, Vec<TcpStream>) {
    let connected = || -> io::Result<_> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let pair = || {
            let theirs = TcpStream::connect(address)?;
            let (ours, _) = listener.accept()?;
            for stream in [&ours, &theirs] {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
            }
            Ok((ours, theirs))
        };
        (0..SOCKETS).map(|_| pair()).collect()
    };
    connected().unwrap_or_else(|error| panic!("{SOCKETS} pairs of sockets: {error}; see `ulimit -n`"))
}

/// Reads and discards what has arrived.
fn empty(streams: &[TcpStream]) {
    let mut buffer = [0; 64 * 1024];
    for mut stream in streams {
        while matches!(stream.read(&mut buffer), Ok(read) if read == buffer.len()) {}
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = flush
}
criterion_main!(benches);
