//! Calls of the engine into its parts.
//!
//! Each call lends the parts below the one that it calls. Then it sends the messages that the part returned, and processes the
//! notifications of connections.

use crate::chat::{Effects, GoodbyeCode, Reply, RequestId, SessionId};
use crate::shard::{
    End,
    connection::write::Socket,
    direct::inboxes::DirectInboxes,
    engine::{Clock, Engine},
    owner::{Conditions, Owner},
    parts::Parts,
    room::rooms::Rooms,
    session::{
        presence::Presence,
        rules::{Action, Rules},
    },
};

impl<S: Socket, C: Clock> Engine<S, C> {
    pub(super) fn split(&mut self) -> (&mut Rooms, &mut DirectInboxes, Parts<'_, S>) {
        let parts = Parts {
            connections: &mut self.connections,
            store: &mut self.store,
            directory: &self.directory,
            random: &mut self.random,
            clock: &self.clock,
            now: self.now,
        };
        (&mut self.rooms, &mut self.inboxes, parts)
    }

    pub(crate) fn with_rooms<R>(&mut self, call: impl FnOnce(&mut Rooms, &mut Parts<'_, S>) -> R) -> R {
        let (rooms, _, mut parts) = self.split();
        let result = call(rooms, &mut parts);
        self.process_notifications();
        result
    }

    pub(crate) fn with_inboxes<R>(&mut self, call: impl FnOnce(&mut DirectInboxes, &mut Parts<'_, S>) -> R) -> R {
        let (_, inboxes, mut parts) = self.split();
        let result = call(inboxes, &mut parts);
        self.process_notifications();
        result
    }

    pub(super) fn with_presence<R>(&mut self, call: impl FnOnce(&mut Presence<'_, S>) -> R) -> R {
        let result = self.with_presence_only(call);
        self.process_notifications();
        result
    }

    /// Leaves the notifications to the caller.
    pub(super) fn with_presence_only<R>(&mut self, call: impl FnOnce(&mut Presence<'_, S>) -> R) -> R {
        let (rooms, inboxes, parts) = self.split();
        let mut presence = Presence {
            rooms,
            inboxes,
            parts,
            messages: Vec::new(),
        };
        let result = call(&mut presence);
        for (to, message) in presence.messages {
            self.bus.send(to, message);
        }
        result
    }

    /// Calls this shard as an owner, and carries out the effects.
    pub(crate) fn with_owner(&mut self, call: impl FnOnce(&mut Owner, &mut Conditions<'_>) -> Effects) {
        let mut conditions = Conditions {
            now_ms: self.now.unix_ms,
            is_congested: &|| self.bus.is_congested(),
            directory: &self.directory,
            most_bytes: self.settings.inflight_bytes,
            store: &mut self.store,
        };
        let effects = call(&mut self.owner, &mut conditions);
        self.carry_out(effects);
    }

    /// Calls the rules of a connection, and carries out the action.
    pub(crate) fn with_rules(
        &mut self,
        id: SessionId,
        request: RequestId,
        decide: impl FnOnce(&mut Rules<'_, S>) -> Action,
    ) {
        if let Some(mut rules) = self.rules(id) {
            let action = decide(&mut rules);
            self.carry_out_action(id, request, action);
        }
    }

    pub(super) fn rules(&mut self, id: SessionId) -> Option<Rules<'_, S>> {
        let (connection, profiles) = self.connections.with_profiles(id)?;
        Some(Rules {
            id,
            connection,
            rooms: &mut self.rooms,
            profiles,
            settings: &self.settings,
            now: self.now,
        })
    }

    pub(crate) fn answered(&mut self, id: SessionId) {
        self.connections.answered(id);
        self.process_notifications();
    }

    pub(crate) fn reply(&mut self, id: SessionId, request: RequestId, reply: &Reply) {
        self.connections.reply(id, request, reply, self.now);
        self.process_notifications();
    }

    pub(crate) fn goodbye(&mut self, id: SessionId, request: RequestId, code: GoodbyeCode) {
        self.connections.goodbye(id, request, code, self.now);
        self.process_notifications();
    }

    pub(crate) fn cut(&mut self, id: SessionId, end: End) {
        self.connections.cut(id, end);
        self.process_notifications();
    }

    pub(crate) fn write(&mut self, id: SessionId) {
        self.connections.write(id, self.now);
        self.process_notifications();
    }
}
