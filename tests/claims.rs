//! A claimed name is reserved in every dialect: a client without its key cannot use it and receives nothing private to it.
#![allow(clippy::unwrap_used)]

mod stories;

use std::{net::SocketAddr, sync::Barrier, thread};

use serde_json::{Value, json};
use stories::{Heard, Peer, Running, drivers::Member, start, stored, strings};
use tempfile::TempDir;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The old formats in which a reserved name is followed by a number; `ws` is a plain `/ws`, where the format is not known yet.
const SUFFIXED: [&str; 5] = ["communication", "chat-request", "chatroom", "tutorial", "ws"];

fn kept() -> (Running, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(&stored(dir.path()));
    (running, dir)
}

/// A session of Plaza's own protocol.
fn native(address: SocketAddr, hello: Value) -> Peer {
    let mut native = Peer::websocket(address, "/chat");
    let welcome = native.ask(json!({ "hello": hello }));
    assert!(welcome["welcome"].is_object(), "{welcome}");
    native
}

/// Says this to one user; it is stored when this returns.
fn direct(from: &mut Peer, to: &str, text: &str) {
    let ack = from.ask(json!({"direct": {"to": to, "text": text}}));
    assert!(ack["ack"].is_object(), "{ack}");
}

fn users(client: &mut Peer) -> Vec<String> {
    let page = client.ask(json!({"users": {"room": "lobby"}}));
    let names = page["users"]["names"].as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Reads until something holds this text; all that was read, this included.
fn hear_until(client: &mut Peer, text: &str) -> String {
    let mut all = String::new();
    loop {
        match client.hear() {
            Heard::Text(heard) => all.push_str(&heard),
            Heard::Binary(heard) => all.push_str(&String::from_utf8_lossy(&heard)),
            over => panic!("{text:?} was never heard, but {over:?} behind {all:?}"),
        }
        all.push('\n');
        if all.contains(text) {
            return all;
        }
    }
}

/// Opens a connection that says this name, and waits for nothing.
fn say_name(address: SocketAddr, dialect: &str, name: &str) -> Peer {
    let header = [("username", name.as_bytes())];
    match dialect {
        "communication" => Peer::open(address, &format!("/ws/communication?username={name}"), &[]),
        "tutorial" => {
            let mut client = Peer::open(address, "/ws/tutorial", &[]);
            client.send_text(&json!({"type": "login", "content": name}).to_string());
            client
        }
        "ws" => Peer::open(address, "/ws", &header),
        other => Peer::open(address, &format!("/ws/{other}"), &header),
    }
}

#[test]
fn whoever_says_a_claimed_name_in_an_old_format_is_told_another_and_hears_nothing_of_the_first() {
    for dialect in SUFFIXED {
        let (running, _dir) = kept();
        let address = running.address;
        let mut ann = native(address, json!({"name": "ann", "key": KEY}));
        ann.ask(json!({"join": {"room": "lobby"}}));
        let mut bob = native(address, json!({"name": "bob"}));
        direct(&mut bob, "ann", "stored secret");
        let mut stranger = say_name(address, dialect, "ann");
        let mut heard = hear_until(&mut stranger, "ann~2");
        direct(&mut bob, "ann", "live secret");
        bob.send_text(r#"{"typing":{"to":"ann"}}"#);
        direct(&mut bob, "ann~2", "for the second");
        heard.push_str(&hear_until(&mut stranger, "for the second"));
        assert!(!heard.contains("secret"), "{dialect}: {heard}");
        assert_eq!(users(&mut ann), ["ann", "ann~2"], "{dialect}");
        // The next one is not taken for the second.
        let mut third = say_name(address, dialect, "ann");
        hear_until(&mut third, "ann~3");
    }
}

#[test]
fn who_has_a_name_in_an_old_format_when_it_is_claimed_is_told_another_and_hears_no_more_of_it() {
    for dialect in ["communication", "chat-request", "chatroom", "tutorial", "action"] {
        let (running, _dir) = kept();
        let address = running.address;
        // On both shards.
        let mut early = [
            Member::come(address, dialect, "ann"),
            Member::come(address, dialect, "ann"),
        ];
        let mut bob = native(address, json!({"name": "bob"}));
        direct(&mut bob, "ann", "before the claim");
        for member in &mut early {
            hear_until(&mut member.client, "before the claim");
        }
        let _ann = native(address, json!({"name": "ann", "key": KEY}));
        direct(&mut bob, "ann", "live secret");
        let mut told = Vec::new();
        for member in &mut early {
            let heard = hear_until(&mut member.client, "you are ann~");
            let number = heard.split("you are ann~").nth(1).unwrap().chars().next().unwrap();
            direct(&mut bob, &format!("ann~{number}"), "for this one");
            let heard = heard + &hear_until(&mut member.client, "for this one");
            assert!(!heard.contains("secret"), "{dialect}: {heard}");
            told.push(number);
        }
        told.sort_unstable();
        assert_eq!(told, ['2', '3'], "{dialect}");
    }
}

#[test]
fn a_login_of_action_under_a_claimed_name_gets_1003_and_nothing_else() {
    let (running, _dir) = kept();
    let address = running.address;
    let mut ann = native(address, json!({"name": "ann", "key": KEY}));
    let mut bob = native(address, json!({"name": "bob"}));
    direct(&mut bob, "ann", "secret");
    for target in [json!({"toUid": "bob", "groupsId": "0"}), json!({"groupsId": "1"})] {
        let mut client = Peer::open(address, "/ws/action", &[]);
        let mut data = target.clone();
        data["appId"] = json!(1);
        data["userId"] = json!("ann");
        client.send_text(&json!({"seq": "1", "action": "login", "data": data}).to_string());
        let refused = hear_until(&mut client, r#""seq":"1""#);
        assert!(refused.contains(r#""code":1003"#), "{target}: {refused}");
        direct(&mut bob, "ann", "live secret");
        hear_until(&mut ann, "live secret");
        client.send_text(&json!({"seq": "2", "action": "heartbeat", "data": {}}).to_string());
        let heard = hear_until(&mut client, r#""seq":"2""#);
        let answers: Vec<&str> = heard.lines().filter(|line| line.contains("response")).collect();
        assert_eq!(answers.len(), 1, "{target}: {heard}");
        assert!(!(refused + &heard).contains("secret"), "{target}: {heard}");
        assert!(answers[0].contains(r#""code":1000"#), "{target}: {heard}");
        // Another name is taken.
        data["userId"] = json!("anna");
        client.send_text(&json!({"seq": "3", "action": "login", "data": data}).to_string());
        assert!(
            hear_until(&mut client, r#""seq":"3""#).contains(r#""code":200"#),
            "{target}"
        );
    }
}

#[test]
fn a_rename_to_a_claimed_name_follows_the_same_rules() {
    let (running, _dir) = kept();
    let address = running.address;
    let mut ann = native(address, json!({"name": "ann", "key": KEY}));
    ann.ask(json!({"join": {"room": "lobby"}}));
    let mut bob = native(address, json!({"name": "bob"}));
    let refused = bob.ask(json!({"rename": {"name": "ann"}}));
    assert_eq!(refused["error"]["code"], "name_reserved", "{refused}");
    let mut tutorial = say_name(address, "tutorial", "tom");
    for _ in 0..2 {
        tutorial.send_text(r#"{"type":"rename","content":"ann"}"#);
        hear_until(&mut tutorial, "you are ann~2");
    }
    // The first name that a message carries is a rename, too.
    let mut load = Peer::open(address, "/ws/chat-request", &[]);
    load.send_binary(&strings(&["ann", "talk", "hello"]));
    hear_until(&mut load, "you are ann~3");
    hear_until(&mut load, "hello");
    assert_eq!(users(&mut ann), ["ann", "ann~2", "ann~3"]);
    direct(&mut bob, "ann", "secret");
    for (client, name) in [(&mut tutorial, "ann~2"), (&mut load, "ann~3")] {
        direct(&mut bob, name, "for this one");
        assert!(!hear_until(client, "for this one").contains("secret"), "{name}");
    }
}

#[test]
fn what_is_private_to_a_claimed_name_is_refused_to_everybody_else_in_the_native_protocol() {
    let (running, _dir) = kept();
    let address = running.address;
    let mut early = native(address, json!({"name": "ann"}));
    let mut bob = native(address, json!({"name": "bob"}));
    direct(&mut bob, "ann", "secret");
    hear_until(&mut early, "secret");
    let _ann = native(address, json!({"name": "ann", "key": KEY}));
    let told = hear_until(&mut early, "you are ann~2");
    assert!(told.contains(r#""renamed":"#), "{told}");
    for (path, request) in [
        ("unread", json!({"unread": {}})),
        ("search", json!({"search": {"peer": "bob", "text": "secret"}})),
        ("history", json!({"history": {"peer": "bob"}})),
        ("read", json!({"read": {"peer": "bob", "seq": 1}})),
        ("rename", json!({"rename": {"name": "ann"}})),
    ] {
        let answer = early.ask(request);
        assert_eq!(answer["error"]["code"], "name_reserved", "{path}: {answer}");
    }
    bob.send_text(r#"{"typing":{"to":"ann"}}"#);
    direct(&mut bob, "ann~2", "for the second");
    let heard = hear_until(&mut early, "for the second");
    assert!(!heard.contains("typing"), "{heard}");
}

#[test]
fn of_two_who_claim_a_name_at_once_one_has_it() {
    let (running, _dir) = kept();
    let address = running.address;
    for round in 0..20 {
        let begin = Barrier::new(2);
        let welcomes: usize = thread::scope(|scope| {
            let claims = ["first", "second"].map(|whose| {
                let begin = &begin;
                scope.spawn(move || {
                    let mut native = Peer::websocket(address, "/chat");
                    let key = format!("made by the {whose}, of 32 bytes or more");
                    begin.wait();
                    let answer = native.ask(json!({"hello": {"name": format!("name {round}"), "key": key}}));
                    let refused = answer["error"]["code"] == "name_reserved";
                    assert!(refused || answer["welcome"]["key"] == key, "{answer}");
                    usize::from(!refused)
                })
            });
            claims.map(|claim| claim.join().unwrap()).into_iter().sum()
        });
        assert_eq!(welcomes, 1, "in round {round}");
    }
}

#[test]
fn a_long_claimed_name_is_cut_to_make_room_for_the_number() {
    let (running, _dir) = kept();
    let address = running.address;
    let long = "名".repeat(64);
    let _owner = native(address, json!({"name": long, "key": KEY}));
    let mut stranger = say_name(address, "tutorial", &long);
    hear_until(&mut stranger, &format!("you are {}~2", "名".repeat(62)));
}

#[test]
fn without_a_store_nothing_is_claimed() {
    let running = start();
    let address = running.address;
    let mut ann = Peer::websocket(address, "/chat");
    let welcome = ann.ask(json!({"hello": {"name": "ann", "key": KEY}}));
    assert_eq!(welcome["welcome"]["key"], "", "{welcome}");
    let _other = native(address, json!({"name": "ann"}));
}

#[test]
fn a_message_whose_ack_was_lost_is_not_said_twice_though_its_user_has_another_name_meanwhile() {
    let (running, _dir) = kept();
    let address = running.address;
    let client = "00112233445566778899aabbccddeeff";
    // The lobby is stored, and the other room is not.
    let talk = |room: &str, text: &str| json!({"talk": {"room": room, "text": text, "key": "k"}});
    let direct = json!({"direct": {"to": "bob", "text": "once", "key": "k"}});
    let requests = [talk("lobby", "once"), talk("tea", "once"), direct];
    let come = |name: &str, client: &str| {
        let mut peer = native(address, json!({"name": name, "client": client}));
        for room in ["lobby", "tea"] {
            peer.ask(json!({"join": {"room": room}}));
        }
        peer
    };
    // Keeps the room open.
    let _witness = come("witness", client);
    let mut ann = come("ann", client);
    let first: Vec<Value> = requests.iter().map(|request| ann.ask(request.clone())).collect();
    drop(ann);
    let mut anna = come("anna", client);
    for (first, request) in first.iter().zip(&requests) {
        let again = anna.ask(request.clone());
        assert_eq!(again["ack"]["duplicate"], true, "{again}");
        assert_eq!(again["ack"]["seq"], first["ack"]["seq"], "{again}");
    }
    // Another client has nothing to do with this key.
    let mut eve = come("eve", "ff112233445566778899aabbccddeeff");
    for room in ["lobby", "tea"] {
        assert_eq!(anna.ask(talk(room, "other"))["error"]["code"], "key_conflict", "{room}");
        assert_eq!(eve.ask(talk(room, "once"))["ack"]["duplicate"], false, "{room}");
    }
}
