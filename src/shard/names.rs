//! Whose a name is: its key, which opens the mail of the name, and names that are taken on the way.

use super::{
    connection::{Phase, Socket},
    engine::{Clock, Engine},
    stored::{Ticket, reserved},
};
use crate::{
    chat::{ErrorCode, Hello, Refusal, RequestId, SessionId, UserName},
    codec::NATIVE,
    history::{Ask, Claim, NameKey},
    limits,
};

/// A hello that waits for the store to say whose name it is.
#[derive(Debug)]
pub(crate) struct Claiming {
    pub(crate) request: RequestId,
    pub(crate) hello: Hello,
}

/// Whether the stored messages of its name are a session's to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// They are; this key was made for the name just now.
    New(String),
    /// They are.
    Held,
    /// They are as long as nobody has a key of the name: it speaks a dialect that has no keys. The store looks each time.
    Unproven,
    /// They are not.
    Stranger,
}

impl Ownership {
    /// Whether the session has the key of its name.
    pub(crate) fn is_proven(&self) -> bool {
        match self {
            Self::New(_) | Self::Held => true,
            Self::Unproven | Self::Stranger => false,
        }
    }
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// A session says its name. Where there is a store, native clients are asked for the key of the name; those of dialects
    /// with `mail_by_name` have none to show: they come at once, and the store, asked for their mail, looks whether the name has
    /// a key.
    pub(super) fn hello(&mut self, id: SessionId, request: RequestId, hello: Hello) {
        let Some(connection) = self.connections.get(id.slot as usize) else {
            return;
        };
        let Phase::Open(speaking) = &connection.phase else {
            return;
        };
        let dialect = self.settings.dialects[usize::from(speaking.dialect)];
        let reads_mail = dialect.profile().mail_by_name;
        if self.store.is_none() {
            return self.enter(id, request, hello, Ownership::Stranger);
        }
        if dialect.name() != NATIVE {
            let ownership = if reads_mail {
                Ownership::Unproven
            } else {
                Ownership::Stranger
            };
            return self.enter(id, request, hello, ownership);
        }
        let Some(name) = hello.name.clone() else {
            return self.enter(id, request, hello, Ownership::Stranger);
        };
        let ask = Ask::Claim {
            user: name,
            key: hello.key.clone().map(NameKey),
        };
        if !self.ask_store(ask, Ticket::Hello(id)) {
            let refusal = ErrorCode::Busy.because("the store has as much to do as it may hold; say hello again");
            return self.refuse(id, request, refusal.retry_after(limits::BUSY_RETRY));
        }
        if let Some(connection) = self.connection(id) {
            connection.claiming = Some(Box::new(Claiming { request, hello }));
        }
    }

    /// The store says whose the name is.
    pub(super) fn claimed(&mut self, id: SessionId, name: UserName, claim: Claim) {
        let Some(claiming) = self.connection(id).and_then(|connection| connection.claiming.take()) else {
            return;
        };
        let Claiming { request, hello } = *claiming;
        match claim {
            Claim::First { key } => self.enter(id, request, hello, Ownership::New(key.0)),
            Claim::Held => self.enter(id, request, hello, Ownership::Held),
            Claim::Other { mail: false } => self.enter(id, request, hello, Ownership::Stranger),
            Claim::Other { mail: true } => self.refuse(id, request, reserved(&name)),
        }
        self.read_on(id);
    }

    pub(super) fn hello_failed(&mut self, id: SessionId, refusal: Refusal) {
        let Some(claiming) = self.connection(id).and_then(|connection| connection.claiming.take()) else {
            return;
        };
        self.refuse(id, claiming.request, refusal);
        self.read_on(id);
    }

    /// A session wants another name: where there is a store, it must be its own, or nobody's whose mail waits.
    pub(super) fn rename_request(&mut self, id: SessionId, request: RequestId, name: UserName, key: Option<String>) {
        let native = self.is_native(id);
        let same = self
            .connection(id)
            .and_then(|connection| connection.session.as_ref())
            .is_some_and(|session| session.name == name);
        if self.store.is_none() || !native || same {
            return self.rename(id, request, name, None);
        }
        let ask = Ask::Claim {
            user: name,
            key: key.map(NameKey),
        };
        if self.ask_store(
            ask,
            Ticket::Rename {
                session: id,
                id: request,
            },
        ) {
            if let Some(connection) = self.connection(id) {
                connection.underway += 1;
                // What is said next is said under the new name.
                connection.renaming = true;
            }
        } else {
            let refusal = ErrorCode::Busy.because("the store has as much to do as it may hold; try again");
            self.refuse(id, request, refusal.retry_after(limits::BUSY_RETRY));
        }
    }

    pub(super) fn rename_claimed(&mut self, id: SessionId, request: RequestId, name: UserName, claim: Claim) {
        match claim {
            Claim::Other { mail: true } => self.refuse(id, request, reserved(&name)),
            Claim::First { key } => self.rename_owned(id, request, name, Ownership::New(key.0)),
            Claim::Held => self.rename_owned(id, request, name, Ownership::Held),
            Claim::Other { mail: false } => self.rename_owned(id, request, name, Ownership::Stranger),
        }
        self.renaming_ended(id);
    }

    /// A rename has been answered: the connection is read on.
    pub(super) fn renaming_ended(&mut self, id: SessionId) {
        if let Some(connection) = self.connection(id) {
            connection.renaming = false;
        }
        self.answered(id);
        self.read_on(id);
    }

    fn rename_owned(&mut self, id: SessionId, request: RequestId, name: UserName, ownership: Ownership) {
        let key = match ownership.clone() {
            Ownership::New(key) => Some(key),
            Ownership::Held | Ownership::Unproven | Ownership::Stranger => None,
        };
        if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) {
            session.owns_mail = ownership.is_proven();
        }
        self.rename(id, request, name, key);
    }
}
