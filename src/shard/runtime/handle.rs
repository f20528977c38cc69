//! The state that all shards of a node share, and the handle through which other threads reach a shard.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam::queue::{ArrayQueue, SegQueue};
use tokio::{sync::oneshot, time::timeout};

use crate::shard::{
    bus::directory::{Directory, OwnerKey},
    bus::inbox::Inbox,
    bus::message::{RoomCommand, ToOwner, ToShard},
    bus::operator::{OperatorRequest, ReplySender},
    runtime::newcomers::Arrived,
    settings::ShardSettings,
    store::ticket::Ticket,
};
use crate::{
    chat::{RoomName, ShardId, UserName},
    codec::Profile,
    history::Outcome,
    limits,
};

/// The shards of a node. All slices are indexed by the number of the shard.
pub(crate) struct Shards {
    pub(crate) inboxes: Arc<[Inbox<ToShard>]>,
    pub(crate) arrivals: Box<[ArrayQueue<Arrived>]>,
    /// The store's outcomes of messages. Bounded by the messages that a shard may have in flight to the store.
    pub(crate) stored: Box<[SegQueue<Outcome<Ticket>>]>,
    /// The store's answers to questions; a queue of its own, so that no message waits behind pages. Bounded in the same way.
    pub(crate) answers: Box<[SegQueue<Outcome<Ticket>>]>,
    /// The number of connections, including those in their handshake.
    pub(crate) load: Box<[Arc<AtomicUsize>]>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) settings: Arc<ShardSettings>,
    pub(crate) profiles: Arc<[Profile]>,
}

/// Why a shard did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Its inbox is full.
    Full,
    /// It did not answer in time, or has ended.
    Silent,
}

impl Shards {
    pub(crate) fn new(count: usize, settings: ShardSettings, profiles: Arc<[Profile]>, seed: u64) -> Self {
        Self {
            inboxes: (0..count).map(|_| Inbox::new(settings.inbox_messages, count)).collect(),
            arrivals: (0..count).map(|_| ArrayQueue::new(limits::ARRIVALS)).collect(),
            stored: (0..count).map(|_| SegQueue::new()).collect(),
            answers: (0..count).map(|_| SegQueue::new()).collect(),
            load: (0..count).map(|_| Arc::new(AtomicUsize::new(0))).collect(),
            directory: Arc::new(Directory::new(count, OwnerKey::random(), seed)),
            settings: Arc::new(settings),
            profiles,
        }
    }

    /// Hands a socket to the shard with the fewest connections; returns it if the queues of all shards are full.
    pub(crate) fn place(&self, mut arrived: Arrived) -> Result<(), Arrived> {
        let mut order: Vec<usize> = (0..self.load.len()).collect();
        order.sort_by_key(|shard| self.load[*shard].load(Ordering::Relaxed));
        for shard in order {
            self.load[shard].fetch_add(1, Ordering::Relaxed);
            match self.arrivals[shard].push(arrived) {
                Ok(()) => {
                    self.inboxes[shard].wake();
                    return Ok(());
                }
                Err(back) => {
                    self.load[shard].fetch_sub(1, Ordering::Relaxed);
                    arrived = back;
                }
            }
        }
        Err(arrived)
    }

    /// Delivers outcomes of the store to their shards. The store's threads call it; it never blocks.
    pub(crate) fn deliver(&self, outcomes: Vec<Outcome<Ticket>>) {
        let mut woken: Vec<usize> = Vec::new();
        for outcome in outcomes {
            let shard = usize::from(Ticket::of(&outcome).shard().0);
            let lanes = match &outcome {
                Outcome::Committed { .. }
                | Outcome::Duplicate { .. }
                | Outcome::KeyConflict { .. }
                | Outcome::Failed { .. } => &self.stored,
                Outcome::Answered { .. } | Outcome::Unanswered { .. } => &self.answers,
            };
            let Some(lane) = lanes.get(shard) else { continue };
            lane.push(outcome);
            if !woken.contains(&shard) {
                woken.push(shard);
            }
        }
        for shard in woken {
            if let Some(inbox) = self.inboxes.get(shard) {
                inbox.wake();
            }
        }
    }

    /// Sends a message to a shard from another thread; returns whether its inbox had room.
    pub(crate) fn try_send(&self, shard: usize, message: ToShard) -> bool {
        self.inboxes.get(shard).is_some_and(|inbox| inbox.push(message).is_ok())
    }

    /// Sends a message to a shard from another thread. Blocks while its inbox is full, at most until `until`, because a shard that has
    /// ended takes nothing; returns whether there was room. A shard's own thread must not call it.
    pub(crate) fn send_until(&self, shard: usize, mut message: ToShard, until: Instant) -> bool {
        let Some(inbox) = self.inboxes.get(shard) else {
            return false;
        };
        while let Err(back) = inbox.push(message) {
            if Instant::now() >= until {
                return false;
            }
            message = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Sends a message of the operator to all members of a room; returns whether the owner's inbox had room.
    pub(crate) fn say_to_room(&self, room: RoomName, text: Arc<str>) -> bool {
        let owner = self.directory.owner_of(room.as_str());
        let command = RoomCommand::System { text };
        self.try_send(usize::from(owner.0), ToShard::Owner(ToOwner::Room { room, command }))
    }

    /// Sends a message of the operator to all sessions of a user; returns whether the inbox of every shard with sessions had room.
    pub(crate) fn say_to_user(&self, user: &UserName, text: &Arc<str>) -> bool {
        // Does not stop at a full inbox: the others still get the message.
        let user = &self.directory.user_named(user);
        self.directory.shards_of(user).fold(true, |sent, shard| {
            let (user, text) = (user.clone(), text.clone());
            self.try_send(usize::from(shard.0), ToShard::SystemTo { user, text }) && sent
        })
    }

    /// The number of connections of all shards.
    pub(crate) fn connections(&self) -> usize {
        self.load.iter().map(|load| load.load(Ordering::Relaxed)).sum()
    }

    /// Sends a request to a shard and waits for its answer, at most [`limits::ADMIN_ANSWER_TIME`].
    pub(crate) async fn ask<T, O: Into<OperatorRequest>>(
        &self,
        shard: ShardId,
        request: impl FnOnce(ReplySender<T>) -> O,
    ) -> Result<T, Unanswered> {
        let (answer, answered) = oneshot::channel();
        if !self.try_send(
            usize::from(shard.0),
            ToShard::Operator(Box::new(request(answer).into())),
        ) {
            return Err(Unanswered::Full);
        }
        match timeout(limits::ADMIN_ANSWER_TIME, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Unanswered::Silent),
        }
    }

    /// The owner of a room.
    pub(crate) fn owner_of(&self, room: &RoomName) -> ShardId {
        self.directory.owner_of(room.as_str())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.directory.shards()).map(|shard| ShardId(shard as u16))
    }
}
