//! Allocations of the shards: none per delivery, and little memory per idle member.
//!
//! The allocator counts only threads with the names of shards, so the clients in this process do not matter.
#![allow(
    clippy::unwrap_used,
    unsafe_code,
    reason = "a test fails by panicking; an allocator is unsafe by its nature"
)]

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use support::{Peer, Running, start_with};

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
        let address = server.address;
        let any = |n: usize| {
            if n % 4 == 3 {
                old_member(address, n)
            } else if n % 4 == 2 {
                addressed_member(address, n)
            } else {
                member(address, n, "lobby")
            }
        };
        let mut members: Vec<Peer> = (0..20).map(any).collect();
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
fn made_by(members: &mut [Peer], talks: u64, burst: u64) -> u64 {
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
    let address = server.address;
    let come =
        |members: std::ops::Range<usize>| -> Vec<Peer> { members.map(|n| member(address, n, &room(n))).collect() };
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
fn start() -> Running {
    start_with(|config| config.server.shards = 1)
}

/// A native member of a room that has read the answer to its join.
fn member(address: SocketAddr, n: usize, room: &str) -> Peer {
    let mut peer = Peer::websocket(address, "/chat");
    peer.send_text(&format!(r#"{{"id":1,"hello":{{"name":"member {n}"}}}}"#));
    peer.send_text(&format!(r#"{{"id":2,"join":{{"room":"{room}"}}}}"#));
    read_until(&mut peer, b"\"joined\"");
    peer
}

/// The same in the older format `communication`, which is in the lobby by its handshake.
fn old_member(address: SocketAddr, n: usize) -> Peer {
    let mut peer = Peer::websocket(address, &format!("/ws/communication?username=member{n}"));
    // {Type: "3"} asks for the list of users; its answer says that the member is there.
    peer.send_text("\n\u{1}3");
    read_until(&mut peer, b"\n\x013");
    peer
}

/// The same in the older format `action`, whose frames hold the name of their receiver.
fn addressed_member(address: SocketAddr, n: usize) -> Peer {
    let mut peer = Peer::websocket(address, "/ws/action");
    let login = format!(r#"{{"seq":"1","action":"login","data":{{"userId":"{n}","appId":1,"groupsId":"1"}}}}"#);
    peer.send_text(&login);
    read_until(&mut peer, br#""action":"login","response":{"code":200"#);
    peer
}

/// The first member says so many things, so many at once; every member reads every one.
fn talk(members: &mut [Peer], talks: u64, burst: u64) {
    for n in 0..talks / burst {
        for m in 0..burst {
            let text = format!("talk {n}.{m} of many.");
            members[0].send_text(&format!(r#"{{"talk":{{"room":"lobby","text":"{text}"}}}}"#));
        }
        let last = format!("talk {n}.{} of many.", burst - 1);
        for member in members.iter_mut() {
            read_until(member, last.as_bytes());
        }
    }
}

/// Reads up to the frame that holds this.
fn read_until(peer: &mut Peer, wanted: &[u8]) {
    while let Some(frame) = peer.frame() {
        if frame.payload.windows(wanted.len()).any(|window| window == wanted) {
            return;
        }
    }
    panic!("closed before {:?}", String::from_utf8_lossy(wanted));
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
