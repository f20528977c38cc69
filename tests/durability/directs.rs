//! Direct messages: stored while the receiver is offline, delivered to every device in order and once; names and their keys.

use std::{collections::HashSet, fs, net::SocketAddr, thread};

use serde_json::{Value, json};

use crate::{
    Kept, directs,
    person::{Person, key_of},
    support::{PING, PONG, Peer, TEXT, frame, until},
};

/// Receives the numbers `1..=last` from one peer, each once and in order.
fn hear_all(person: &mut Person, last: u64) {
    hear_after(person, 0, last);
}

fn hear_after(person: &mut Person, before: u64, last: u64) {
    for n in before + 1..=last {
        let direct = person.next("direct");
        let seen = (&direct["text"], &direct["seq"]);
        assert_eq!(seen, (&json!(n.to_string()), &json!(n)), "{direct}");
    }
    // Nothing comes twice.
    person.heard_no("direct");
}

#[test]
fn what_was_said_to_somebody_away_comes_in_order_on_every_device() {
    let server = Kept::start();
    let key = Person::named(server.address, "bob").key();
    let mut ann = Person::named(server.address, "ann");
    ann.say_all(directs("bob", 1..=3_000));
    for _ in 0..2 {
        let mut bob = Person::with_key(server.address, "bob", &key);
        hear_all(&mut bob, 3_000);
    }
    let anns = ann.key();
    drop(ann);
    let server = server.restarted();
    let mut bob = Person::with_key(server.address, "bob", &key);
    hear_all(&mut bob, 3_000);
    let epoch = bob.history(json!({"peer": "ann", "limit": 1}))["epoch"].clone();
    let resume = json!([{"peer": "ann", "epoch": epoch, "seq": 2_990}]);
    let mut bob = Person::hello(server.address, json!({"name": "bob", "key": key, "resume": resume}));
    hear_after(&mut bob, 2_990, 3_000);
    // The sender's other devices have it too.
    let mut ann = Person::with_key(server.address, "ann", &anns);
    hear_all(&mut ann, 3_000);
}

#[test]
fn what_is_said_while_the_mail_is_read_comes_behind_it_once_and_in_order() {
    let server = Kept::start();
    let address = server.address;
    let key = Person::named(address, "bob").key();
    let mut ann = Person::named(address, "ann");
    ann.say_all(directs("bob", 1..=2_000));
    // More than may wait behind the mail, so that it is also read once more.
    let writer = thread::spawn(move || {
        ann.say_all(directs("bob", 2_001..=6_000));
        ann
    });
    let mut bobs: Vec<Person> = (0..6).map(|_| Person::with_key(address, "bob", &key)).collect();
    let _ann = writer.join().unwrap();
    for bob in &mut bobs {
        hear_all(bob, 6_000);
    }
}

#[test]
fn who_resumes_near_the_head_is_not_given_older_mail_however_much_is_said_meanwhile() {
    let server = Kept::start();
    let address = server.address;
    let key = Person::named(address, "bob").key();
    let mut ann = Person::named(address, "ann");
    ann.say_all(directs("bob", 1..=100));
    let epoch = ann.direct("bob", "101")["epoch"].clone();
    // Mail of somebody else keeps the reading going.
    let mut eve = Person::named(address, "eve");
    eve.say_all(directs("bob", vec!["x".repeat(2_000); 3_000]));
    let resume = json!([{"peer": "ann", "epoch": epoch, "seq": 101}]);
    let writer = thread::spawn(move || ann.say_all(directs("bob", 102..=2_000)));
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
    let server = Kept::start();
    let bob = Person::keyed(server.address, "bob");
    assert_eq!(bob.key(), key_of("bob"), "the name was claimed by this hello");
    drop(bob);
    assert_eq!(Person::keyed(server.address, "bob").key(), "", "and is no more");
    // Also before anything is stored for it, and while nobody is there.
    for mail in [false, true] {
        drop(mail.then(|| Person::named(server.address, "ann").direct("bob", "1")));
        for hello in [json!({"name": "bob"}), json!({"name": "bob", "key": "wrong"})] {
            let mut stranger = Person::silent(server.address);
            stranger.refused("name_reserved", json!({ "hello": hello }));
            // It may take another name on the same connection.
            stranger.get("welcome", json!({"hello": {"name": "stranger"}}));
            stranger.refused("name_reserved", json!({"rename": {"name": "bob"}}));
            stranger.get("unread", json!({"unread": {}}));
        }
    }
    let server = server.changed(|dir| {
        let key = key_of("bob");
        for file in ["history.db", "search.db"] {
            let bytes = fs::read(dir.join(file)).unwrap();
            let mut places = bytes.windows(key.len());
            assert!(
                !places.any(|place| place == key.as_bytes()),
                "the key itself is in {file}"
            );
        }
    });
    Person::silent(server.address).refused("name_reserved", json!({"hello": {"name": "bob"}}));
    let mut bob = Person::keyed(server.address, "bob");
    hear_all(&mut bob, 1);
}

#[test]
fn a_name_that_nobody_has_claimed_and_what_was_said_to_it_belong_to_whoever_says_it() {
    let server = Kept::start();
    let mut ann = Person::named(server.address, "ann");
    ann.say_all(directs("newcomer", 1..=3));
    let mut eve = Person::named(server.address, "eve");
    assert!(eve.rename("newcomer", None)["key"].is_null());
    ann.direct("newcomer", "4");
    hear_all(&mut eve, 4);
    // Whoever has it may claim it without leaving.
    let key = key_of("newcomer");
    assert_eq!(eve.rename("newcomer", Some(&key))["key"], key);
    Person::silent(server.address).refused("name_reserved", json!({"hello": {"name": "newcomer"}}));
}

#[test]
fn a_key_that_is_too_short_claims_nothing_and_is_named() {
    let server = Kept::start();
    let mut bob = Person::silent(server.address);
    let refused = bob.refused("invalid", json!({"hello": {"name": "bob", "key": "short"}}));
    assert!(refused["text"].as_str().unwrap().contains("has 5 bytes"), "{refused}");
    assert_eq!(Person::named(server.address, "bob").key(), "");
}

#[test]
fn a_client_that_makes_its_key_has_its_mail_though_the_connection_broke_before_the_welcome() {
    let server = Kept::start();
    let key = "made by bob's client, of 32 bytes";
    let mut broken = Person::silent(server.address);
    broken.send(json!({"hello": {"name": "bob", "key": key}}));
    // Answered, so that the name is taken; what the server said is lost with the connection.
    broken.event();
    drop(broken);
    let mut ann = Person::named(server.address, "ann");
    ann.direct("bob", "1");
    let mut bob = Person::with_key(server.address, "bob", key);
    hear_all(&mut bob, 1);
    let hello = json!({"name": "bob", "key": "made by eve's client, of 32 bytes"});
    Person::silent(server.address).refused("name_reserved", json!({ "hello": hello }));
}

#[test]
fn who_brings_the_key_may_take_back_a_name_with_mail() {
    let server = Kept::start();
    let mut bob = Person::keyed(server.address, "bob");
    let key = bob.key();
    let own = "made for rob by bob's client, of 32 bytes";
    assert_eq!(bob.rename("rob", Some(own))["key"], own);
    let mut ann = Person::named(server.address, "ann");
    ann.direct("bob", "1");
    bob.refused("name_reserved", json!({"rename": {"name": "bob"}}));
    assert_eq!(bob.rename("bob", Some(&key))["new"], "bob");
    hear_all(&mut bob, 1);
}

#[test]
fn a_rename_amid_the_mail_ends_it_and_the_mail_stays_for_the_name() {
    let server = Kept::start();
    let key = Person::named(server.address, "bob").key();
    let mut ann = Person::named(server.address, "ann");
    ann.say_all(directs("bob", 1..=3_000));
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
        // Nothing of the old name's after the new name's.
        bob.heard_no("direct");
    }
    let mut bob = Person::with_key(server.address, "bob", &key);
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
    let server = Kept::start();
    let key = Person::named(server.address, "bob").key();
    let most = plaza::limits::HISTORY_CONVERSATIONS;
    writes_under_names(server.address, most);
    Person::named(server.address, "friend").direct("bob", "important");
    // Once all that was given is read, the one that was left comes.
    let mut heard_of = HashSet::new();
    for (given, more) in [(most, true), (1, false)] {
        let mut bob = Person::with_key(server.address, "bob", &key);
        let mail: Vec<Value> = (0..given).map(|_| bob.next("direct")).collect();
        heard_of.extend(mail.iter().map(|direct| direct["from"].to_string()));
        assert!(heard_of.contains("\"friend\""));
        let unread = bob.get("unread", json!({"unread": {}}));
        assert_eq!(unread["more"], more);
        assert_eq!(unread["conversations"].as_array().unwrap().len(), given);
        for direct in &mail {
            bob.ask(json!({"read": {"peer": direct["from"], "seq": direct["seq"]}}));
        }
        bob.heard_no("direct");
    }
    assert_eq!(heard_of.len(), most + 1);
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
        let mut action = Self {
            peer: Peer::websocket(address, "/ws/action"),
            lives: true,
            pongs: 0,
        };
        action.send(
            "1",
            "login",
            json!({"appId": 1, "userId": user, "toUid": to, "groupsId": "0"}),
        );
        action
    }

    fn send(&mut self, seq: &str, action: &str, data: Value) {
        let request = json!({"seq": seq, "action": action, "data": data});
        self.peer.send_text(&request.to_string());
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
        self.send("2", "sendmsg", json!({"msgType": "text", "message": text}));
        let answer = self.response("sendmsg");
        assert_eq!(answer["response"]["code"], 200, "{answer}");
    }

    /// The server has taken the pongs to all its pings: it reads in order, and what a pong leads to comes before the answer to
    /// the heartbeat behind it.
    fn pongs_arrive(&mut self) {
        loop {
            let before = self.pongs;
            self.send("3", "heartbeat", json!({}));
            self.response("heartbeat");
            if self.pongs == before {
                return;
            }
        }
    }

    /// The sender and the text of the next message.
    fn heard_of(&mut self) -> [String; 2] {
        loop {
            let event = self.event();
            if event["data"]["action"] == "sendmsg" {
                return ["from", "content"].map(|field| event["data"][field].as_str().unwrap().to_owned());
            }
        }
    }

    /// The text of the next message.
    fn heard(&mut self) -> String {
        let [_, text] = self.heard_of();
        text
    }
}

#[test]
fn what_an_action_user_was_not_given_for_its_amount_does_not_count_as_read() {
    let server = Kept::start();
    let most = plaza::limits::HISTORY_CONVERSATIONS;
    writes_under_names(server.address, most + 1);
    let mut bob = Action::login(server.address, "bob", "friend");
    let given: HashSet<String> = (0..most).map(|_| bob.heard_of()[0].clone()).collect();
    let mut names = (1..=most + 1).map(|n| format!("mallory {n}"));
    let left = names.find(|name| !given.contains(name)).unwrap();
    let mut mallory = Action::login(server.address, &left, "bob");
    mallory.response("login");
    for again in ["hello?", "anybody?"] {
        mallory.say(again);
        assert_eq!(bob.heard(), again);
    }
    bob.pongs_arrive();
    drop(bob);
    // A new name is written down behind the read markers.
    Person::named(server.address, "somebody");
    let mut bob = Action::login(server.address, "bob", "friend");
    assert_eq!([bob.heard(), bob.heard(), bob.heard()], ["buy", "hello?", "anybody?"]);
}

#[test]
fn whoever_claims_an_action_users_name_has_its_mail_from_then_on() {
    let server = Kept::start();
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
    let server = Kept::start();
    let mut ann = Action::login(server.address, "ann", "bob");
    ann.response("login");
    for n in 1..=5 {
        ann.say(&format!("said {n}"));
    }
    drop(ann);
    let server = server.restarted();
    let comes = |lives: bool| {
        let mut bob = Action::login(server.address, "bob", "ann");
        bob.lives = lives;
        for n in 1..=5 {
            assert_eq!(bob.heard(), format!("said {n}"));
        }
        bob
    };
    // It hears them and dies before it says so, so they come once more; now it says so.
    drop(comes(false));
    let mut bob = comes(true);
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
