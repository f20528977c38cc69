//! The message log: all messages in rooms, one JSON object per line.
//!
//! Invariants: [`MessageLog::record`] never blocks and never fails; no text can forge a line; messages that could not be written are
//! counted. The log never contains direct messages.

use std::{
    fmt::Write as _,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam::channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TryRecvError, bounded, never, select};
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

use super::{
    alive::{Need, Watch},
    clock::rfc3339,
};
use crate::{
    chat::{ChatMessage, MessageKind, RoomName},
    limits,
};

/// Accepts messages for the log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MessageLog {
    entries: Sender<Entry>,
    waiting_bytes: Arc<AtomicUsize>,
    dropped: Counter,
}

#[derive(Debug)]
pub struct MessageLogThread {
    requests: Sender<Request>,
    /// Never sends: it disconnects when the thread ends.
    ended: Receiver<()>,
    watch: Watch,
}

#[derive(Debug)]
struct Entry {
    room: RoomName,
    message: ChatMessage,
}

enum Request {
    /// Write all queued messages, then answer.
    Flush(Sender<()>),
    /// Write all queued messages, then end.
    Finish,
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    room: &'a str,
    seq: u64,
    from: &'a str,
    session: String,
    kind: &'static str,
    text: &'a str,
}

impl MessageLog {
    /// Starts the thread that writes to `file`. Each write has whole lines.
    pub fn start(file: impl Write + Send + 'static, dropped: Counter) -> io::Result<(Self, MessageLogThread)> {
        let (entries, waiting) = bounded(limits::MESSAGE_LOG_LINES);
        let (requests, asked) = bounded(1);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            waiting,
            asked,
            waiting_bytes: waiting_bytes.clone(),
            dropped: dropped.clone(),
            file,
            batch: String::new(),
            batch_lines: 0,
        };
        let (ending, ended) = bounded(0);
        let (alive, watch) = Watch::over(
            "the message log's thread",
            Need::Useful("nothing is written into the message log"),
        );
        thread::Builder::new().name("message-log".to_owned()).spawn(move || {
            let _alive = alive;
            writer.run();
            drop(ending);
        })?;
        let log = Self {
            entries,
            waiting_bytes,
            dropped,
        };
        Ok((log, MessageLogThread { requests, ended, watch }))
    }

    /// Records a message, or counts it as dropped if the disk is too far behind.
    pub fn record(&self, room: &RoomName, message: &ChatMessage) {
        let bytes = message.text.len();
        // Relaxed: concurrent calls may exceed the bound by a few texts.
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) > limits::MESSAGE_LOG_BYTES {
            self.drop_line(bytes);
            return;
        }
        let entry = Entry {
            room: room.clone(),
            message: message.clone(),
        };
        if self.entries.try_send(entry).is_err() {
            self.drop_line(bytes);
        }
    }

    fn drop_line(&self, bytes: usize) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.dropped.inc();
    }
}

impl MessageLogThread {
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Waits at most this long until everything recorded before is in the file. Returns whether it is.
    pub fn flush(&self, within: Duration) -> bool {
        let (done, is_done) = bounded(1);
        self.requests.send_timeout(Request::Flush(done), within).is_ok() && is_done.recv_timeout(within).is_ok()
    }

    /// Writes everything recorded, and ends the thread. Returns whether that finished in time. Later messages are dropped and counted.
    pub fn finish(self, within: Duration) -> bool {
        match self.requests.send_timeout(Request::Finish, within) {
            Ok(()) => self.ended.recv_timeout(within) == Err(RecvTimeoutError::Disconnected),
            Err(SendTimeoutError::Disconnected(_)) => true,
            Err(SendTimeoutError::Timeout(_)) => false,
        }
    }
}

struct Writer<W> {
    waiting: Receiver<Entry>,
    asked: Receiver<Request>,
    waiting_bytes: Arc<AtomicUsize>,
    dropped: Counter,
    file: W,
    batch: String,
    batch_lines: u64,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        loop {
            let request = select! {
                recv(self.waiting) -> entry => match entry {
                    Ok(entry) => {
                        self.take(&entry);
                        // Waits briefly so that more messages fit into one write, because each wake-up costs time.
                        self.pause()
                    }
                    // No recorder is left, so only a request can arrive.
                    Err(_) => {
                        self.waiting = never();
                        None
                    }
                },
                recv(self.asked) -> request => request.ok().or(Some(Request::Finish)),
            };
            self.take_all();
            self.write();
            match request {
                Some(Request::Flush(done)) => {
                    // The caller may have stopped waiting.
                    let _ = done.try_send(());
                }
                Some(Request::Finish) => {
                    self.dropped.inc_by(self.waiting.len() as u64);
                    return;
                }
                None => {}
            }
        }
    }

    fn pause(&self) -> Option<Request> {
        match self.asked.recv_timeout(limits::MESSAGE_LOG_PACE) {
            Ok(request) => Some(request),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Request::Finish),
        }
    }

    fn take_all(&mut self) {
        // A flush covers no more than the queue had when it was requested.
        for _ in 0..limits::MESSAGE_LOG_LINES {
            match self.waiting.try_recv() {
                Ok(entry) => self.take(&entry),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, entry: &Entry) {
        self.waiting_bytes
            .fetch_sub(entry.message.text.len(), Ordering::Relaxed);
        match line(entry) {
            Ok(line) => {
                self.batch.push_str(&line);
                self.batch.push('\n');
                self.batch_lines += 1;
            }
            Err(_) => {
                self.dropped.inc();
            }
        }
        if self.batch.len() >= BATCH_BYTES {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.batch_lines > 0 && self.file.write_all(self.batch.as_bytes()).is_err() {
            self.dropped.inc_by(self.batch_lines);
        }
        self.batch.clear();
        self.batch_lines = 0;
    }
}

/// The line of an entry, without its line break.
fn line(entry: &Entry) -> serde_json::Result<String> {
    let Entry { room, message } = entry;
    let line = serde_json::to_string(&Line {
        at: rfc3339(message.at),
        room: room.as_str(),
        seq: message.seq,
        from: message.from.as_str(),
        session: message.session.to_string(),
        kind: match message.kind {
            MessageKind::Text => "text",
            MessageKind::Image => "image",
            MessageKind::Video => "video",
            MessageKind::Voice => "voice",
        },
        text: &message.text,
    })?;
    Ok(escape(line))
}

/// Escapes the characters that JSON leaves alone but that reverse or hide text on a terminal, and control characters from U+007F on. JSON
/// has these only inside strings.
fn escape(line: String) -> String {
    if !line.contains(misleading) {
        return line;
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if misleading(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn misleading(c: char) -> bool {
    matches!(c,
        '\u{7F}'..='\u{9F}' | '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// A batch of this size is written at once. It holds a few hundred short messages.
const BATCH_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::chat::{SessionTag, UserId, UserName};

    /// No working machine takes longer.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// A disk that blocks until the test releases it.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn message(seq: u64, text: &str) -> ChatMessage {
        ChatMessage {
            epoch: 1,
            seq,
            prev: seq - 1,
            at: 1_795_212_903_042,
            from: UserName::parse("张三").unwrap(),
            user: UserId::of_name(&UserName::parse("张三").unwrap()),
            session: SessionTag(0xAB),
            text: text.into(),
            kind: MessageKind::Text,
            echo: None,
        }
    }

    #[test]
    fn a_message_is_one_line_that_says_who_where_and_when() {
        let file = Shared::default();
        let (log, thread) = MessageLog::start(file.clone(), Counter::default()).unwrap();
        log.record(&RoomName::lobby(), &message(7, "你好 \"all\""));
        assert!(thread.flush(PATIENCE));
        assert_eq!(
            file.text(),
            "{\"at\":\"2026-11-20T22:15:03.042Z\",\"room\":\"lobby\",\"seq\":7,\"from\":\"张三\",\"session\":\"000000ab\",\
             \"kind\":\"text\",\"text\":\"你好 \\\"all\\\"\"}\n"
        );
        log.record(&RoomName::lobby(), &message(8, "last"));
        assert!(thread.finish(PATIENCE));
        assert_eq!(file.text().lines().count(), 2);
    }

    #[test]
    fn a_text_cannot_forge_a_line_or_turn_it_around() {
        let text = "a\n{\"at\":0}\r\u{1b}[2J\u{7f}\u{85}\u{2028}\u{202e}\u{2066}\u{feff}\u{e0041}é";
        let entry = Entry {
            room: RoomName::lobby(),
            message: message(1, text),
        };
        let line = line(&entry).unwrap();
        assert!(line.chars().all(|c| !c.is_control() && !misleading(c)), "{line}");
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["text"], text);
    }

    #[test]
    fn a_disk_that_hangs_blocks_nobody_and_bounds_what_waits() {
        let (release, held) = bounded::<()>(0);
        let dropped = Counter::default();
        let (log, thread) = MessageLog::start(Stuck(held), dropped.clone()).unwrap();
        let text = "x".repeat(16 * 1024);
        let messages = 3 * limits::MESSAGE_LOG_BYTES / text.len();
        for seq in 1..=messages as u64 {
            log.record(&RoomName::lobby(), &message(seq, &text));
        }
        assert!(dropped.get() > 0 && dropped.get() < messages as u64);
        assert!(log.waiting_bytes.load(Ordering::Relaxed) <= limits::MESSAGE_LOG_BYTES + text.len());
        assert!(!thread.flush(Duration::from_millis(10)));
        drop(release);
        assert!(thread.finish(PATIENCE));
        assert_eq!(log.waiting_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_the_disk_refuses_is_counted() {
        let dropped = Counter::default();
        let (log, thread) = MessageLog::start(Broken, dropped.clone()).unwrap();
        for seq in 1..=3 {
            log.record(&RoomName::lobby(), &message(seq, "x"));
        }
        assert!(thread.finish(PATIENCE));
        assert_eq!(dropped.get(), 3);
        log.record(&RoomName::lobby(), &message(4, "x"));
        assert_eq!(dropped.get(), 4);
    }

    struct Panics;

    impl Write for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("this panic belongs to the test")
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_thread_that_panics_is_seen_and_what_is_recorded_later_is_counted() {
        let dropped = Counter::default();
        let (log, thread) = MessageLog::start(Panics, dropped.clone()).unwrap();
        assert!(!thread.watch().has_ended());
        log.record(&RoomName::lobby(), &message(1, "x"));
        let watch = thread.watch();
        assert!(thread.finish(PATIENCE));
        assert!(watch.has_ended());
        log.record(&RoomName::lobby(), &message(2, "x"));
        assert!(dropped.get() >= 1);
    }

    #[test]
    fn the_log_outlives_those_who_recorded() {
        let file = Shared::default();
        let (log, thread) = MessageLog::start(file.clone(), Counter::default()).unwrap();
        log.record(&RoomName::lobby(), &message(1, "x"));
        drop(log);
        assert!(thread.flush(PATIENCE));
        assert!(thread.finish(PATIENCE));
        assert_eq!(file.text().lines().count(), 1);
    }
}
