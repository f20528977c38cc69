//! The page of document 000 and the ways in which its clients give their user's name, over real sockets.
#![allow(clippy::unwrap_used)]

mod support;

use prost::Message as _;
use support::{Heard, Peer, Running, get, settings, start, strings};

/// `Communication` of document 000, written by hand from its schema.
#[derive(Clone, PartialEq, prost::Message)]
struct Communication {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    msg: String,
    #[prost(string, tag = "3")]
    username: String,
    #[prost(string, repeated, tag = "4")]
    userlist: Vec<String>,
    #[prost(string, tag = "5")]
    ip: String,
}

fn say(peer: &mut Peer, kind: &str, msg: &str) {
    peer.send_binary(&strings(&[kind, msg]));
}

/// The next message that is no list: programs are sent lists when somebody comes or goes.
fn next_talk(peer: &mut Peer) -> Communication {
    loop {
        let message = next(peer);
        if message.kind != "3" {
            return message;
        }
    }
}

fn next(peer: &mut Peer) -> Communication {
    match peer.hear() {
        Heard::Binary(payload) => Communication::decode(&payload[..]).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_schema_that_the_page_loads_is_the_documents() {
    let server = start();
    let schema = get(server.address, "/connect.proto");
    assert_eq!(schema.status, 200);
    for line in [
        "package com;",
        "message Communication",
        "string Type = 1;",
        "string Msg = 2;",
        "string Username = 3;",
        "repeated string Userlist = 4;",
        "string IP = 5;",
    ] {
        assert!(schema.body.contains(line), "{line} is not in {schema:?}");
    }
    assert_eq!(get(server.address, "/").status, 200);
    let page = get(server.address, "/communication");
    assert!(page.body.contains("communication/page.js"));
}

#[test]
fn addresses_are_shown_when_the_operator_wants_it_and_otherwise_not() {
    for (shown, expected) in [("false", ""), ("true", "192.0.2.7")] {
        let server = Running::start(&settings(&[
            ("chat.communication_show_ip", shown),
            ("http.trusted_proxies", "127.0.0.1"),
        ]));
        let mut watcher = Peer::websocket(server.address, "/ws/communication?username=w");
        say(&mut watcher, "3", "");
        next(&mut watcher);
        let from = [("X-Forwarded-For", &b"192.0.2.7"[..])];
        let mut talker = Peer::open(server.address, "/ws/communication?username=a", &from);
        say(&mut talker, "1", "hi");
        let talk = next_talk(&mut watcher);
        assert_eq!((talk.msg.as_str(), talk.ip.as_str()), ("a:hi", expected));
        // Somebody of another dialect has no address here.
        let mut other = Peer::open(server.address, "/ws/chatroom", &[("username", b"b")]);
        other.send_binary(&strings(&["talk", "", "x"]));
        let talk = next_talk(&mut watcher);
        assert_eq!((talk.msg.as_str(), talk.ip.as_str()), ("b:x", ""));
    }
}

/// Reads lists until one names these users; at most a few may come, for they are coalesced.
fn wait_for_list(peer: &mut Peer, names: &[&str]) {
    for _ in 0..2 * names.len() + 4 {
        let list = next(peer);
        assert_eq!(list.kind, "3");
        if list.userlist == names {
            return;
        }
    }
    panic!("no list of {names:?}");
}

#[test]
fn programs_are_sent_the_list_when_somebody_comes_or_goes_and_pages_are_not() {
    let server = start();
    let mut ann = Peer::websocket(server.address, "/ws?username=ann");
    wait_for_list(&mut ann, &["ann"]);
    let mut page = Peer::open(server.address, "/ws?username=page", &[("Origin", b"null")]);
    wait_for_list(&mut ann, &["ann", "page"]);
    let mut tutor = Peer::websocket(server.address, "/ws/tutorial");
    tutor.send_text(r#"{"type":"login","content":"bob"}"#);
    wait_for_list(&mut ann, &["ann", "bob", "page"]);
    tutor.send_text(r#"{"type":"rename","content":"kim"}"#);
    wait_for_list(&mut ann, &["ann", "kim", "page"]);
    drop(tutor);
    wait_for_list(&mut ann, &["ann", "page"]);
    say(&mut page, "1", "hi");
    assert_eq!(next(&mut page).msg, "page:hi");
}
