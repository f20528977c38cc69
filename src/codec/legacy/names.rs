//! How the old formats show names and lines of chat.
//!
//! Clients join names with `,` and `:` and have no field for a direct message. So names are altered until no user's name looks like a
//! list, a prefix, the sender of a direct message, or the server itself.

use std::{borrow::Cow, collections::BTreeMap};

use crate::chat::{Direct, Reply, UserName};

/// The sender name of the server's own lines; [`shown`] never returns it.
pub(super) const SYSTEM: &str = "系统";

/// A user's name as these dialects show it. They join names with `,` and `:`, so those become `，` and `：`;
/// `→` becomes `⇒`, because it marks direct messages; and no user has the server's own name.
pub(super) fn shown(name: &UserName) -> Cow<'_, str> {
    let name = unlike_system(name.as_str());
    if name.contains([',', ':', ARROW]) {
        Cow::Owned(without_arrow(&name).replace(',', "，").replace(':', "："))
    } else {
        name
    }
}

/// Alters a user's name that equals the server's own.
pub(super) fn unlike_system(name: &str) -> Cow<'_, str> {
    // Equality is enough: a name has no invisible characters, so no other one looks like this.
    if name == SYSTEM {
        Cow::Borrowed("系统(用户)")
    } else {
        Cow::Borrowed(name)
    }
}

/// Alters a name that looks like the sender of a direct message.
pub(super) fn without_arrow(name: &str) -> Cow<'_, str> {
    if name.contains(ARROW) {
        Cow::Owned(name.replace(ARROW, "⇒"))
    } else {
        Cow::Borrowed(name)
    }
}

/// The sender name of a direct message. It also names the receiver, because these dialects have no other field for that.
pub(super) fn shown_direct(direct: &Direct) -> String {
    format!("{}{ARROW}{}", shown(&direct.message.from), shown(&direct.to.name))
}

/// The list as one text, with a comma after each name, as the pages of documents 000 and 001 show it.
pub(super) fn joined(names: &[UserName]) -> String {
    let mut text = String::with_capacity(names.len() * 12);
    for name in names {
        text.push_str(&shown(name));
        text.push(',');
    }
    text
}

/// The list as a map from each name to itself, as the clients of documents 001 and 002 read it.
pub(super) fn mapped(names: &[UserName]) -> BTreeMap<String, String> {
    names
        .iter()
        .map(|name| (shown(name).into_owned(), shown(name).into_owned()))
        .collect()
}

/// A reply that clients of documents 000 to 002 show as a line of chat: the sender name and the text.
pub(super) fn line(reply: &Reply) -> Option<(Cow<'_, str>, &str)> {
    match reply {
        Reply::Replayed { message, .. } => Some((shown(&message.from), &message.text)),
        Reply::Direct(direct) => Some((shown_direct(direct).into(), &direct.message.text)),
        Reply::System { text } => Some((SYSTEM.into(), text)),
        Reply::Error(refusal) => Some((SYSTEM.into(), &refusal.text)),
        Reply::Greeting { .. }
        | Reply::Welcome(_)
        | Reply::Joined(_)
        | Reply::Left { .. }
        | Reply::Ack { .. }
        | Reply::UserPage { .. }
        | Reply::RoomPage { .. }
        | Reply::TopicSet { .. }
        | Reply::Renamed { .. }
        | Reply::History(_)
        | Reply::Search { .. }
        | Reply::ReadMark { .. }
        | Reply::UnreadList(_)
        | Reply::TypingTo { .. }
        | Reply::PeerLeft { .. }
        | Reply::Gap { .. }
        | Reply::Pong { .. }
        | Reply::Goodbye { .. } => None,
    }
}

/// Separates the two names of a direct message.
const ARROW: char = '→';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_can_forge_a_list_a_prefix_or_the_server() {
        let name = |text| UserName::parse(text).unwrap();
        assert_eq!(shown(&name("a:b,c")), "a：b，c");
        assert_eq!(shown(&name("张三")), "张三");
        assert_ne!(shown(&name("系统")), SYSTEM);
        assert_eq!(joined(&[name("a,b"), name("c")]), "a，b,c,");
        assert_eq!(joined(&[]), "");
    }
}
