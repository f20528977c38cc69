//! The times at which a peer last gave a sign of life, in milliseconds of the shard's clock. This file reads no clock.

#[derive(Debug)]
pub(super) struct Liveness {
    opened_ms: u64,
    /// When the last bytes arrived.
    heard_ms: u64,
    /// When the next ping is due.
    ping_ms: u64,
    /// When the unfinished message in the reader began; 0: there is none.
    unfinished_ms: u64,
    /// When the full socket last accepted bytes, which shows that the peer reads; whole seconds, rounded up.
    taken_s: u32,
}

impl Liveness {
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            opened_ms: now_ms,
            heard_ms: now_ms,
            ping_ms: u64::MAX,
            unfinished_ms: 0,
            taken_s: 0,
        }
    }

    pub(super) fn opened_ms(&self) -> u64 {
        self.opened_ms
    }

    pub(super) fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    pub(super) fn ping_ms(&self) -> u64 {
        self.ping_ms
    }

    /// When the peer last gave a sign of life: bytes arrived, or the full socket accepted some.
    pub(super) fn alive_ms(&self) -> u64 {
        self.heard_ms.max(u64::from(self.taken_s) * 1_000)
    }

    pub(super) fn unfinished_since_ms(&self) -> Option<u64> {
        (self.unfinished_ms > 0).then_some(self.unfinished_ms)
    }

    pub(super) fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// Records that the full socket accepted bytes.
    pub(super) fn took(&mut self, now_ms: u64) {
        self.taken_s = seconds(now_ms);
    }

    pub(super) fn ping_at(&mut self, at_ms: u64) {
        self.ping_ms = at_ms;
    }

    /// Records, after a read, whether a message is unfinished and whether this read finished one. Returns whether a message is
    /// unfinished now and none was before.
    pub(super) fn note_unfinished(&mut self, unfinished: bool, finished: bool, now_ms: u64) -> bool {
        let began = self.unfinished_ms;
        self.unfinished_ms = match unfinished {
            false => 0,
            // A new message began in this read.
            true if finished || began == 0 => now_ms.max(1),
            true => began,
        };
        began == 0 && unfinished
    }

    /// Restarts the peer's silence at `now_ms`, because the connection was not read until now.
    pub(super) fn restart_silence(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        if self.unfinished_ms > 0 {
            self.unfinished_ms = now_ms;
        }
    }

    /// Moves all times forward after a stall of the shard; the time of the opening only while the connection has no name.
    pub(super) fn discount_stall(&mut self, later: impl Fn(&mut u64), unnamed: bool) {
        let mut taken_ms = u64::from(self.taken_s) * 1_000;
        later(&mut taken_ms);
        self.taken_s = seconds(taken_ms);
        later(&mut self.heard_ms);
        if self.unfinished_ms > 0 {
            later(&mut self.unfinished_ms);
        }
        if unnamed {
            later(&mut self.opened_ms);
        }
    }
}

fn seconds(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_takes_bytes_is_alive_though_it_sends_none() {
        let mut liveness = Liveness::new(1_000);
        liveness.took(5_500);
        assert_eq!((liveness.alive_ms(), liveness.heard_ms()), (6_000, 1_000));
        liveness.heard(7_000);
        assert_eq!(liveness.alive_ms(), 7_000);
    }

    #[test]
    fn each_unfinished_message_has_its_own_beginning() {
        let mut liveness = Liveness::new(0);
        assert!(liveness.note_unfinished(true, false, 10));
        assert!(!liveness.note_unfinished(true, false, 20), "the same message");
        assert_eq!(liveness.unfinished_since_ms(), Some(10));
        assert!(!liveness.note_unfinished(true, true, 30), "another one");
        assert_eq!(liveness.unfinished_since_ms(), Some(30));
        liveness.note_unfinished(false, true, 40);
        assert_eq!(liveness.unfinished_since_ms(), None);
    }
}
