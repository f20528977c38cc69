//! Direct messages: stored while the receiver is offline, delivered to every device in order and once; names and their keys.

use std::{collections::HashSet, net::SocketAddr, thread};

use serde_json::{Value, json};

use crate::{
    kept,
    person::{Person, key_of},
    support::{PING, PONG, Peer, Running, TEXT, frame, until},
};

fn requests(to: &str, numbers: std::ops::Range<u64>) -> impl Iterator<Item = Value> {
    let to = to.to_owned();
    numbers.map(move |n| json!({"direct": {"to": to, "text": n.to_string()}}))
}

/// Receives the numbers `1..=last` from one peer, each once and in order.
fn hear_all(person: &mut Person, last: u64) {
    hear_after(person, 0, last);
}

fn hear_after(person: &mut Person, before: u64, last: u64) {
    for n in before + 1..=last {
        let direct = person.next("direct");
        assert_eq!(
            (direct["text"].as_str().unwrap(), &direct["seq"]),
            (&*n.to_string(), &json!(n)),
            "{direct}"
        );
    }
    let more: Vec<Value> = person
        .heard()
        .into_iter()
        .filter(|event| event["direct"].is_object())
        .collect();
    assert!(more.is_empty(), "nothing comes twice: {more:?}");
}

#[test]
fn what_was_said_to_somebody_away_comes_in_order_on_every_device() {
    let dir = tempfile::tempdir().unwrap();
    let config = kept(dir.path());
    let server = Running::start(&config);
    let key = Person::named(server.address, "bob").key();
    let mut ann = Person::named(server.address, "ann");
    ann.say_all(requests("bob", 1..3_001));
    for _ in 0..2 {
        let mut bob = Person::hello(server.address, json!({"name": "bob", "key": key}));
        hear_all(&mut bob, 3_000);
    }
    let anns = ann.key();
    drop((ann, server));
    let server = Running::start(&config);
    let mut bob = Person::hello(server.address, json!({"name": "bob", "key": key}));
    hear_all(&mut bob, 3_000);
    let epoch = bob.history(json!({"peer": "ann", "limit": 1}))["epoch"].clone();
    let resume = json!([{"peer": "ann", "epoch": epoch, "seq": 2_990}]);
    let mut bob = Person::hello(server.address, json!({"name": "bob", "key": key, "resume": resume}));
    hear_after(&mut bob, 2_990, 3_000);
    // The sender's other devices have it too.
    let mut ann = Person::hello(server.address, json!({"name": "ann", "key": anns}));
    hear_all(&mut ann, 3_000);
}

#[test]
fn what_is_said_while_the_mail_is_read_comes_behind_it_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let address = server.address;
    let key = Person::named(address, "bob").key();
    let mut ann = Person::named(address, "ann");
    ann.say_all(requests("bob", 1..2_001));
    // More than may wait behind the mail, so that it is also read once more.
    let writer = thread::spawn(move || {
        ann.say_all(requests("bob", 2_001..6_001));
        ann
    });
    let mut bobs: Vec<Person> = (0..6)
        .map(|_| Person::hello(address, json!({"name": "bob", "key": key})))
        .collect();
    let _ann = writer.join().unwrap();
    for bob in &mut bobs {
        hear_all(bob, 6_000);
    }
}

#[test]
fn who_resumes_near_the_head_is_not_given_older_mail_however_much_is_said_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let address = server.address;
    let key = Person::named(address, "bob").key();
    let mut ann = Person::named(address, "ann");
    ann.say_all(requests("bob", 1..101));
    let epoch = ann.direct("bob", "101")["epoch"].clone();
    // Mail of somebody else keeps the reading going.
    let mut eve = Person::named(address, "eve");
    let long = "x".repeat(2_000);
    eve.say_all((0..3_000).map(|_| json!({"direct": {"to": "bob", "text": long}})));
    let resume = json!([{"peer": "ann", "epoch": epoch, "seq": 101}]);
    let writer = thread::spawn(move || ann.say_all(requests("bob", 102..2_001)));
    let mut bob = Person::hello(address, json!({"name": "bob", "key": key, "resume": resume}));
    writer.join().unwrap();
    let mut seq = 101;
    let mut of_eve = 0;
    while seq < 2_000 || of_eve < 3_000 {
        let direct = bob.next("direct");
        if direct["from"] == "eve" {
            of_eve += 1;
        } else {
            assert_eq!(direct["seq"], seq + 1);
            seq += 1;
        }
    }
}

#[test]
fn a_claimed_name_is_for_the_holder_of_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let config = kept(dir.path());
    let server = Running::start(&config);
    let bob = Person::keyed(server.address, "bob");
    assert_eq!(bob.key(), key_of("bob"), "the name was claimed by this hello");
    drop(bob);
    assert_eq!(Person::keyed(server.address, "bob").key(), "", "and is no more");
    // Also before anything is stored for it, and while nobody is there.
    for mail in [false, true] {
        drop(mail.then(|| Person::named(server.address, "ann").direct("bob", "1")));
        for hello in [json!({"name": "bob"}), json!({"name": "bob", "key": "wrong"})] {
            let mut stranger = Person::silent(server.address);
            let refused = stranger.ask(json!({ "hello": hello }));
            assert_eq!(refused["error"]["code"], "name_reserved", "{refused}");
            // It may take another name on the same connection.
            assert!(stranger.ask(json!({"hello": {"name": "stranger"}}))["welcome"].is_object());
            let refused = stranger.ask(json!({"rename": {"name": "bob"}}));
            assert_eq!(refused["error"]["code"], "name_reserved", "{refused}");
            assert!(stranger.ask(json!({"unread": {}}))["unread"].is_object());
        }
    }
    drop(server);
    let server = Running::start(&config);
    let refused = Person::silent(server.address).ask(json!({"hello": {"name": "bob"}}));
    assert_eq!(refused["error"]["code"], "name_reserved", "{refused}");
    let mut bob = Person::keyed(server.address, "bob");
    hear_all(&mut bob, 1);
}

#[test]
fn a_name_that_nobody_has_claimed_and_what_was_said_to_it_belong_to_whoever_says_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let mut ann = Person::named(server.address, "ann");
    ann.say_all(requests("newcomer", 1..4));
    let mut eve = Person::named(server.address, "eve");
    let renamed = eve.ask(json!({"rename": {"name": "newcomer"}}));
    assert!(renamed["renamed"]["key"].is_null(), "{renamed}");
    ann.direct("newcomer", "4");
    hear_all(&mut eve, 4);
    // Whoever has it may claim it without leaving.
    let renamed = eve.ask(json!({"rename": {"name": "newcomer", "key": key_of("newcomer")}}));
    assert_eq!(renamed["renamed"]["key"], key_of("newcomer"), "{renamed}");
    let refused = Person::silent(server.address).ask(json!({"hello": {"name": "newcomer"}}));
    assert_eq!(refused["error"]["code"], "name_reserved", "{refused}");
}

#[test]
fn a_key_that_is_too_short_claims_nothing_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let mut bob = Person::silent(server.address);
    let refused = bob.ask(json!({"hello": {"name": "bob", "key": "short"}}));
    assert_eq!(refused["error"]["code"], "invalid", "{refused}");
    assert!(
        refused["error"]["text"].as_str().unwrap().contains("has 5 bytes"),
        "{refused}"
    );
    assert_eq!(Person::named(server.address, "bob").key(), "");
}

#[test]
fn a_client_that_makes_its_key_has_its_mail_though_the_connection_broke_before_the_welcome() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let key = "made by bob's client, of 32 bytes";
    let mut broken = Person::silent(server.address);
    broken.send(json!({"hello": {"name": "bob", "key": key}}));
    // Answered, so that the name is taken; what the server said is lost with the connection.
    broken.event();
    drop(broken);
    let mut ann = Person::named(server.address, "ann");
    ann.direct("bob", "1");
    let mut bob = Person::hello(server.address, json!({"name": "bob", "key": key}));
    hear_all(&mut bob, 1);
    let mut eve = Person::silent(server.address);
    let refused = eve.ask(json!({"hello": {"name": "bob", "key": "made by eve's client, of 32 bytes"}}));
    assert_eq!(refused["error"]["code"], "name_reserved", "{refused}");
}

#[test]
fn who_brings_the_key_may_take_back_a_name_with_mail() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let mut bob = Person::keyed(server.address, "bob");
    let key = bob.key();
    let own = "made for rob by bob's client, of 32 bytes";
    let renamed = bob.ask(json!({"rename": {"name": "rob", "key": own}}));
    assert_eq!(renamed["renamed"]["key"], own, "{renamed}");
    let mut ann = Person::named(server.address, "ann");
    ann.direct("bob", "1");
    let refused = bob.ask(json!({"rename": {"name": "bob"}}));
    assert_eq!(refused["error"]["code"], "name_reserved", "{refused}");
    let renamed = bob.ask(json!({"rename": {"name": "bob", "key": key}}));
    assert_eq!(renamed["renamed"]["new"], "bob", "{renamed}");
    hear_all(&mut bob, 1);
}

#[test]
fn a_rename_amid_the_mail_ends_it_and_the_mail_stays_for_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let key = Person::named(server.address, "bob").key();
    let mut ann = Person::named(server.address, "ann");
    ann.say_all(requests("bob", 1..3_001));
    for n in 0..10 {
        let mut bob = Person::silent(server.address);
        bob.send(json!({"hello": {"name": "bob", "key": key}}));
        let renamed = bob.send(json!({"rename": {"name": format!("robert {n}")}}));
        assert!(bob.reply(renamed)["renamed"].is_object());
        ann.direct(&format!("robert {n}"), "hello");
        let mut last = Value::Null;
        while last["text"] != "hello" {
            last = bob.next("direct");
        }
        let late = bob
            .heard()
            .into_iter()
            .filter(|event| event["direct"].is_object())
            .count();
        assert_eq!(late, 0, "nothing of the old name's after the new name's");
    }
    let mut bob = Person::hello(server.address, json!({"name": "bob", "key": key}));
    hear_all(&mut bob, 3_000);
}

/// Writes to bob under this many names.
fn writes_under_names(address: SocketAddr, count: usize) {
    let mut mallory = Person::named(address, "mallory");
    for n in 1..=count {
        mallory.send(json!({"rename": {"name": format!("mallory {n}")}}));
        let sent = mallory.send(json!({"direct": {"to": "bob", "text": "buy"}}));
        assert!(mallory.reply(sent)["ack"].is_object());
    }
}

#[test]
fn a_thousand_who_write_do_not_hide_what_a_friend_writes_later() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let key = Person::named(server.address, "bob").key();
    let most = plaza::limits::HISTORY_CONVERSATIONS;
    writes_under_names(server.address, most);
    Person::named(server.address, "friend").direct("bob", "important");
    // Once all that was given is read, the one that was left comes.
    let mut heard_of = HashSet::new();
    for (given, more) in [(most, true), (1, false)] {
        let mut bob = Person::hello(server.address, json!({"name": "bob", "key": key}));
        let mail: Vec<Value> = (0..given).map(|_| bob.next("direct")).collect();
        heard_of.extend(mail.iter().map(|direct| direct["from"].to_string()));
        assert!(heard_of.contains("\"friend\""));
        let unread = bob.ask(json!({"unread": {}}))["unread"].clone();
        assert_eq!(unread["more"], more);
        assert_eq!(unread["conversations"].as_array().unwrap().len(), given);
        for direct in &mail {
            bob.ask(json!({"read": {"peer": direct["from"], "seq": direct["seq"]}}));
        }
        assert!(bob.heard().iter().all(|event| !event["direct"].is_object()));
    }
    assert_eq!(heard_of.len(), most + 1);
}

#[test]
fn directs_are_never_in_the_message_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = kept(dir.path());
    config.log.message_log = true;
    let server = Running::start(&config);
    let mut ann = Person::joined(server.address, "ann", "lobby");
    ann.direct("bob", "between us");
    ann.say("lobby", "for all");
    drop((ann, server));
    let mut logged = String::new();
    let mut folders = vec![dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "jsonl") {
                logged += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    assert!(logged.contains("for all") && !logged.contains("between us"), "{logged}");
}

/// A user of document 003 in a one-to-one conversation.
struct Action {
    peer: Peer,
    /// Whether it answers pings.
    lives: bool,
    /// Number of answered pings.
    pongs: u32,
}

impl Action {
    fn login(address: SocketAddr, user: &str, to: &str) -> Self {
        let mut peer = Peer::websocket(address, "/ws/action");
        let login =
            json!({"seq": "1", "action": "login", "data": {"appId": 1, "userId": user, "toUid": to, "groupsId": "0"}});
        peer.send_text(&login.to_string());
        Self {
            peer,
            lives: true,
            pongs: 0,
        }
    }

    fn event(&mut self) -> Value {
        loop {
            let seen = self.peer.frame().unwrap();
            match seen.first {
                TEXT => return serde_json::from_slice(&seen.payload).unwrap(),
                PING if self.lives => {
                    self.pongs += 1;
                    self.peer.send(&frame(PONG, &seen.payload));
                }
                _ => {}
            }
        }
    }

    fn response(&mut self, action: &str) -> Value {
        loop {
            let event = self.event();
            if event["action"] == action && event["response"].is_object() {
                return event;
            }
        }
    }

    fn say(&mut self, text: &str) {
        let send = json!({"seq": "2", "action": "sendmsg", "data": {"msgType": "text", "message": text}});
        self.peer.send_text(&send.to_string());
        let answer = self.response("sendmsg");
        assert_eq!(answer["response"]["code"], 200, "{answer}");
    }

    /// The server has taken the pongs to all its pings: it reads in order, and what a pong leads to comes before the answer to
    /// the heartbeat behind it.
    fn pongs_arrive(&mut self) {
        loop {
            let before = self.pongs;
            let heartbeat = json!({"seq": "3", "action": "heartbeat", "data": {}});
            self.peer.send_text(&heartbeat.to_string());
            self.response("heartbeat");
            if self.pongs == before {
                return;
            }
        }
    }

    /// The next message.
    fn heard(&mut self) -> String {
        self.pushed("content")
    }

    /// The sender of the next message.
    fn heard_of(&mut self) -> String {
        self.pushed("from")
    }

    fn pushed(&mut self, field: &str) -> String {
        loop {
            let event = self.event();
            if event["data"]["action"] == "sendmsg" {
                return event["data"][field].as_str().unwrap().to_owned();
            }
        }
    }
}

#[test]
fn what_an_action_user_was_not_given_for_its_amount_does_not_count_as_read() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let most = plaza::limits::HISTORY_CONVERSATIONS;
    writes_under_names(server.address, most + 1);
    let mut bob = Action::login(server.address, "bob", "friend");
    let given: HashSet<String> = (0..most).map(|_| bob.heard_of()).collect();
    let left = (1..=most + 1)
        .map(|n| format!("mallory {n}"))
        .find(|name| !given.contains(name));
    let left = left.unwrap();
    let mut mallory = Action::login(server.address, &left, "bob");
    mallory.response("login");
    for again in ["hello?", "anybody?"] {
        mallory.say(again);
        assert_eq!(bob.heard(), again);
    }
    bob.pongs_arrive();
    drop(bob);
    // A new name is written down behind the read positions.
    Person::named(server.address, "somebody");
    let mut bob = Action::login(server.address, "bob", "friend");
    assert_eq!([bob.heard(), bob.heard(), bob.heard()], ["buy", "hello?", "anybody?"]);
}

#[test]
fn an_action_user_cannot_log_in_under_a_claimed_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let mut ann = Person::keyed(server.address, "ann");
    let mut friend = Person::named(server.address, "friend");
    friend.direct("ann", "for ann alone");
    let mut other = Action::login(server.address, "ann", "friend");
    assert_eq!(other.response("login")["response"]["code"], 1003);
    friend.direct("ann", "hello");
    assert_eq!(ann.texts_until("direct", "hello"), ["for ann alone", "hello"]);
    // Nothing came meanwhile: the answer to this is next.
    other
        .peer
        .send_text(&json!({"seq": "9", "action": "heartbeat", "data": {}}).to_string());
    let next = other.event();
    assert_eq!(
        (&next["action"], &next["response"]["code"]),
        (&json!("heartbeat"), &json!(1000)),
        "{next}"
    );
}

#[test]
fn whoever_claims_an_action_users_name_has_its_mail_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let mut friend = Person::named(server.address, "friend");
    let mut first = Action::login(server.address, "ann", "friend");
    first.response("login");
    friend.direct("ann", "1");
    assert_eq!(first.heard(), "1");
    first.pongs_arrive();
    // What was not read goes to whoever claims the name; what was read stays read.
    first.lives = false;
    friend.direct("ann", "2");
    assert_eq!(first.heard(), "2");
    let mut ann = Person::keyed(server.address, "ann");
    assert_eq!(ann.texts_until("direct", "2"), ["2"]);
    drop(ann);
    // The other one is told its new name; what is said to the old one is not for it, and its pongs read nothing any more.
    first.lives = true;
    let told = first.heard();
    assert!(told.contains("ann~2"), "{told}");
    friend.direct("ann", "3");
    friend.direct("ann~2", "for the second");
    assert_eq!(first.heard(), "for the second");
    first.pongs_arrive();
    let mut ann = Person::keyed(server.address, "ann");
    assert_eq!(ann.texts_until("direct", "3"), ["2", "3"]);
}

#[test]
fn an_action_user_gets_what_was_said_one_to_one_while_away_in_order_until_its_pong_came() {
    let dir = tempfile::tempdir().unwrap();
    let config = kept(dir.path());
    let server = Running::start(&config);
    let mut ann = Action::login(server.address, "ann", "bob");
    ann.response("login");
    for n in 1..=5 {
        ann.say(&format!("said {n}"));
    }
    drop((ann, server));
    let server = Running::start(&config);
    let expected: Vec<String> = (1..=5).map(|n| format!("said {n}")).collect();
    // It hears them and dies before it says so.
    let mut bob = Action::login(server.address, "bob", "ann");
    bob.lives = false;
    assert_eq!((0..5).map(|_| bob.heard()).collect::<Vec<_>>(), expected);
    drop(bob);
    // So they come once more; now it says so.
    let mut bob = Action::login(server.address, "bob", "ann");
    assert_eq!((0..5).map(|_| bob.heard()).collect::<Vec<_>>(), expected);
    let mut ann = Action::login(server.address, "ann", "bob");
    ann.response("login");
    ann.say("said 6");
    assert_eq!(bob.heard(), "said 6");
    // It goes on answering pings; once its pongs are there, nobody is given again what it had.
    thread::spawn(move || {
        while let Some(seen) = bob.peer.frame() {
            if seen.first == PING && !bob.peer.try_send(&frame(PONG, &seen.payload)) {
                return;
            }
        }
    });
    let mut said = 6;
    until("what was said counts as read", || {
        let mut again = Action::login(server.address, "bob", "ann");
        again.lives = false;
        again.response("login");
        said += 1;
        let marker = format!("said {said}");
        ann.say(&marker);
        let mut heard = vec![again.heard()];
        while heard.last() != Some(&marker) {
            heard.push(again.heard());
        }
        heard.len() == 1
    });
}
