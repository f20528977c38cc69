// The JSON form of the messages of `plaza/v1/chat.proto`. The build scripts of the server and of the Rust client include this
// file, so the two cannot differ. The rules are in docs/protocol.md, "JSON".

/// Messages of clients. A field with its default value is left out.
const ASKED: [&str; 17] = [
    "Hello", "Position", "Join", "Leave", "Talk", "Direct", "Users", "Rooms", "SetTopic", "Rename", "History", "Search",
    "Read", "Unread", "Typing", "Ping", "Exit",
];

/// Messages of the server. Every field is present, except those in [`LEFT_OUT`] when they are empty.
const TOLD: [&str; 24] = [
    "Welcome", "Limits", "Joined", "Left", "Message", "DirectMessage", "Ack", "UserPage", "RoomPage", "RoomEntry",
    "Topic", "Presence", "Renamed", "HistoryPage", "SearchPage", "ReadMark", "UnreadList", "Conversation", "IsTyping",
    "Gap", "System", "Pong", "Error", "Goodbye",
];

/// Fields whose absence has a meaning: the one of `room` and `peer` that does not apply, users who did not join or leave, and an
/// unknown read marker.
const LEFT_OUT: [&str; 19] = [
    "Message.room", "Renamed.room", "Renamed.key", "HistoryPage.room", "HistoryPage.peer", "SearchPage.room", "SearchPage.peer",
    "ReadMark.room", "ReadMark.peer", "Conversation.room", "Conversation.peer", "IsTyping.room", "Gap.room",
    "Gap.peer", "System.room", "Presence.joined", "Presence.left", "Presence.names", "Joined.read",
];

/// Gives the generated types their JSON form. The envelopes are not derived for reading: both sides read them by hand, so
/// that an error has the id.
fn as_json(config: &mut prost_build::Config) {
    const SKIP_DEFAULT: &str = "#[serde(skip_serializing_if = \"super::json_fields::is_default\")]";
    config
        // Ordered maps: the same message is the same bytes, every time.
        .btree_map(["."])
        .type_attribute(".plaza.v1", "#[derive(serde::Serialize)]")
        .type_attribute(".plaza.v1", "#[serde(rename_all = \"snake_case\")]")
        .field_attribute("ClientMessage.id", SKIP_DEFAULT)
        .field_attribute("ServerMessage.id", SKIP_DEFAULT)
        .field_attribute("ClientMessage.request", "#[serde(flatten)]")
        .field_attribute("ServerMessage.event", "#[serde(flatten)]");
    for message in ASKED {
        config.field_attribute(format!(".plaza.v1.{message}"), SKIP_DEFAULT);
    }
    for message in ASKED.iter().chain(&TOLD) {
        config
            .message_attribute(format!(".plaza.v1.{message}"), "#[derive(serde::Deserialize)]")
            .message_attribute(format!(".plaza.v1.{message}"), "#[serde(default)]");
    }
    for field in LEFT_OUT {
        config.field_attribute(format!(".plaza.v1.{field}"), SKIP_DEFAULT);
    }
    config.field_attribute("kind", "#[serde(with = \"super::json_fields::kind\")]");
}
