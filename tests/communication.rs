//! The page of document 000 and the ways in which its clients name their user, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod support;

use plaza_client::{RawConfig, RawSocket};
use prost::Message as _;
use support::{PATIENCE, Running, start};
use tokio::time::timeout;

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

async fn say(socket: &RawSocket, kind: &str, msg: &str) {
    let message = Communication {
        kind: kind.to_owned(),
        msg: msg.to_owned(),
        ..Communication::default()
    };
    socket.send_binary(message.encode_to_vec()).await.unwrap();
}

/// The next message that is no list: programs are sent lists when somebody comes or goes.
async fn next_talk(socket: &RawSocket) -> Communication {
    loop {
        let message = next(socket).await;
        if message.kind != "3" {
            return message;
        }
    }
}

async fn next(socket: &RawSocket) -> Communication {
    let payload = timeout(PATIENCE, socket.next_payload())
        .await
        .expect("nothing came")
        .unwrap();
    Communication::decode(payload).unwrap()
}

async fn name_of(client: RawConfig) -> String {
    let socket = client.connect().await.unwrap();
    say(&socket, "1", "你好").await;
    let talk = next_talk(&socket).await;
    assert_eq!(talk.msg, format!("{}:你好", talk.username));
    talk.username
}

#[tokio::test]
async fn a_user_is_named_by_query_or_header_percent_encoded_or_raw() {
    let server = start(&[]);
    for path in ["/ws/communication", "/ws", "//ws"] {
        let with = |query: &str| server.client(&format!("{path}{query}"));
        let plain = |server: &Running| server.client(path);
        assert_eq!(name_of(with("?username=%E5%BC%A0%E4%B8%89")).await, "张三", "{path}");
        assert_eq!(name_of(with("?username=a+b")).await, "a b", "{path}");
        assert_eq!(
            name_of(plain(&server).header("login-username", "李四".as_bytes())).await,
            "李四",
            "{path}"
        );
        assert_eq!(
            name_of(plain(&server).header("login-username", "%E6%9D%8E%2B+")).await,
            "李++",
            "{path}"
        );
        assert_eq!(
            name_of(with("?username=first").header("login-username", "second")).await,
            "first",
            "{path}"
        );
    }
    let pinned = server.client("/ws/communication").header("username", "王五".as_bytes());
    assert_eq!(name_of(pinned).await, "王五");
    assert!(name_of(server.client("/ws/communication")).await.starts_with("guest-"));
}

#[tokio::test]
async fn raw_utf8_in_the_request_line_names_a_user() {
    let server = start(&[]);
    let head = "GET /ws?username=张三 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n";
    let watcher = server.client("/ws/communication?username=w").connect().await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes())
        .await
        .unwrap();
    // Asked until the list has them both.
    for _ in 0..100 {
        say(&watcher, "3", "").await;
        let list = next(&watcher).await;
        if list.userlist.len() == 2 {
            assert_eq!(list.userlist, ["w", "张三"]);
            assert_eq!(list.msg, "w,张三,");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the second user never came");
}

#[tokio::test]
async fn the_schema_that_the_page_loads_is_the_documents() {
    let server = start(&[]);
    let (status, schema) = server.get("/connect.proto").await;
    assert_eq!(status, 200);
    for line in [
        "package com;",
        "message Communication",
        "string Type = 1;",
        "string Msg = 2;",
        "string Username = 3;",
        "repeated string Userlist = 4;",
        "string IP = 5;",
    ] {
        assert!(schema.contains(line), "{line} is not in {schema}");
    }
    assert_eq!(server.get("/").await.0, 200);
    assert!(server.get("/communication").await.1.contains("communication/page.js"));
}

#[tokio::test]
async fn addresses_are_shown_when_the_operator_wants_it_and_otherwise_not() {
    for (shown, expected) in [("false", ""), ("true", "192.0.2.7")] {
        let server = start(&[
            ("chat.communication_show_ip", shown),
            ("http.trusted_proxies", "127.0.0.1"),
        ]);
        let watcher = server.client("/ws/communication?username=w").connect().await.unwrap();
        say(&watcher, "3", "").await;
        next(&watcher).await;
        let from = server
            .client("/ws/communication?username=a")
            .header("X-Forwarded-For", "192.0.2.7");
        let talker = from.connect().await.unwrap();
        say(&talker, "1", "hi").await;
        let talk = next_talk(&watcher).await;
        assert_eq!((talk.msg.as_str(), talk.ip.as_str()), ("a:hi", expected));
        // Somebody of another dialect has no address here.
        let other = server
            .client("/ws/chatroom")
            .header("username", "b")
            .connect()
            .await
            .unwrap();
        other
            .send_binary([0x0A, 4, b't', b'a', b'l', b'k', 0x1A, 1, b'x'])
            .await
            .unwrap();
        let talk = next_talk(&watcher).await;
        assert_eq!((talk.msg.as_str(), talk.ip.as_str()), ("b:x", ""));
    }
}

/// Reads lists until one names these users; at most a few may come, for they are coalesced.
async fn wait_for_list(socket: &RawSocket, names: &[&str]) {
    for _ in 0..2 * names.len() + 4 {
        let list = next(socket).await;
        assert_eq!(list.kind, "3");
        if list.userlist == names {
            return;
        }
    }
    panic!("no list of {names:?}");
}

#[tokio::test]
async fn programs_are_sent_the_list_when_somebody_comes_or_goes_and_pages_are_not() {
    let server = start(&[]);
    let ann = server.client("/ws?username=ann").connect().await.unwrap();
    wait_for_list(&ann, &["ann"]).await;
    let page = server
        .client("/ws?username=page")
        .header("Origin", "null")
        .connect()
        .await
        .unwrap();
    wait_for_list(&ann, &["ann", "page"]).await;
    let tutor = server.client("/ws/tutorial").connect().await.unwrap();
    tutor.send_text(r#"{"type":"login","content":"bob"}"#).await.unwrap();
    wait_for_list(&ann, &["ann", "bob", "page"]).await;
    tutor.send_text(r#"{"type":"rename","content":"kim"}"#).await.unwrap();
    wait_for_list(&ann, &["ann", "kim", "page"]).await;
    tutor.abort();
    wait_for_list(&ann, &["ann", "page"]).await;
    say(&page, "1", "hi").await;
    assert_eq!(next(&page).await.msg, "page:hi");
}
