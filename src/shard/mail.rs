//! Direct messages for those who come: the mail that waited.
//!
//! A session is registered first and its mail is read then; what arrives in between waits behind what was stored, so each
//! conversation comes in the order of its numbers and nothing comes twice.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{
    connection::{Phase, Socket},
    engine::{Clock, Engine},
    stored::Ticket,
};
use crate::{
    chat::{Conversation, Direct, ErrorCode, GoodbyeCode, Position, Refusal, Reply, Seq, SessionId, Talk, UserName},
    history::{Ask, ConversationHead, LogHead, LogId, LostInterval, UserPair, Which, Window},
    limits, wire,
};

/// The mail of a session that has come, while it is being read.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Which reading of the session's this is; answers to an earlier one are passed over.
    number: u32,
    /// Positions that the client gave, or behind which something was said that waits in the store: those conversations are read
    /// whatever other sessions of the user have read.
    known: Vec<(UserName, Position)>,
    /// Conversations still to be read, and after which talk.
    pending: VecDeque<(UserName, Seq)>,
    /// What was said meanwhile.
    live: VecDeque<Arc<Direct>>,
    /// Bytes of their texts.
    live_bytes: usize,
    /// More was said meanwhile than may wait: the conversations are read once more.
    again: bool,
    /// A page has been asked for.
    asked: bool,
}

impl Mail {
    fn has_room_for(&self, direct: &Direct) -> bool {
        self.live.len() < limits::MAIL_LIVE && self.live_bytes + direct.talk.text.len() <= limits::PRIVATE_BYTES
    }
}

/// Up to which message a session has been given each conversation, by the other one.
pub(crate) type Given = HashMap<UserName, Seq, foldhash::fast::RandomState>;

/// Direct messages on their way to a client that acknowledges with pongs.
#[derive(Debug, Default)]
pub(crate) struct Acknowledging {
    /// Written and not asked about: up to which, by the other one.
    delivered: Vec<(UserName, Seq)>,
    /// What the pong to the last ping acknowledges.
    asked: Option<Vec<(UserName, Seq)>>,
    /// Counts the pings: the payload of the last one.
    count: u32,
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// A session has come that may read the mail of its name.
    pub(super) fn read_mail(&mut self, id: SessionId, known: Vec<(UserName, Position)>) {
        let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) else {
            return;
        };
        let user = session.name.clone();
        session.readings = session.readings.wrapping_add(1);
        let number = session.readings;
        let which = Which::Mail {
            bearer: session.bearer(),
            known: known.iter().map(|(peer, _)| peer.clone()).collect(),
        };
        session.mail = Some(Box::new(Mail {
            number,
            known,
            asked: true,
            ..Mail::default()
        }));
        let ask = Ask::Conversations { user, which };
        if !self.ask_store(ask, Ticket::Mail { session: id, number }) {
            let refusal = ErrorCode::Busy.because("the stored messages could not be read now; come back in a moment");
            self.mail_failed(id, refusal);
        }
    }

    /// Whether this is the reading of mail that is under way.
    pub(super) fn reads(&mut self, id: SessionId, number: u32) -> bool {
        self.mail(id).is_some_and(|mail| mail.number == number)
    }

    /// The conversations of a session's user in which something waits are known; with `more` there are others, for the next
    /// time.
    pub(super) fn mail_found(
        &mut self,
        id: SessionId,
        user: &UserName,
        conversations: Vec<ConversationHead>,
        more: bool,
    ) {
        let mut gaps: Vec<(UserName, LostInterval)> = Vec::new();
        if let Some(session) = self
            .connection(id)
            .and_then(|connection| connection.session.as_deref_mut())
            && let Some(mail) = session.mail.as_deref_mut()
        {
            mail.asked = false;
            session.mail_left = more;
            for ConversationHead { log, head, read, .. } in conversations {
                let LogId::Pair(pair) = log else { continue };
                let Some(peer) = pair.peer_of(user).cloned() else {
                    continue;
                };
                let given = session.given.as_ref().and_then(|given| given.get(&peer));
                let known = mail.known.iter().find(|(known, _)| *known == peer);
                let after = match (given, known) {
                    (Some(given), _) => *given,
                    (None, Some((_, position))) => {
                        let go_on = head.go_on(*position);
                        gaps.extend(go_on.lost.into_iter().map(|lost| (peer.clone(), lost)));
                        go_on.after
                    }
                    (None, None) => read,
                };
                note(&mut session.given, &peer, after);
                if after < head.seq {
                    mail.pending.push_back((peer, after));
                }
            }
            mail.known.clear();
        }
        for (peer, LostInterval { epoch, from, to }) in gaps {
            let conversation = Conversation::Peer(peer);
            self.reply(
                id,
                None,
                &Reply::Gap {
                    conversation,
                    epoch,
                    from,
                    to,
                    lost: true,
                },
            );
        }
        self.mail_on(id);
    }

    /// Asks for the next page of mail, or ends the reading.
    pub(super) fn mail_on(&mut self, id: SessionId) {
        let full = self.is_full(id);
        let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) else {
            return;
        };
        let (user, bearer) = (session.name.clone(), session.bearer());
        let Some(mail) = session.mail.as_mut() else { return };
        if full {
            // It goes on when this much has been written: a slow reader costs one page of memory.
            return;
        }
        let ask = match mail.pending.front() {
            Some((peer, after)) => Ask::Page {
                log: LogId::Pair(UserPair::of(&user, peer)),
                window: Window::After(*after),
                limit: limits::HISTORY_PAGE_TALKS,
            },
            None if mail.again => {
                mail.again = false;
                // Read behind all that is thrown away here: it was committed before it was told.
                for direct in std::mem::take(&mut mail.live) {
                    left_to_store(&mut mail.known, &direct, &user);
                }
                mail.live_bytes = 0;
                Ask::Conversations {
                    user,
                    which: Which::Mail {
                        bearer,
                        known: mail.known.iter().map(|(peer, _)| peer.clone()).collect(),
                    },
                }
            }
            None => return self.mail_ended(id),
        };
        mail.asked = true;
        let number = mail.number;
        if !self.ask_store(ask, Ticket::Mail { session: id, number }) {
            let refusal = ErrorCode::Busy.because("the stored messages could not all be read; come back in a moment");
            self.mail_failed(id, refusal);
        }
    }

    pub(super) fn mail_page(&mut self, id: SessionId, pair: &UserPair, head: &LogHead, talks: Vec<Talk>, more: bool) {
        let Some(session) = self.connection(id).and_then(|connection| connection.session.as_ref()) else {
            return;
        };
        let user = session.name.clone();
        let Some(peer) = pair.peer_of(&user).cloned() else {
            return;
        };
        if self.is_full(id) {
            // Others have said much since the page was asked for: it is asked for again when that has been written.
            if let Some(mail) = self.mail(id) {
                mail.asked = false;
            }
            return;
        }
        let count = talks.len();
        let mut upto = None;
        for (index, talk) in talks.into_iter().enumerate() {
            upto = Some(talk.seq);
            let to = if talk.from == user { peer.clone() } else { user.clone() };
            self.reply(id, None, &Reply::Direct(Arc::new(Direct { to, talk })));
            if self.is_full(id) && index + 1 < count {
                // The rest is read again when this much has been written.
                break;
            }
        }
        let ended = !more && upto.is_none_or(|upto| upto >= head.seq);
        let Some(mail) = self.mail(id) else { return };
        mail.asked = false;
        if let Some((_, after)) = mail.pending.front_mut() {
            *after = upto.unwrap_or(head.seq).max(*after);
            let done = *after;
            if ended || done >= head.seq {
                mail.pending.pop_front();
            }
            if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) {
                note(&mut session.given, &peer, done);
            }
        }
        if let Some(seq) = upto {
            self.note_delivered(id, peer, seq);
        }
        self.mail_on(id);
    }

    /// What waited has been written: the mail may go on.
    pub(super) fn mail_after_write(&mut self, id: SessionId) {
        if self.mail(id).is_some_and(|mail| !mail.asked) {
            self.mail_on(id);
        }
    }

    /// All stored mail has been given: what was said meanwhile follows, as fast as it is read.
    fn mail_ended(&mut self, id: SessionId) {
        loop {
            let full = self.is_full(id);
            let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) else {
                return;
            };
            let Some(mail) = session.mail.as_mut() else { return };
            if full && !mail.live.is_empty() {
                return;
            }
            let Some(direct) = mail.live.pop_front() else {
                session.mail = None;
                return;
            };
            mail.live_bytes -= direct.talk.text.len();
            let peer = peer_of(&direct, &session.name);
            self.tell_session(id, &direct, peer);
        }
    }

    /// The mail cannot be read to its end.
    pub(super) fn mail_failed(&mut self, id: SessionId, refusal: Refusal) {
        self.refuse(id, None, refusal);
        let dialects = self.settings.dialects;
        let by_name = matches!(
            self.connection(id).map(|connection| &connection.phase),
            Some(Phase::Open(speaking)) if dialects[usize::from(speaking.dialect)].profile().mail_by_name
        );
        if by_name {
            // What it is given counts as read with all that stands before: it has to come back for the rest.
            return self.goodbye(id, None, GoodbyeCode::Busy);
        }
        if let Some(mail) = self.mail(id) {
            mail.pending.clear();
            mail.again = false;
            mail.asked = false;
        }
        // A client of Plaza's own protocol sees from `prev` what it has not been given.
        self.mail_on(id);
    }

    /// A direct message for a session: at once, or behind its mail. When much waits for the session's socket already and the
    /// message is stored, it is read from there as fast as the client reads, and takes no memory here.
    pub(super) fn direct_to(&mut self, id: SessionId, direct: &Arc<Direct>) {
        // Those whose mail goes by their name alone are not given it once the name has a key: nothing may be left to it.
        let stored = self.store.is_some() && self.owns_mail(id);
        if stored && self.is_full(id) {
            // All of it may be of this turn, and the socket has not been asked yet.
            self.write(id);
        }
        let from_store = stored && self.is_full(id);
        let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) else {
            return;
        };
        let peer = peer_of(direct, &session.name);
        match session.mail.as_mut() {
            None if from_store => {
                session.readings = session.readings.wrapping_add(1);
                let mut mail = Mail {
                    number: session.readings,
                    again: true,
                    ..Mail::default()
                };
                left_to_store(&mut mail.known, direct, &session.name);
                session.mail = Some(Box::new(mail));
            }
            None => self.tell_session(id, direct, peer),
            // While the store answers it may wait here; while the socket is full it waits in the store.
            Some(mail) if mail.asked && !mail.again && mail.has_room_for(direct) => {
                mail.live_bytes += direct.talk.text.len();
                mail.live.push_back(direct.clone());
            }
            Some(mail) => {
                mail.again = true;
                left_to_store(&mut mail.known, direct, &session.name);
            }
        }
    }

    fn tell_session(&mut self, id: SessionId, direct: &Arc<Direct>, peer: UserName) {
        let given = self
            .connection(id)
            .and_then(|connection| connection.session.as_ref())
            .and_then(|session| session.given.as_ref()?.get(&peer));
        if given.is_some_and(|given| *given >= direct.talk.seq) {
            // The store was faster than the way here.
            return;
        }
        self.reply(id, None, &Reply::Direct(direct.clone()));
        if self.leaves_out(id, &peer) || !self.reads_mail(id) {
            return;
        }
        if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) {
            // Should the conversations be read once more, this one goes on here.
            note(&mut session.given, &peer, direct.talk.seq);
        }
        self.note_delivered(id, peer, direct.talk.seq);
    }

    /// Whether as much waits for a session's socket as may before it is given more.
    fn is_full(&self, id: SessionId) -> bool {
        self.private_bytes(id) > self.private_most()
    }

    /// Whether a session asks the store for the messages of its name. Where it has no key, the store looks whether there is one.
    fn reads_mail(&self, id: SessionId) -> bool {
        let Some(connection) = self.connections.get(id.slot as usize) else {
            return false;
        };
        let by_name = match &connection.phase {
            Phase::Open(speaking) => self.profiles[usize::from(speaking.dialect)].mail_by_name,
            Phase::Detecting(_) | Phase::Closing { .. } => false,
        };
        let owns = connection.session.as_ref().is_some_and(|session| session.owns_mail);
        self.store.is_some() && (owns || by_name)
    }

    /// Whether stored messages of this conversation may not have been given, because there were too many with mail: what stands
    /// before a live one comes the next time, so the live one must not count as read until then.
    fn leaves_out(&mut self, id: SessionId, peer: &UserName) -> bool {
        self.connection(id)
            .and_then(|connection| connection.session.as_ref())
            .is_some_and(|session| {
                session.mail_left && session.given.as_ref().is_none_or(|given| !given.contains_key(peer))
            })
    }

    // ---------------------------------------------------------------- read positions that a pong acknowledges

    /// Where the dialect has no words for "read", the pong to a ping sent behind a message says that it arrived.
    fn note_delivered(&mut self, id: SessionId, peer: UserName, seq: Seq) {
        let Some(connection) = self.connections.get_mut(id.slot as usize) else {
            return;
        };
        let Phase::Open(speaking) = &connection.phase else {
            return;
        };
        if !self.settings.dialects[usize::from(speaking.dialect)]
            .profile()
            .mail_by_name
        {
            return;
        }
        let Some(session) = connection.session.as_mut() else {
            return;
        };
        let acknowledging = session.acknowledging.get_or_insert_default();
        acknowledging.delivered.retain(|(known, _)| *known != peer);
        acknowledging.delivered.push((peer, seq));
        if acknowledging.asked.is_none() {
            self.ask_pong(id);
        }
    }

    /// Sends a ping whose pong acknowledges what has been delivered so far.
    fn ask_pong(&mut self, id: SessionId) {
        let Some(connection) = self.connection(id) else { return };
        let Some(session) = connection.session.as_mut() else {
            return;
        };
        let Some(acknowledging) = session.acknowledging.as_mut() else {
            return;
        };
        if acknowledging.delivered.is_empty() {
            session.acknowledging = None;
            return;
        }
        acknowledging.count = acknowledging.count.wrapping_add(1);
        let payload = acknowledging.count.to_be_bytes();
        acknowledging.asked = Some(std::mem::take(&mut acknowledging.delivered));
        // Behind the messages, not before them: it is queued where they are.
        connection
            .outgoing()
            .private()
            .extend_from_slice(wire::ping(&payload).as_bytes());
        self.mark_dirty(id);
    }

    pub(super) fn pong(&mut self, id: SessionId, payload: &[u8]) {
        let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) else {
            return;
        };
        let (user, bearer) = (session.name.clone(), session.bearer());
        let Some(acknowledging) = session.acknowledging.as_mut() else {
            return;
        };
        if payload != acknowledging.count.to_be_bytes() {
            return;
        }
        for (peer, seq) in acknowledging.asked.take().unwrap_or_default() {
            let ask = Ask::Mark {
                log: LogId::Pair(UserPair::of(&user, &peer)),
                user: user.clone(),
                seq,
                bearer,
            };
            // If the store is too busy the messages come once more, with the same ids.
            self.ask_store(ask, Ticket::Silent(id.shard));
        }
        self.ask_pong(id);
    }

    /// Bytes of direct messages that wait in memory behind a session's mail.
    #[cfg(test)]
    pub(super) fn mail_behind(&mut self, id: SessionId) -> usize {
        self.mail(id)
            .map_or(0, |mail| mail.live.iter().map(|direct| direct.talk.text.len()).sum())
    }

    fn mail(&mut self, id: SessionId) -> Option<&mut Mail> {
        self.connection(id)?.session.as_mut()?.mail.as_deref_mut()
    }
}

fn note(given: &mut Option<Box<Given>>, peer: &UserName, seq: Seq) {
    let given = given.get_or_insert_default();
    if let Some(known) = given.get_mut(peer) {
        *known = seq.max(*known);
        return;
    }
    if given.len() >= limits::CONVERSATIONS_NOTED {
        given.clear();
    }
    given.insert(peer.clone(), seq);
}

/// Notes that a conversation is to be read from behind what was said before this, which the session is not told now. Of more
/// conversations than may be noted, those are read in which nobody has read what was said.
fn left_to_store(known: &mut Vec<(UserName, Position)>, direct: &Direct, user: &UserName) {
    let peer = peer_of(direct, user);
    if known.len() < limits::MAIL_LIVE && known.iter().all(|(noted, _)| *noted != peer) {
        let position = Position {
            epoch: direct.talk.epoch,
            seq: direct.talk.prev,
        };
        known.push((peer, position));
    }
}

/// Who the other one is.
fn peer_of(direct: &Direct, user: &UserName) -> UserName {
    if direct.talk.from == *user {
        direct.to.clone()
    } else {
        direct.talk.from.clone()
    }
}
