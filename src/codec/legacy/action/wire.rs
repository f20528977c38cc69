//! The messages of document 003 in both directions, and its table of codes.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    chat::{ErrorCode, MessageKind},
    codec::Frames,
};

/// A request. `action` determines the type of `data`. Types are as strict as in the original, which was written in Go: a field that is
/// `null` or missing is empty, and any other type is an error.
#[derive(Default, Deserialize)]
pub(super) struct ActionRequest {
    #[serde(default)]
    pub(super) seq: Option<String>,
    #[serde(default)]
    pub(super) action: Option<String>,
    #[serde(default)]
    pub(super) data: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoginData {
    #[serde(default)]
    pub(super) token: Option<String>,
    #[serde(default)]
    pub(super) app_id: Option<u32>,
    #[serde(default)]
    pub(super) user_id: Option<String>,
    #[serde(default)]
    pub(super) to_uid: Option<String>,
    #[serde(default)]
    pub(super) groups_id: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct HeartbeatData {}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SendData {
    #[serde(default)]
    pub(super) msg_type: Option<String>,
    #[serde(default)]
    pub(super) message: Option<String>,
}

/// The codes of document 003 that this format uses. 1007 is for deletions, which Plaza does not have; the HTTP page that lists
/// groups returns 1011.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Success,
    NotLoggedIn,
    BadParameters,
    BadUserId,
    Unauthorized,
    ServerError,
    NoData,
    NotAdded,
    NotStored,
    Failed,
    NoRoute,
}

/// An event of the server.
pub(super) struct Push<'a> {
    pub(super) action: &'static str,
    pub(super) id: &'a str,
    pub(super) kind: &'a str,
    pub(super) content: &'a str,
    pub(super) from: &'a str,
    pub(super) at: u64,
}

#[derive(Serialize)]
struct Response<'a> {
    seq: &'a str,
    action: &'a str,
    response: ResponseBody,
}

#[derive(Serialize)]
struct ResponseBody {
    code: u16,
    msg: &'static str,
    data: (),
}

#[derive(Serialize)]
struct PushFrame<'a> {
    code: u16,
    msg: &'static str,
    data: PushData<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PushData<'a> {
    action: &'a str,
    msg_id: &'a str,
    msg_type: &'a str,
    content: &'a str,
    from: &'a str,
    to: &'a str,
    msg_timestamp: String,
}

/// An id; `None` for an empty text or the word `null`, which clients send for a missing id.
pub(super) fn given(id: Option<String>) -> Option<String> {
    id.filter(|id| !id.is_empty() && id != "null")
}

impl Code {
    pub(super) const fn number(self) -> u16 {
        match self {
            Self::Success => 200,
            Self::NotLoggedIn => 1000,
            Self::BadParameters => 1001,
            Self::BadUserId => 1002,
            Self::Unauthorized => 1003,
            Self::ServerError => 1004,
            Self::NoData => 1005,
            Self::NotAdded => 1006,
            Self::NotStored => 1008,
            Self::Failed => 1009,
            Self::NoRoute => 1010,
        }
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::NotLoggedIn => "未登录",
            Self::BadParameters => "参数不合法",
            Self::BadUserId => "非法的用户Id",
            Self::Unauthorized => "未授权",
            Self::ServerError => "系统错误",
            Self::NoData => "没有数据",
            Self::NotAdded => "添加错误",
            Self::NotStored => "存储错误",
            Self::Failed => "操作失败",
            Self::NoRoute => "路由不存在",
        }
    }
}

impl From<ErrorCode> for Code {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Malformed | ErrorCode::Invalid => Self::BadParameters,
            ErrorCode::UnknownRequest => Self::NoRoute,
            ErrorCode::BadName => Self::BadUserId,
            ErrorCode::NoHello => Self::NotLoggedIn,
            ErrorCode::NameReserved | ErrorCode::NotMember | ErrorCode::Unauthorized | ErrorCode::Forbidden => {
                Self::Unauthorized
            }
            ErrorCode::NoSuchRoom | ErrorCode::NoSuchUser | ErrorCode::NoHistory => Self::NoData,
            ErrorCode::TooManyRooms => Self::NotAdded,
            ErrorCode::StoreFailed => Self::NotStored,
            ErrorCode::HelloAgain | ErrorCode::AlreadyMember | ErrorCode::KeyConflict | ErrorCode::Busy => Self::Failed,
            ErrorCode::Draining => Self::ServerError,
        }
    }
}

impl Push<'_> {
    /// Writes it for one receiver.
    pub(super) fn write(&self, to: &str, out: &mut Frames) {
        write(&self.frame(to), out);
    }

    /// Writes it for every member of a room, with `to` left open for each name.
    pub(super) fn write_for_each(&self, out: &mut Frames) {
        // Cannot fail: strings and numbers only.
        if let Ok(text) = serde_json::to_string(&self.frame("")) {
            let behind = format!("\",\"msgTimestamp\":\"{}\"}}}}", self.seconds());
            out.addressed_text(&text, text.len().saturating_sub(behind.len()));
        }
    }

    fn frame<'f>(&'f self, to: &'f str) -> PushFrame<'f> {
        PushFrame {
            code: 200,
            msg: "success",
            data: PushData {
                action: self.action,
                msg_id: self.id,
                msg_type: self.kind,
                content: self.content,
                from: self.from,
                to,
                msg_timestamp: self.seconds(),
            },
        }
    }

    fn seconds(&self) -> String {
        (self.at / 1000).to_string()
    }
}

/// Answers one request.
pub(super) fn respond(seq: &str, action: &str, code: Code, out: &mut Frames) {
    write(
        &Response {
            seq,
            action,
            response: ResponseBody {
                code: code.number(),
                msg: code.text(),
                data: (),
            },
        },
        out,
    );
}

/// The kind of a message. Clients may use any word; an unknown one is text.
pub(super) fn kind(name: &str) -> MessageKind {
    match name {
        "image" | "img" => MessageKind::Image,
        "video" => MessageKind::Video,
        "voice" => MessageKind::Voice,
        _ => MessageKind::Text,
    }
}

/// The original's word for a kind.
pub(super) const fn kind_name(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Text => "text",
        MessageKind::Image => "image",
        MessageKind::Video => "video",
        MessageKind::Voice => "voice",
    }
}

fn write(message: &impl Serialize, out: &mut Frames) {
    // Cannot fail: strings and numbers only.
    if let Ok(text) = serde_json::to_string(message) {
        out.text(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_document_003s() {
        let table = [
            (Code::Success, 200, "Success"),
            (Code::NotLoggedIn, 1000, "未登录"),
            (Code::BadParameters, 1001, "参数不合法"),
            (Code::BadUserId, 1002, "非法的用户Id"),
            (Code::Unauthorized, 1003, "未授权"),
            (Code::ServerError, 1004, "系统错误"),
            (Code::NoData, 1005, "没有数据"),
            (Code::NotAdded, 1006, "添加错误"),
            (Code::NotStored, 1008, "存储错误"),
            (Code::Failed, 1009, "操作失败"),
            (Code::NoRoute, 1010, "路由不存在"),
        ];
        for (code, number, text) in table {
            assert_eq!((code.number(), code.text()), (number, text));
        }
    }

    #[test]
    fn no_error_of_the_chat_looks_like_success() {
        for code in ErrorCode::ALL {
            assert_ne!(Code::from(code), Code::Success, "{code:?}");
        }
    }
}
