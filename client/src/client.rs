//! The client of Plaza's own protocol: requests with their replies, and a queue of pushes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fastwebsockets::OpCode;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

use crate::{
    config::Config,
    error::{Closing, Error},
    proto::{self, ClientMessage, ServerMessage, client_message::Request, server_message::Event},
    socket::{Received, Sink, Socket},
    wire::Wire,
};

/// A connection that speaks Plaza's own protocol. All methods take `&self`: share it in an `Arc` to take pushes in one task while others
/// make requests. Dropping it ends the connection without a close frame, as [`Client::abort`] does.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    wire: Wire,
    timeout: Duration,
    next_id: AtomicU64,
    shared: Arc<Shared>,
    events: AsyncMutex<mpsc::Receiver<ServerMessage>>,
}

/// State that the reading task and the callers share.
#[derive(Debug, Default)]
struct Shared {
    /// `None` once the connection has ended, so that no request begins to wait.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Event>>>>,
    /// Set before `waiting` becomes `None` and before the channel of events ends.
    closing: OnceLock<Closing>,
    goodbye: OnceLock<proto::Goodbye>,
}

impl Client {
    /// Connects and sends the hello.
    pub async fn connect(config: Config) -> Result<(Self, proto::Welcome), Error> {
        let client = Self::open(&config).await?;
        match client.request(Request::Hello(config.hello())).await? {
            Event::Welcome(welcome) => Ok((client, welcome)),
            other => Err(unexpected("a welcome", other)),
        }
    }

    /// Connects and sends nothing.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let (sender, events) = mpsc::channel(config.buffered_events.max(1));
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Some(HashMap::new())),
            ..Default::default()
        });
        let sink = Dispatch {
            wire: config.wire,
            shared: shared.clone(),
            events: sender,
        };
        Ok(Self {
            socket: Socket::open(&config.target()?, config.timeout, sink).await?,
            wire: config.wire,
            timeout: config.timeout,
            next_id: AtomicU64::new(1),
            shared,
            events: AsyncMutex::new(events),
        })
    }

    /// Sends a request and waits for its reply; a refusal is [`Error::Refused`].
    pub async fn request(&self, request: Request) -> Result<Event, Error> {
        let (waiter, reply) = oneshot::channel();
        // Relaxed: the numbers only have to be unique.
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        match self.shared.waiting().as_mut() {
            Some(waiting) => waiting.insert(id, waiter),
            None => return Err(self.ended()),
        };
        let _forget = Forget {
            shared: &self.shared,
            id,
        };
        let answered = async {
            self.send(id, request).await?;
            reply.await.map_err(|_| self.ended())
        };
        match tokio::time::timeout(self.timeout, answered).await {
            Ok(Ok(Event::Error(error))) => Err(Error::Refused(error.into())),
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout {
                waited_for: "the reply",
                waited: self.timeout,
            }),
        }
    }

    /// Sends a request with an id and does not wait. Its reply, or an error, is a push that [`Client::next_message`] returns with this id.
    pub async fn send_without_waiting(&self, request: Request) -> Result<u64, Error> {
        // Relaxed: the numbers only have to be unique.
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.send(id, request).await.map(|()| id)
    }

    /// Sends a request without an id, which gets no acknowledgement; an error is a push.
    pub async fn send_unacknowledged(&self, request: Request) -> Result<(), Error> {
        self.send(0, request).await
    }

    /// The next push, in the order of the server. Dropping the future loses none. Skips kinds of push that this version does not know.
    pub async fn next_event(&self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.next_message().await?.event {
                return Ok(event);
            }
        }
    }

    /// Like [`Client::next_event`], with the id if the push answers a request that nobody waits for.
    pub async fn next_message(&self) -> Result<ServerMessage, Error> {
        match self.events.lock().await.recv().await {
            Some(message) => Ok(message),
            None => Err(self.ended()),
        }
    }

    /// How the connection ended, once it has.
    pub fn closing(&self) -> Option<&Closing> {
        self.shared.closing.get()
    }

    /// The server's goodbye, once it has sent one.
    pub fn goodbye(&self) -> Option<&proto::Goodbye> {
        self.shared.goodbye.get()
    }

    /// Ends the session and returns the server's goodbye. Discards pushes that were not taken.
    pub async fn exit(mut self) -> Result<proto::Goodbye, Error> {
        self.send_without_waiting(Request::Exit(proto::Exit {})).await?;
        let ended = async {
            // The reading task may wait for room in the buffer before it reads the goodbye.
            while self.events.get_mut().recv().await.is_some() {}
            self.socket.ended().await;
        };
        tokio::time::timeout(self.timeout, ended)
            .await
            .map_err(|_| Error::Timeout {
                waited_for: "the close",
                waited: self.timeout,
            })?;
        match self.goodbye() {
            Some(goodbye) => Ok(goodbye.clone()),
            None => Err(self.ended()),
        }
    }

    /// Drops the connection without a close frame, as a crash or a lost network would.
    pub fn abort(self) {}

    // -------------------------------------------------------------------------------------------------- conveniences

    /// Joins a room from now on.
    pub async fn join(&self, room: &str) -> Result<proto::Joined, Error> {
        self.join_with(proto::Join {
            room: room.to_owned(),
            ..Default::default()
        })
        .await
    }

    /// Joins a room and asks for its newest messages, which arrive as pushes.
    pub async fn join_last(&self, room: &str, last: u32) -> Result<proto::Joined, Error> {
        self.join_with(proto::Join {
            room: room.to_owned(),
            last,
            ..Default::default()
        })
        .await
    }

    /// Joins a room from a position; missed messages arrive as pushes.
    pub async fn join_from(&self, room: &str, epoch: u64, seq: u64) -> Result<proto::Joined, Error> {
        self.join_with(proto::Join {
            room: room.to_owned(),
            epoch,
            seq,
            last: 0,
        })
        .await
    }

    /// Leaves a room.
    pub async fn leave(&self, room: &str) -> Result<proto::Left, Error> {
        let room = room.to_owned();
        match self.request(Request::Leave(proto::Leave { room })).await? {
            Event::Left(left) => Ok(left),
            other => Err(unexpected("a left", other)),
        }
    }

    /// Sends a message to a room and waits for the acknowledgement.
    pub async fn talk(&self, room: &str, text: &str) -> Result<proto::Ack, Error> {
        self.talk_with(proto::Talk {
            room: room.to_owned(),
            text: text.to_owned(),
            ..Default::default()
        })
        .await
    }

    /// Sends a message to a room, with an idempotency key or another kind.
    pub async fn talk_with(&self, talk: proto::Talk) -> Result<proto::Ack, Error> {
        ack(self.request(Request::Talk(talk)).await?)
    }

    /// Sends a message to one user and waits for the acknowledgement.
    pub async fn direct(&self, to: &str, text: &str) -> Result<proto::Ack, Error> {
        self.direct_with(proto::Direct {
            to: to.to_owned(),
            text: text.to_owned(),
            ..Default::default()
        })
        .await
    }

    /// Sends a message to one user, with an idempotency key or another kind.
    pub async fn direct_with(&self, direct: proto::Direct) -> Result<proto::Ack, Error> {
        ack(self.request(Request::Direct(direct)).await?)
    }

    /// One page of the users of a room; `after` is the `next` of the previous page, or empty.
    pub async fn users(&self, room: &str, after: &str, limit: u32) -> Result<proto::UserPage, Error> {
        let (room, after) = (room.to_owned(), after.to_owned());
        match self
            .request(Request::Users(proto::Users { room, after, limit }))
            .await?
        {
            Event::Users(page) => Ok(page),
            other => Err(unexpected("a page of users", other)),
        }
    }

    /// One page of the rooms; `after` is the `next` of the previous page, or empty.
    pub async fn rooms(&self, after: &str, limit: u32) -> Result<proto::RoomPage, Error> {
        let after = after.to_owned();
        match self.request(Request::Rooms(proto::Rooms { after, limit })).await? {
            Event::Rooms(page) => Ok(page),
            other => Err(unexpected("a page of rooms", other)),
        }
    }

    /// Sets the topic of a room.
    pub async fn set_topic(&self, room: &str, topic: &str) -> Result<proto::Topic, Error> {
        let (room, topic) = (room.to_owned(), topic.to_owned());
        match self.request(Request::Topic(proto::SetTopic { room, topic })).await? {
            Event::Topic(topic) => Ok(topic),
            other => Err(unexpected("a topic", other)),
        }
    }

    /// Takes another name.
    pub async fn rename(&self, name: &str) -> Result<proto::Renamed, Error> {
        self.rename_with(proto::Rename {
            name: name.to_owned(),
            ..Default::default()
        })
        .await
    }

    /// Takes another name, with its key.
    pub async fn rename_with(&self, rename: proto::Rename) -> Result<proto::Renamed, Error> {
        match self.request(Request::Rename(rename)).await? {
            Event::Renamed(renamed) => Ok(renamed),
            other => Err(unexpected("a renamed", other)),
        }
    }

    /// One page of stored messages.
    pub async fn history(&self, history: proto::History) -> Result<proto::HistoryPage, Error> {
        match self.request(Request::History(history)).await? {
            Event::History(page) => Ok(page),
            other => Err(unexpected("a page of history", other)),
        }
    }

    /// One page of stored messages that match a search.
    pub async fn search(&self, search: proto::Search) -> Result<proto::SearchPage, Error> {
        match self.request(Request::Search(search)).await? {
            Event::Search(page) => Ok(page),
            other => Err(unexpected("a page of found messages", other)),
        }
    }

    /// Sets the user's read marker.
    pub async fn read(&self, read: proto::Read) -> Result<proto::ReadMark, Error> {
        match self.request(Request::Read(read)).await? {
            Event::Read(mark) => Ok(mark),
            other => Err(unexpected("a read mark", other)),
        }
    }

    /// The conversations with unread messages.
    pub async fn unread(&self) -> Result<proto::UnreadList, Error> {
        match self.request(Request::Unread(proto::Unread {})).await? {
            Event::Unread(list) => Ok(list),
            other => Err(unexpected("a list of the unread", other)),
        }
    }

    /// Tells a room that the user is typing. There is no reply.
    pub async fn typing(&self, room: &str) -> Result<(), Error> {
        self.send_unacknowledged(Request::Typing(proto::Typing {
            room: room.to_owned(),
            to: String::new(),
        }))
        .await
    }

    /// Asks for the server's time. The reply also proves that the server has read everything sent before.
    pub async fn ping(&self) -> Result<proto::Pong, Error> {
        match self.request(Request::Ping(proto::Ping {})).await? {
            Event::Pong(pong) => Ok(pong),
            other => Err(unexpected("a pong", other)),
        }
    }

    async fn join_with(&self, join: proto::Join) -> Result<proto::Joined, Error> {
        match self.request(Request::Join(join)).await? {
            Event::Joined(joined) => Ok(joined),
            other => Err(unexpected("a joined", other)),
        }
    }

    async fn send(&self, id: u64, request: Request) -> Result<(), Error> {
        let message = ClientMessage {
            id,
            request: Some(request),
        };
        let opcode = match self.wire {
            Wire::Proto => OpCode::Binary,
            Wire::Json => OpCode::Text,
        };
        if self.socket.send(opcode, self.wire.encode(&message)).await {
            Ok(())
        } else {
            Err(self.ended())
        }
    }

    fn ended(&self) -> Error {
        Error::Closed(self.shared.closing.get().cloned().unwrap_or(Closing::Here))
    }
}

impl Shared {
    /// Nothing between lock and unlock can panic, so a poisoned map is intact.
    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Event>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a request from `waiting` when its future ends or is dropped.
struct Forget<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.shared.waiting().as_mut() {
            waiting.remove(&self.id);
        }
    }
}

/// Passes replies to the requests that wait for them, and everything else to the channel of pushes.
struct Dispatch {
    wire: Wire,
    shared: Arc<Shared>,
    events: mpsc::Sender<ServerMessage>,
}

impl Sink for Dispatch {
    async fn take(&mut self, received: Received) -> Result<(), Closing> {
        let bytes = match (self.wire, received) {
            (Wire::Proto, Received::Binary(bytes)) | (Wire::Json, Received::Text(bytes)) => bytes,
            (Wire::Proto, Received::Text(_)) => return Err(broken("a text message came, where protobuf is spoken")),
            (Wire::Json, Received::Binary(_)) => return Err(broken("a binary message came, where JSON is spoken")),
            (Wire::Proto | Wire::Json, Received::Ping(_) | Received::Pong(_)) => return Ok(()),
        };
        let message = self
            .wire
            .decode(&bytes)
            .map_err(|fault| broken(&format!("a message of the server cannot be read: {fault}")))?;
        if let Some(Event::Goodbye(goodbye)) = &message.event {
            let _ = self.shared.goodbye.set(goodbye.clone());
        }
        let ServerMessage { id, event } = message;
        let event = match event {
            Some(event) => match self.waiter(id) {
                Some(waiter) => match waiter.send(event) {
                    Ok(()) => return Ok(()),
                    // The future of the request was dropped after the look-up.
                    Err(event) => Some(event),
                },
                None => Some(event),
            },
            None => None,
        };
        let unclaimed = ServerMessage { id, event };
        self.events.send(unclaimed).await.map_err(|_| Closing::Here)
    }

    fn end(&mut self, closing: Closing) {
        let _ = self.shared.closing.set(closing);
        // Dropping the senders wakes all waiting requests.
        self.shared.waiting().take();
    }
}

impl Dispatch {
    fn waiter(&self, id: u64) -> Option<oneshot::Sender<Event>> {
        self.shared.waiting().as_mut()?.remove(&id)
    }
}

fn ack(event: Event) -> Result<proto::Ack, Error> {
    match event {
        Event::Ack(ack) => Ok(ack),
        other => Err(unexpected("an ack", other)),
    }
}

fn unexpected(expected: &'static str, event: Event) -> Error {
    Error::Unexpected {
        expected,
        seen: Box::new(ServerMessage {
            id: 0,
            event: Some(event),
        }),
    }
}

fn broken(text: &str) -> Closing {
    Closing::Broken(text.to_owned())
}
