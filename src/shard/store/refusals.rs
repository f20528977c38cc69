//! The refusals for requests that the store, or the rules of names, do not allow.

use crate::{
    chat::{ErrorCode, Refusal, UserName},
    history::StoreFault,
    limits,
};

/// The queue of the store is full.
pub(crate) fn busy() -> Refusal {
    ErrorCode::Busy
        .because("the queue of the store is full; try again in a moment")
        .retry_after(limits::BUSY_RETRY)
}

/// The queue of the store is full, so a hello cannot be checked.
pub(crate) fn busy_for_hello() -> Refusal {
    ErrorCode::Busy
        .because("the queue of the store is full; say hello again")
        .retry_after(limits::BUSY_RETRY)
}

/// The store failed. It retries every [`limits::HISTORY_PROBE`], so asking sooner gains nothing. A question that exceeds a bound
/// ([`StoreFault::Refused`]) gets no `retry_after`, because a retry would fail too.
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

/// The store gave an answer of the wrong type.
pub(super) fn no_answer() -> Refusal {
    ErrorCode::StoreFailed.because("the store gave no answer")
}

pub(super) fn no_history() -> Refusal {
    ErrorCode::NoHistory.because("this server keeps no history")
}

/// A session wants a reserved name without its key.
pub(super) fn reserved(name: &UserName) -> Refusal {
    ErrorCode::NameReserved.because(format!(
        "{name} is reserved for the holder of its key; give that key, or take another name"
    ))
}

/// A session asks for stored messages of a name to which it has no right.
pub(super) fn not_yours(name: &UserName) -> Refusal {
    ErrorCode::NameReserved.because(format!(
        "stored direct messages of {name} are not for this session, which was given that name or does not have its key; say hello \
         under a name of your own"
    ))
}
