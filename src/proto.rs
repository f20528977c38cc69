//! The types that prost generates from the schemas in `proto/`.

#[path = "../proto/json_fields.rs"]
mod json_fields;

pub(crate) use json_fields::{
    is_default,
    kind::{WORDS as KIND_WORDS, serialize as kind},
};

/// Plaza's own protocol, `proto/plaza/v1/chat.proto`.
pub mod plaza {
    include!(concat!(env!("OUT_DIR"), "/plaza.v1.rs"));
}

/// The schema of the clients of document 000, `proto/legacy/communication.proto`.
pub mod communication {
    include!(concat!(env!("OUT_DIR"), "/com.rs"));
}

/// The schema of the clients of document 001, `proto/legacy/chat_request.proto`.
pub mod chat_request {
    include!(concat!(env!("OUT_DIR"), "/legacy.chat_request.rs"));
}

/// The schema of the clients of document 002, `proto/legacy/chatroom.proto`.
pub mod chatroom {
    include!(concat!(env!("OUT_DIR"), "/config.rs"));
}
