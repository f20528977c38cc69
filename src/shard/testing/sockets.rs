//! The clock and the sockets of the engines under test.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
};

use super::World;
use crate::shard::{connection::write::Socket, engine::Clock};

/// A clock that only tests move. Writes may move it too.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestClock(Rc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    us: Cell<u64>,
    unix_ms: Cell<u64>,
}

impl TestClock {
    pub(crate) fn pass_us(&self, us: u64) {
        self.0.us.set(self.0.us.get() + us);
    }

    pub(crate) fn set_unix_ms(&self, unix_ms: u64) {
        self.0.unix_ms.set(unix_ms);
    }
}

impl Clock for TestClock {
    fn micros(&self) -> u64 {
        self.0.us.get()
    }

    fn unix_ms(&self) -> u64 {
        self.0.unix_ms.get() + self.0.us.get() / 1_000
    }
}

/// A socket that accepts as many bytes as a test allows.
#[derive(Debug)]
pub(crate) struct FakeSocket {
    pub(crate) taken: RefCell<Vec<u8>>,
    pub(crate) room: Cell<usize>,
    /// Whether it has room without reporting that it is writable.
    pub(crate) quiet: Cell<bool>,
    dead: Cell<bool>,
    reset: Cell<bool>,
    writes: Cell<usize>,
    write_cost_us: Cell<u64>,
    clock: TestClock,
}

impl FakeSocket {
    pub(crate) fn new(clock: TestClock) -> Self {
        Self {
            taken: RefCell::default(),
            room: Cell::new(OPEN),
            quiet: Cell::new(false),
            dead: Cell::new(false),
            reset: Cell::new(false),
            writes: Cell::new(0),
            write_cost_us: Cell::new(0),
            clock,
        }
    }
}

impl FakeSocket {
    pub(crate) fn was_reset(&self) -> bool {
        self.reset.get()
    }
}

impl Socket for Rc<FakeSocket> {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.set(self.writes.get() + 1);
        self.clock.pass_us(self.write_cost_us.get());
        if self.dead.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let fits = bytes.len().min(self.room.get());
        if fits == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room.set(self.room.get() - fits);
        self.taken.borrow_mut().extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn reset(&self) {
        self.reset.set(true);
    }
}

/// Unlimited room.
pub(crate) const OPEN: usize = usize::MAX;

impl World {
    /// Lets the socket accept this many bytes from now on.
    pub(crate) fn set_room(&mut self, client: usize, bytes: usize) {
        self.clients[client].socket.room.set(bytes);
        self.clients[client].socket.quiet.set(false);
        self.wake_writer(client);
    }

    /// Lets the socket accept this many more bytes.
    pub(crate) fn add_room(&mut self, client: usize, bytes: usize) {
        let room = self.clients[client].socket.room.get();
        self.set_room(client, room.saturating_add(bytes));
    }

    /// As [`World::add_room`], but the socket does not report that it is writable.
    pub(crate) fn add_room_quietly(&mut self, client: usize, bytes: usize) {
        let socket = &self.clients[client].socket;
        socket.room.set(socket.room.get().saturating_add(bytes));
        socket.quiet.set(true);
    }

    pub(crate) fn write_cost_us(&mut self, client: usize, us: u64) {
        self.clients[client].socket.write_cost_us.set(us);
    }

    pub(crate) fn wake_writer(&mut self, client: usize) {
        let socket = &self.clients[client].socket;
        if socket.room.get() == 0 || socket.quiet.get() {
            return;
        }
        let id = self.clients[client].id;
        self.turn(usize::from(id.shard().0), |engine| engine.writable(id));
    }

    pub(super) fn is_blocked(&mut self, client: usize) -> bool {
        let id = self.id(client);
        self.engine(client)
            .connections()
            .get(id)
            .is_some_and(|connection| connection.blocked())
    }

    /// Makes all writes fail from now on.
    pub(crate) fn break_socket(&mut self, client: usize) {
        self.clients[client].socket.dead.set(true);
    }

    /// The peer closes without a close frame.
    pub(crate) fn hang_up(&mut self, client: usize) {
        let id = self.clients[client].id;
        self.turn(usize::from(id.shard().0), |engine| engine.hung_up(id));
    }

    pub(crate) fn was_reset(&self, client: usize) -> bool {
        self.clients[client].socket.was_reset()
    }

    pub(crate) fn was_shut(&self, client: usize) -> bool {
        self.clients[client].shut
    }

    pub(crate) fn writes(&self, client: usize) -> usize {
        self.clients[client].socket.writes.get()
    }
}
