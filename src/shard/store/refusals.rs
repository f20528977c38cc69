//! What a session is told when the store does not do what it asks for.

use crate::{
    chat::{ErrorCode, Refusal, UserName},
    history::StoreFault,
    limits,
};

/// The store has no room for a message or a question.
pub(crate) fn busy() -> Refusal {
    ErrorCode::Busy
        .because("the store has as much to do as it may hold; try again in a moment")
        .retry_after(limits::BUSY_RETRY)
}

/// The store has no room for the question that a hello needs.
pub(crate) fn busy_for_hello() -> Refusal {
    ErrorCode::Busy
        .because("the store has as much to do as it may hold; say hello again")
        .retry_after(limits::BUSY_RETRY)
}

/// The store failed. It is tried again every [`limits::HISTORY_PROBE`], so asking sooner gains nothing; a question beyond a bound stays
/// beyond it.
pub(super) fn failed(why: &StoreFault) -> Refusal {
    let text = match why {
        StoreFault::Full { .. } => "the disk is full; nothing was sent, try again later",
        StoreFault::ReadOnly { .. } => "the store cannot be written; nothing was sent, try again later",
        StoreFault::Damaged { .. } | StoreFault::Broken { .. } => {
            "the store has a fault that its operator has to look at; nothing was sent"
        }
        StoreFault::Refused { seen } => return ErrorCode::StoreFailed.because(seen.clone()),
        StoreFault::Stopping => "the server is going down; nothing was sent",
    };
    ErrorCode::StoreFailed.because(text).retry_after(limits::HISTORY_PROBE)
}

/// The store answered another question than was asked.
pub(super) fn no_answer() -> Refusal {
    ErrorCode::StoreFailed.because("the store gave no answer")
}

/// The server keeps no history.
pub(super) fn no_history() -> Refusal {
    ErrorCode::NoHistory.because("this server keeps no history")
}

/// Somebody says a reserved name without its key.
pub(super) fn reserved(name: &UserName) -> Refusal {
    ErrorCode::NameReserved.because(format!(
        "{name} is reserved for the holder of its key; give that key, or take another name"
    ))
}

/// A session asks for stored messages that are not its own.
pub(super) fn not_yours(name: &UserName) -> Refusal {
    ErrorCode::NameReserved.because(format!(
        "stored direct messages of {name} are not for this session, which was given that name or does not have its key; say hello \
         under a name of your own"
    ))
}
