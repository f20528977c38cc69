//! Requests of a client of document 004, and what it receives.

use super::*;
use crate::{
    chat::Departure,
    codec::{
        handshake::tests::silent,
        json::tests::malformed,
        testing::{
            self, all, came, digest, direct, list, message, names, refusal, renamed, texts, user, welcome, went,
        },
    },
};

fn seen(encoding: usize, happening: &Happening) -> Vec<String> {
    texts(&testing::seen(&Tutorial::DEFAULT, encoding, happening))
}

fn sent(codec: &mut Box<dyn Codec>, id: RequestId, reply: &Reply) -> Vec<String> {
    texts(&testing::reply_frames(&mut **codec, id, reply))
}

fn ask(codec: &mut Box<dyn Codec>, text: &str) -> Result<Vec<Request>, Fault> {
    testing::ask(&mut **codec, text)
}

fn is_refused(codec: &mut Box<dyn Codec>, text: &str, code: ErrorCode) {
    match ask(codec, text) {
        Err(Fault::Refused(None, refusal)) => assert_eq!(refusal.code, code, "{text}"),
        other => panic!("{text}: {other:?}"),
    }
}

fn logged_in() -> Box<dyn Codec> {
    let mut codec = Tutorial::DEFAULT.open(&silent());
    let requests = ask(&mut codec, r#"{"type":"login","content":"tom"}"#).unwrap();
    sent(&mut codec, requests[0].id, &welcome("tom"));
    codec
}

#[test]
fn the_handshake_shows_address_and_list_with_all_six_keys_in_order() {
    let mut codec = Tutorial::DEFAULT.open(&silent());
    assert_eq!(codec.opening().unwrap(), []);
    let peer = "192.0.2.7:50123".parse().unwrap();
    let greeting = |users| Reply::Greeting { peer, users };
    for (users, listed) in [(&["ann", "张三"][..], r#""ann","张三""#), (&[], "")] {
        let due = r#"{"ip":"192.0.2.7:50123","user":"","from":"","type":"handshake","content":"","user_list":[USERS]}"#;
        let shown = sent(&mut codec, None, &greeting(all(users)));
        assert_eq!(shown, [due.replace("USERS", listed)]);
    }
}

#[test]
fn login_is_a_hello_and_a_join_of_the_lobby() {
    let mut codec = Tutorial::DEFAULT.open(&silent());
    let requests = ask(&mut codec, r#"{"type":"login","content":"张三"}"#).unwrap();
    assert!(matches!(&requests[0].command, Command::Hello(hello) if hello.name.as_ref().unwrap().as_str() == "张三"));
    assert!(matches!(&requests[1].command, Command::Join { room, since: Since::Now } if *room == RoomName::lobby()));
}

#[test]
fn login_without_a_name_or_with_null_is_a_guest() {
    for content in ["", r#","content":null"#, r#","content":" ""#] {
        let mut codec = Tutorial::DEFAULT.open(&silent());
        let requests = ask(&mut codec, &format!(r#"{{"type":"login"{content}}}"#)).unwrap();
        assert!(
            matches!(&requests[0].command, Command::Hello(hello) if hello.name.is_none()),
            "{content}"
        );
    }
}

#[test]
fn fields_that_the_page_does_not_send_are_ignored() {
    let mut codec = logged_in();
    let text =
        r#"{"ip":"1","user":"mallory","from":7,"type":"user","content":"<b>你好</b>","user_list":[1,[2]],"x":{}}"#;
    let requests = ask(&mut codec, text).unwrap();
    assert!(matches!(&requests[0].command, Command::Talk { text, .. } if &**text == "<b>你好</b>"));
}

#[test]
fn messages_and_notices_are_golden() {
    assert_eq!(
        seen(0, &Happening::Message(message("tom", "a \"quoted\" <b>"))),
        [r#"{"ip":"","user":"tom","from":"tom","type":"user","content":"a \"quoted\" <b>","user_list":[]}"#]
    );
    assert_eq!(
        seen(0, &came("tom", Some(all(&["ann", "tom"])))),
        [r#"{"ip":"","user":"tom","from":"tom","type":"login","content":"tom","user_list":["ann","tom"]}"#]
    );
    for how in [Departure::Requested, Departure::Disconnected] {
        assert_eq!(
            seen(1, &went("tom", how)),
            [r#"{"ip":"","user":"tom","from":"","type":"logout","content":"tom","user_list":["ann"]}"#]
        );
    }
    assert_eq!(
        seen(0, &Happening::System { text: "维护".into() }),
        [r#"{"ip":"","user":"","from":"","type":"system","content":"维护","user_list":[]}"#]
    );
}

#[test]
fn a_rename_is_a_logout_and_a_login_to_those_who_never_renamed_or_listed() {
    assert_eq!(
        seen(PLAIN, &renamed("tom", "tim")),
        [
            r#"{"ip":"","user":"tom","from":"","type":"logout","content":"tom","user_list":["ann","tim"]}"#,
            r#"{"ip":"","user":"tim","from":"tim","type":"login","content":"tim","user_list":["ann","tim"]}"#
        ]
    );
    assert_eq!(
        seen(EXTENDED, &renamed("tom", "tim")),
        [r#"{"ip":"","user":"tim","from":"tom","type":"rename","content":"tim","user_list":["ann","tim"]}"#]
    );
    for text in [r#"{"type":"rename","content":"tim"}"#, r#"{"type":"list"}"#] {
        let mut codec = logged_in();
        assert_eq!(codec.encoding(), PLAIN);
        ask(&mut codec, text).unwrap();
        assert_eq!(codec.encoding(), EXTENDED);
    }
}

#[test]
fn a_list_answers_the_asker_and_online_appears_only_where_names_are_missing() {
    let mut codec = logged_in();
    let requests = ask(&mut codec, r#"{"type":"list"}"#).unwrap();
    assert!(
        matches!(&requests[0].command, Command::Users { page, .. } if page.limit == crate::limits::LEGACY_USERS_LISTED)
    );
    assert_eq!(
        sent(&mut codec, None, &names(&["ann", "tom"])),
        [r#"{"ip":"","user":"","from":"","type":"list","content":"","user_list":["ann","tom"]}"#]
    );
    let cut = Reply::UserPage {
        room: RoomName::lobby(),
        users: list(&["ann"], 9000),
        next: Some(user("ann")),
    };
    assert_eq!(
        sent(&mut codec, None, &cut),
        [r#"{"ip":"","user":"","from":"","type":"list","content":"","user_list":["ann"],"online":9000}"#]
    );
}

#[test]
fn a_digest_is_one_notice_with_the_cut_list_and_the_number() {
    assert_eq!(
        seen(0, &digest(Some("tom"), Some("tim"))),
        [
            r#"{"ip":"","user":"tom","from":"tom","type":"login","content":"tom","user_list":["ann","bob"],"online":9000}"#
        ]
    );
    assert_eq!(
        seen(0, &digest(None, Some("tim"))),
        [r#"{"ip":"","user":"tim","from":"","type":"logout","content":"tim","user_list":["ann","bob"],"online":9000}"#]
    );
    assert_eq!(seen(0, &digest(None, None)), [""; 0]);
}

#[test]
fn what_comes_too_early_twice_or_empty_is_refused_and_the_connection_goes_on() {
    let mut codec = Tutorial::DEFAULT.open(&silent());
    let early = ["user", "rename", "list"].map(|kind| format!(r#"{{"type":"{kind}","content":"x"}}"#));
    for text in early {
        is_refused(&mut codec, &text, ErrorCode::NoHello);
    }
    let mut codec = logged_in();
    for (text, code) in [
        (r#"{"type":"login","content":"tim"}"#, ErrorCode::HelloAgain),
        (r#"{"type":"user","content":""}"#, ErrorCode::Invalid),
        (r#"{"type":"user"}"#, ErrorCode::Invalid),
        (r#"{"type":"rename","content":""}"#, ErrorCode::BadName),
        (r#"{"type":"rename","content":"a\nb"}"#, ErrorCode::BadName),
        (r#"{"type":"shout","content":"x"}"#, ErrorCode::UnknownRequest),
        (r#"{"content":"x"}"#, ErrorCode::UnknownRequest),
        (r#"{}"#, ErrorCode::UnknownRequest),
        (r#"{"type":7}"#, ErrorCode::Malformed),
    ] {
        is_refused(&mut codec, text, code);
    }
    let requests = ask(&mut codec, r#"{"type":"logout"}"#).unwrap();
    assert_eq!(requests[0].command, Command::Exit);
}

#[test]
fn a_refused_login_is_told_once_and_may_be_tried_again() {
    let mut codec = Tutorial::DEFAULT.open(&silent());
    let login = r#"{"type":"login","content":"tom"}"#;
    let first = ask(&mut codec, login).unwrap();
    assert_eq!(
        sent(&mut codec, first[0].id, &refusal()),
        [
            r#"{"ip":"","user":"","from":"","type":"system","content":"the disk is full; the message was not sent","user_list":[]}"#
        ]
    );
    assert_eq!(sent(&mut codec, first[1].id, &refusal()), [""; 0]);
    assert_eq!(ask(&mut codec, login).unwrap().len(), 2);
}

#[test]
fn the_last_words_and_direct_messages_are_shown() {
    let mut codec = logged_in();
    let goodbye = Reply::Goodbye {
        code: crate::chat::GoodbyeCode::Idle,
        text: "nothing said for 10 minutes".into(),
        retry_after: None,
    };
    assert!(sent(&mut codec, None, &goodbye)[0].contains(r#""type":"system","content":"nothing said for 10 minutes""#));
    assert_eq!(
        sent(&mut codec, None, &direct("bob", "tom", "psst")),
        [r#"{"ip":"","user":"bob","from":"bob→tom","type":"user","content":"psst","user_list":[]}"#]
    );
}

#[test]
fn malformed_frames_are_refused() {
    let frames = malformed();
    assert!(frames.len() >= 20);
    for frame in frames {
        let mut codec = logged_in();
        match codec.decode(Message::Text(&frame), &mut Vec::new()) {
            Err(Fault::Refused(None, refusal)) => assert_eq!(refusal.code, ErrorCode::Malformed, "{frame:?}"),
            other => panic!("{frame:?} gave {other:?}"),
        }
    }
}

#[test]
fn the_senders_address_is_shown_where_the_operator_wants_it_and_only_of_this_dialects_users() {
    let settings = DialectSettings {
        tutorial_show_ip: true,
        ..DialectSettings::default()
    };
    let dialect = Tutorial::DEFAULT.configured(&settings).unwrap();
    let said = Happening::Message(message("tom", "hi"));
    let shown = || texts(&testing::seen(dialect, PLAIN, &said)).remove(0);
    assert!(shown().starts_with(r#"{"ip":"","#));
    let mut codec = dialect.open(&silent());
    sent(&mut codec, None, &welcome("tom"));
    assert!(shown().starts_with(r#"{"ip":"192.0.2.7:50123","#), "{}", shown());
    drop(codec);
    assert!(shown().starts_with(r#"{"ip":"","#));
}
