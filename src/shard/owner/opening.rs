//! Rooms that are being opened: commands for a durable room wait until the store has answered with the head of its log.
//!
//! Invariants: the commands of a room keep their order, and the first one is the join that opens it.

use crate::{
    chat::{RoomName, Since, UserId},
    shard::bus::message::RoomCommand,
};

#[derive(Debug, Default)]
pub(super) struct Opening {
    waiting: foldhash::HashMap<RoomName, Vec<RoomCommand>>,
}

/// What to do with a command for a room that is not open.
#[derive(Debug)]
pub(super) enum Parked {
    /// Carry it out now.
    No(RoomName, RoomCommand),
    Waits,
    /// It waits. Ask the store for the head of the log and, for a resume, for what this user missed.
    Opens(RoomName, Option<(UserId, Since)>),
}

impl Opening {
    /// Parks a command for a room that is not open, if it must wait.
    pub(super) fn park(
        &mut self,
        room: RoomName,
        command: RoomCommand,
        is_durable: &dyn Fn(&RoomName) -> bool,
    ) -> Parked {
        if let Some(waiting) = self.waiting.get_mut(&room) {
            waiting.push(command);
            return Parked::Waits;
        }
        // Only a join opens a room.
        let resume = match &command {
            RoomCommand::Join { since: Since::Now, .. } => None,
            RoomCommand::Join { arrival, since, .. } => Some((arrival.user.clone(), *since)),
            RoomCommand::Leave { .. }
            | RoomCommand::Talk { .. }
            | RoomCommand::Rename { .. }
            | RoomCommand::Describe { .. }
            | RoomCommand::SetTopic { .. }
            | RoomCommand::Typing { .. }
            | RoomCommand::System { .. }
            | RoomCommand::Users { .. } => return Parked::No(room, command),
        };
        if !is_durable(&room) {
            return Parked::No(room, command);
        }
        self.waiting.insert(room.clone(), vec![command]);
        Parked::Opens(room, resume)
    }

    /// Takes the commands that waited for a room, in order.
    pub(super) fn take(&mut self, room: &RoomName) -> Vec<RoomCommand> {
        self.waiting.remove(room).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chat::Position,
        shard::testing::values::{arrival, session, user},
    };

    fn join(since: Since) -> RoomCommand {
        RoomCommand::Join {
            arrival: arrival(),
            id: None,
            since,
        }
    }

    fn typing() -> RoomCommand {
        RoomCommand::Typing { session: session(0) }
    }

    #[test]
    fn the_first_join_opens_a_durable_room_and_later_commands_wait_behind_it() {
        let (mut opening, lobby) = (Opening::default(), RoomName::lobby());
        let mut park = |command| opening.park(lobby.clone(), command, &|_| true);
        assert!(matches!(park(typing()), Parked::No(..)), "nothing to wait for yet");
        let since = Since::Position(Position { epoch: 1, seq: 2 });
        let Parked::Opens(_, resume) = park(join(since)) else {
            panic!("the store has to be asked");
        };
        assert_eq!(resume, Some((user("ada"), since)));
        assert!(matches!(park(typing()), Parked::Waits));
        assert!(matches!(park(join(Since::Now)), Parked::Waits));
        let order = opening.take(&lobby);
        assert!(matches!(
            order[..],
            [
                RoomCommand::Join { .. },
                RoomCommand::Typing { .. },
                RoomCommand::Join { .. }
            ]
        ));
        assert_eq!(opening.len(), 0);
    }

    #[test]
    fn an_ephemeral_room_is_opened_without_the_store() {
        let mut opening = Opening::default();
        let parked = opening.park(RoomName::lobby(), join(Since::Now), &|_| false);
        assert!(matches!(parked, Parked::No(..)));
        assert_eq!(opening.len(), 0);
    }
}
