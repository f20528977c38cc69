//! What the shards allocate, counted by an allocator: nothing per delivery, and little per idle member.
//!
//! Only the threads of shards are counted, told by their names, so that the clients in this process do not matter.
#![allow(
    clippy::unwrap_used,
    unsafe_code,
    reason = "a test fails by panicking; an allocator is unsafe by its nature"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use plaza::{codec::DIALECTS, config::Config, observe::Metrics, server::Server};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations made by shards, and the bytes of them that live.
static MADE: AtomicU64 = AtomicU64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);
/// Live allocations by size, in steps of 16 bytes.
static LIVE: [AtomicI64; 256] = [const { AtomicI64::new(0) }; 256];
/// The tests count the same numbers, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

thread_local! {
    /// How often this thread has asked, and whether it is a shard's.
    static KIND: Cell<(u8, bool)> = const { Cell::new((0, false)) };
}

// SAFETY: every call is passed on to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_shard() {
            MADE.fetch_add(1, Relaxed);
            count(layout.size(), 1);
        }
        // SAFETY: the caller's promise is the one that `alloc` wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_shard() {
            count(layout.size(), -1);
        }
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(size: usize, by: i64) {
    LIVE_BYTES.fetch_add(by * size as i64, Relaxed);
    if let Some(slot) = LIVE.get(size.div_ceil(16)) {
        slot.fetch_add(by, Relaxed);
    }
}

/// Whether this thread is called `shard-…`. A thread gets its name before it runs anything, but not before its first
/// allocation, so the first few answers are not kept.
fn is_shard() -> bool {
    KIND.try_with(|kind| {
        let (asked, known) = kind.get();
        if asked >= 32 {
            return known;
        }
        let mut name = [0_u8; 16];
        // SAFETY: PR_GET_NAME writes at most 16 bytes, the name and its end, to where it is told (prctl(2)).
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        let known = name.starts_with(b"shard-");
        kind.set((asked + 1, known));
        known
    })
    .unwrap_or(false)
}

#[test]
fn deliveries_allocate_nothing() {
    const TALKS: u64 = 400;
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // One by one, where every talk has a flush of its own, and sixteen at once, where a flush carries several.
    for burst in [1, 16] {
        let server = start();
        let address = server.addresses()[0];
        let any = |n: usize| {
            if n % 4 == 3 {
                old_member(address, n)
            } else if n % 4 == 2 {
                addressed_member(address, n)
            } else {
                member(address, n, "lobby")
            }
        };
        let mut members: Vec<TcpStream> = (0..20).map(any).collect();
        let with_few = made_by(&mut members, TALKS, burst);
        members.extend((20..200).map(any));
        let with_many = made_by(&mut members, TALKS, burst);
        println!("{burst} at once: {with_few} allocations for {TALKS} talks with 20 members, {with_many} with 200");
        // A talk is at least a text, so a count below this would mean that the wrong threads are counted.
        assert!(
            with_few > TALKS,
            "{with_few} allocations for {TALKS} talks: nothing is counted"
        );
        // A talk costs its text, its event, its frames and its way. 180 members more are 72,000 deliveries more: if only one
        // in a hundred of them allocated, this would be seen. What is allowed is the tick of the clock, and that bursts do
        // not fall into the same flushes each time.
        assert!(
            with_many < with_few + TALKS,
            "{burst} at once: {with_few} with 20 members, {with_many} with 200"
        );
    }
}

/// Allocations of the shard while so many things are said, when it is warm.
fn made_by(members: &mut [TcpStream], talks: u64, burst: u64) -> u64 {
    talk(members, 64, burst);
    let before = MADE.load(Relaxed);
    talk(members, talks, burst);
    MADE.load(Relaxed) - before
}

#[test]
fn an_idle_member_lives_in_a_few_small_allocations() {
    let each = idle_bytes("member", |_| "lobby".to_owned());
    assert!(each < 1_000.0, "{each:.0} bytes per idle member");
}

#[test]
fn an_idle_room_of_three_lives_in_a_few_small_allocations() {
    let alone = idle_bytes("member of the lobby", |_| "lobby".to_owned());
    let each = 3.0 * (idle_bytes("member of a room of three", |n| format!("room {}", n / 3)) - alone);
    println!("{each:.0} bytes per idle room of three, beside its members");
    assert!(each < 1_000.0, "{each:.0} bytes per idle room of three");
}

/// Bytes that each of a thousand idle members adds to a thousand that are there, with the allocations that they are.
fn idle_bytes(what: &str, room: impl Fn(usize) -> String) -> f64 {
    const MEMBERS: usize = 999;
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = start();
    let address = server.addresses()[0];
    let come =
        |members: std::ops::Range<usize>| -> Vec<TcpStream> { members.map(|n| member(address, n, &room(n))).collect() };
    let first = come(0..MEMBERS);
    let (bytes, sizes) = settled();
    let second = come(MEMBERS..2 * MEMBERS);
    let (more_bytes, more_sizes) = settled();
    for (step, (before, after)) in sizes.iter().zip(&more_sizes).enumerate() {
        if (after - before).unsigned_abs() as usize > MEMBERS / 10 {
            println!(
                "up to {:>5} bytes: {:>6.2} per {what}",
                step * 16,
                (after - before) as f64 / MEMBERS as f64
            );
        }
    }
    let each = (more_bytes - bytes) as f64 / MEMBERS as f64;
    println!("{each:.0} bytes per idle {what}");
    drop((first, second));
    each
}

/// One shard, so that every member is on it.
fn start() -> Server {
    let mut config = Config::default();
    config.server.listen = vec![plaza::config::Listen {
        address: ([127, 0, 0, 1], 0).into(),
        ..config.server.listen[0]
    }];
    config.server.admin = None;
    config.server.memory = true;
    config.server.shards = 1;
    let names: Vec<&'static str> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
    Server::start(&config, &Metrics::new(1, &names)).unwrap()
}

/// A native member of a room that has read the answer to its join.
fn member(address: SocketAddr, n: usize, room: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    read_until(&mut stream, b"\r\n\r\n");
    send(&mut stream, &format!(r#"{{"id":1,"hello":{{"name":"member {n}"}}}}"#));
    send(&mut stream, &format!(r#"{{"id":2,"join":{{"room":"{room}"}}}}"#));
    read_until(&mut stream, b"\"joined\"");
    stream
}

/// The same in the older format `communication`, which is in the lobby by its handshake.
fn old_member(address: SocketAddr, n: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!(
        "GET /ws/communication?username=member{n} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    read_until(&mut stream, b"\r\n\r\n");
    // {Type: "3"} asks for the list of users; its answer says that the member is there.
    send(&mut stream, "\n\u{1}3");
    read_until(&mut stream, b"\n\x013");
    stream
}

/// The same in the older format `action`, whose frames hold the name of their receiver.
fn addressed_member(address: SocketAddr, n: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!(
        "GET /ws/action HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    read_until(&mut stream, b"\r\n\r\n");
    let login = format!(r#"{{"seq":"1","action":"login","data":{{"userId":"{n}","appId":1,"groupsId":"1"}}}}"#);
    send(&mut stream, &login);
    read_until(&mut stream, br#""action":"login","response":{"code":200"#);
    stream
}

/// The first member says so many things, so many at once; every member reads every one.
fn talk(members: &mut [TcpStream], talks: u64, burst: u64) {
    for n in 0..talks / burst {
        for m in 0..burst {
            let text = format!("talk {n}.{m} of many.");
            send(
                &mut members[0],
                &format!(r#"{{"talk":{{"room":"lobby","text":"{text}"}}}}"#),
            );
        }
        let last = format!("talk {n}.{} of many.", burst - 1);
        for member in members.iter_mut() {
            read_until(member, last.as_bytes());
        }
    }
}

/// Sends a masked text frame, with a mask of zeroes.
fn send(stream: &mut TcpStream, text: &str) {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    stream.write_all(&frame).unwrap();
}

fn read_until(stream: &mut TcpStream, wanted: &[u8]) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.windows(wanted.len()).any(|window| window == wanted) {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed before {:?}", String::from_utf8_lossy(wanted));
        seen.extend_from_slice(&buffer[..read]);
    }
}

/// What lives when nothing changes any more.
fn settled() -> (i64, Vec<i64>) {
    let end = Instant::now() + Duration::from_secs(20);
    let mut last = (-1, Vec::new());
    loop {
        let now = (
            LIVE_BYTES.load(Relaxed),
            LIVE.iter().map(|slot| slot.load(Relaxed)).collect(),
        );
        if now == last || Instant::now() > end {
            return now;
        }
        last = now;
        // Long enough for a tick of the shard's wheel, which is what moves without being asked.
        std::thread::sleep(Duration::from_millis(150));
    }
}
