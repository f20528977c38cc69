//! Every dialect in the same story, with users of two other dialects in the room, and every cell of the table of docs/events.md over
//! real sockets. A new dialect without a driver fails here.
#![allow(clippy::unwrap_used)]

mod stories;

use plaza::{
    chat::{RoomName, UserName},
    codec::{DialectId, Profile},
};
use stories::{
    CLOSE, Heard, PING, Peer, Running,
    drivers::{self, Driver, Member, Shown, talk},
    frame, start, start_with, table_shows,
};

/// What a step of the story is, by the row of the table it belongs to.
enum Event<'a> {
    Talk(&'a str, &'a str),
    Came(&'a str),
    Exited(&'a str),
    CutOff(&'a str),
    Renamed(&'a str, &'a str),
}

/// What a member with this driver is shown of an event, after the table.
fn expected(driver: &Driver, event: &Event<'_>) -> Vec<Shown> {
    let (row, shown) = match event {
        Event::Talk(from, text) => ("message", vec![talk(from, text)]),
        Event::Came(name) => ("join", vec![Shown::Came((*name).into())]),
        Event::Exited(name) => ("exit", vec![Shown::Went((*name).into())]),
        Event::CutOff(name) => ("lost connection", vec![Shown::Went((*name).into())]),
        // Document 004's page knows no rename, and these clients have not shown that they do.
        Event::Renamed(old, new) if driver.dialect == "tutorial" => {
            ("renamed", vec![Shown::Went((*old).into()), Shown::Came((*new).into())])
        }
        Event::Renamed(old, new) => (
            "renamed",
            vec![Shown::Renamed {
                old: (*old).into(),
                new: (*new).into(),
            }],
        ),
    };
    if table_shows(row, driver.dialect) {
        shown
    } else {
        Vec::new()
    }
}

/// Lets the first member say something that nobody else says, waits until all have it, and compares what each was shown
/// before it with what the event is to look like in its dialect.
fn check(members: &mut [Member], step: &str, event: &Event<'_>) {
    members[0].talk(step);
    let marker = talk(&members[0].name, step);
    for member in members {
        member.wait_for(&marker);
        let mut shown = member.take_events();
        assert_eq!(shown.pop(), Some(marker.clone()), "{} got something late", member.name);
        // Answers are to its own requests.
        shown.retain(|shown| !matches!(shown, Shown::Other("response", _)));
        assert_eq!(
            shown,
            expected(member.driver, event),
            "{} ({}) at {step:?}",
            member.name,
            member.driver.dialect
        );
    }
}

/// Two other dialects, the first of which is told everything that happens: the server's own, or where that is the one in
/// question, the one that lists.
fn witnesses(of: &Driver) -> [&'static str; 2] {
    let dialects: Vec<&str> = drivers::all().map(|driver| driver.dialect).collect();
    let place = dialects.iter().position(|dialect| *dialect == of.dialect).unwrap();
    match place {
        0 => ["tutorial", "communication"],
        last if last + 1 == dialects.len() => ["plaza", dialects[1]],
        place => ["plaza", dialects[place + 1]],
    }
}

#[test]
fn three_users_of_every_dialect_come_talk_list_rename_exit_and_are_cut_off() {
    for driver in drivers::all() {
        let running = start();
        story(driver, &running);
    }
}

fn story(driver: &'static Driver, running: &Running) {
    let address = running.address;
    let [first, second] = witnesses(driver);
    let mut members = vec![Member::come(address, first, "eva")];
    members.push(Member::come(address, second, "福"));
    check(&mut members[..1], "a witness came", &Event::Came("福"));
    // Its own coming is part of how it comes.
    members[1].wait_for(&talk("eva", "a witness came"));
    members[1].take();

    for name in ["ann", "张三", "cyd"] {
        let newcomer = Member::come(address, driver.dialect, name);
        check(&mut members, &format!("{name} came"), &Event::Came(name));
        members.push(newcomer);
        let last = members.last_mut().unwrap();
        last.wait_for(&talk("eva", &format!("{name} came")));
        last.take();
    }
    for (speaker, text) in [(2, "hello"), (3, "你好，世界 🌏"), (4, "a:b,c \"<b>\" \\ &")] {
        let name = members[speaker].name.clone();
        members[speaker].talk(text);
        members[0].wait_for(&talk(&name, text));
        check(&mut members, &format!("{name} talked"), &Event::Talk(&name, text));
    }
    for (speaker, text) in [(0, "from a witness"), (1, "来自福")] {
        let name = members[speaker].name.clone();
        members[speaker].talk(text);
        members[0].wait_for(&talk(&name, text));
        check(
            &mut members,
            &format!("{name} talked as a witness"),
            &Event::Talk(&name, text),
        );
    }
    if driver.list.is_some() {
        members[3].wait_for_list(&["ann", "cyd", "eva", "张三", "福"]);
    }
    let mut named = "ann";
    if let Some(rename) = driver.rename {
        let ann = &mut members[2];
        ann.say(&rename("安"));
        // Who renames has shown that it knows the word, and so has who asks for the list.
        let renamed = Shown::Renamed {
            old: "ann".into(),
            new: "安".into(),
        };
        members[2].wait_for(&renamed);
        members[3].wait_for(&renamed);
        for member in &mut members[2..4] {
            let mut shown = member.take();
            shown.retain(|shown| !matches!(shown, Shown::Other("renamed", _)));
            assert_eq!(shown, std::slice::from_ref(&renamed), "{}", member.name);
        }
        let mut others: Vec<Member> = members.drain(2..4).collect();
        let last = expected(members[0].driver, &Event::Renamed("ann", "安")).pop().unwrap();
        members[0].wait_for(&last);
        check(&mut members, "renamed", &Event::Renamed("ann", "安"));
        for member in &mut others {
            member.wait_for(&talk("eva", "renamed"));
            let late = member.take();
            assert!(
                late.iter().all(|shown| !matches!(shown, Shown::Renamed { .. })),
                "{late:?}"
            );
        }
        let cyd = members.pop().unwrap();
        members.extend(others);
        members.push(cyd);
        named = "安";
        members[2].name = named.into();
    }
    let mut leaver = members.remove(2);
    match driver.exit {
        Some(exit) => {
            leaver.say(&exit());
            leaver.wait_until("the close", |shown| matches!(shown, Shown::Close(_)));
            let mut shown = leaver.take_events();
            assert_eq!(shown.pop(), Some(Shown::Close(1000)), "{}", driver.dialect);
            let profile = Profile::of(DialectId::named(driver.dialect).unwrap());
            let own_going = shown
                .iter()
                .filter(|shown| matches!(shown, Shown::Went(name) if name == named))
                .count();
            assert_eq!(
                own_going,
                usize::from(profile.sees_own_going),
                "{}: {shown:?}",
                driver.dialect
            );
            members[0].wait_for(&Shown::Went(named.into()));
            check(&mut members, "exited", &Event::Exited(named));
        }
        None => {
            // Its clients leave by closing.
            leaver.client.send_frame(CLOSE, &1000u16.to_be_bytes());
            leaver.wait_for(&Shown::Close(1000));
            members[0].wait_for(&Shown::Went(named.into()));
            check(&mut members, "closed", &Event::CutOff(named));
        }
    }
    drop(leaver);

    let cut_off = members.remove(2);
    drop(cut_off);
    members[0].wait_for(&Shown::Went("张三".into()));
    check(&mut members, "cut off", &Event::CutOff("张三"));
    // Nobody is left over in any list, and whoever is left can still talk.
    members[0].wait_for_list(&["cyd", "eva", "福"]);
    members[2].talk("still here");
    members[1].wait_for(&talk("cyd", "still here"));
}

// ------------------------------------------------------------------------------------------------------ the table

/// One member of every dialect, named after it, and `bob`, who makes things happen.
struct Cast {
    members: Vec<Member>,
    bob: Member,
}

impl Cast {
    fn come(running: &Running) -> Self {
        let mut members: Vec<Member> = drivers::all()
            .map(|driver| Member::come(running.address, driver.dialect, driver.dialect))
            .collect();
        let bob = Member::come(running.address, "plaza", "bob");
        let mut cast = Self {
            bob,
            members: Vec::new(),
        };
        cast.members.append(&mut members);
        cast.settle("everybody is here");
        cast
    }

    /// Lets bob say something, and has everybody read up to it; gives what each was shown before it.
    fn settle(&mut self, text: &str) -> Vec<Vec<Shown>> {
        self.bob.talk(text);
        let marker = talk("bob", text);
        self.bob.wait_for(&marker);
        self.bob.take();
        self.members
            .iter_mut()
            .map(|member| {
                member.wait_for(&marker);
                let mut shown = member.take_events();
                assert_eq!(shown.pop(), Some(marker.clone()));
                shown
            })
            .collect()
    }

    /// The same with a direct message to each, for what goes to sessions.
    fn settle_each(&mut self, text: &str) -> Vec<Vec<Shown>> {
        let bob = &mut self.bob;
        self.members
            .iter_mut()
            .map(|member| {
                bob.client
                    .send_text(&format!(r#"{{"direct":{{"to":"{}","text":"{text}"}}}}"#, member.name));
                let is_marker = |shown: &Shown| match shown {
                    Shown::Talk { text: heard, .. } => heard == text,
                    Shown::Other("direct", json) => json.contains(text),
                    _ => false,
                };
                member.wait_until(text, is_marker);
                let mut shown = member.take_events();
                assert!(shown.pop().is_some_and(|shown| is_marker(&shown)));
                shown
            })
            .collect()
    }
}

fn compare(row: &str, seen: &[Vec<Shown>]) {
    for (driver, shown) in drivers::all().zip(seen) {
        assert_eq!(
            !shown.is_empty(),
            table_shows(row, driver.dialect),
            "{row} × {}: {shown:?}",
            driver.dialect
        );
    }
}

#[test]
fn what_happens_in_a_room_is_shown_as_the_table_says() {
    let running = start();
    let mut cast = Cast::come(&running);

    cast.bob.talk("hi");
    compare("message", &cast.settle("after a message"));

    let mut tim = Member::come(running.address, "plaza", "tim");
    compare("join", &cast.settle("after a join"));
    tim.client.send_text(r#"{"id":5,"rename":{"name":"kim"}}"#);
    tim.wait_for(&Shown::Renamed {
        old: "tim".into(),
        new: "kim".into(),
    });
    compare("renamed", &cast.settle("after renamed"));
    tim.client.send_text(r#"{"topic":{"room":"lobby","topic":"news"}}"#);
    tim.wait_until("the topic", |shown| matches!(shown, Shown::Other("topic", _)));
    compare("topic", &cast.settle("after topic"));
    tim.client.send_text(r#"{"typing":{"room":"lobby"}}"#);
    cast.bob
        .wait_until("the typing", |shown| matches!(shown, Shown::Other("typing", _)));
    compare("typing", &cast.settle("after typing"));
    tim.client.send_text(r#"{"exit":{}}"#);
    cast.bob.wait_for(&Shown::Went("kim".into()));
    compare("exit", &cast.settle("after an exit"));

    drop(Member::come(running.address, "plaza", "lou"));
    cast.bob.wait_for(&Shown::Went("lou".into()));
    compare("lost connection", &cast.settle("after a lost connection"));

    assert!(running.server.say_to_room(&RoomName::lobby(), "维护"));
    cast.bob
        .wait_until("the system", |shown| matches!(shown, Shown::Other("system", _)));
    compare("system in the room", &cast.settle("after system"));
}

#[test]
fn what_sessions_are_told_is_shown_as_the_table_says() {
    let running = start();
    let mut cast = Cast::come(&running);
    for driver in drivers::all() {
        let dialect = driver.dialect;
        cast.bob
            .client
            .send_text(&format!(r#"{{"direct":{{"to":"{dialect}","text":"psst 悄悄"}}}}"#));
    }
    compare("direct", &cast.settle_each("after direct"));

    // Typing is passed on at most every two seconds per session, so everybody gets a session of its own to be told by.
    for driver in drivers::all() {
        let mut typist = Member::come(running.address, "plaza", "typist");
        typist
            .client
            .send_text(&format!(r#"{{"typing":{{"to":"{}"}}}}"#, driver.dialect));
        typist.client.send_text(r#"{"id":7,"ping":{}}"#);
        typist.wait_until("the pong", |shown| matches!(shown, Shown::Other("pong", _)));
    }
    let mut seen = cast.settle_each("after typing");
    for shown in &mut seen {
        shown.retain(|shown| !matches!(shown, Shown::Came(_) | Shown::Went(_)));
    }
    compare("typing to me", &seen);

    cast.settle("before system");
    for driver in drivers::all() {
        assert!(
            running
                .server
                .say_to_user(&UserName::parse(driver.dialect).unwrap(), "维护")
        );
    }
    // What the operator says comes by another way than what bob says, so neither waits for the other.
    for (driver, member) in drivers::all().zip(&mut cast.members) {
        if table_shows("system to me", driver.dialect) {
            member.wait_until("the system's message", |shown| format!("{shown:?}").contains("维护"));
        }
    }
    compare("system to me", &cast.settle_each("after system"));

    for member in &mut cast.members {
        provoke(member);
    }
    let mut seen = cast.settle_each("after errors");
    for (driver, shown) in drivers::all().zip(&mut seen) {
        // Nothing that its clients can say is refused to them in words.
        if driver.dialect == "chatroom" {
            assert_eq!(*shown, []);
            shown.push(talk("系统", "as the unit test shows"));
        }
    }
    compare("error", &seen);
}

/// Has it ask for something that is refused.
fn provoke(member: &mut Member) {
    match member.driver.dialect {
        "plaza" => {
            member
                .client
                .send_text(r#"{"id":3,"talk":{"room":"elsewhere","text":"x"}}"#);
            member.wait_until("the error", |shown| matches!(shown, Shown::Other("error", _)));
        }
        // An empty talk is the question for the list here; what it may not do is ask for more lists than wait.
        "communication" | "chat-request" => {
            let ask: &[u8] = match member.driver.dialect {
                "communication" => b"\x0a\x013",
                _ => b"\x12\x04talk",
            };
            let ask = frame(0x82, ask);
            member.client.try_send(&ask.repeat(1100));
            member.wait_until(
                "the error",
                |shown| matches!(shown, Shown::Talk { from, .. } if from == "系统"),
            );
        }
        "tutorial" => {
            member.talk("");
            member.wait_until("the error", |shown| matches!(shown, Shown::Other("system", _)));
        }
        "action" => {
            member.client.send_text(r#"{"seq":"9","action":"dance","data":{}}"#);
            member.wait_until("the error", |shown| matches!(shown, Shown::Other("response", _)));
        }
        _ => {}
    }
}

#[test]
fn a_large_room_is_shown_digests_as_the_table_says() {
    let running = start_with(|config| {
        config.chat.presence_events_max = 3;
        config.chat.digest_every = std::time::Duration::from_millis(100);
    });
    let mut cast = Cast::come(&running);
    drop(Member::come(running.address, "plaza", "tim"));
    // The digest that knows of the going is the one that counts seven users again.
    cast.bob.wait_until(
        "the digest",
        |shown| matches!(shown, Shown::Other("digest", json) if json.contains(r#""online":7"#)),
    );
    compare("digest", &cast.settle("after digest"));
}

#[test]
fn only_those_who_are_spoken_to_first_hear_something_before_they_speak() {
    let running = start();
    for driver in drivers::all() {
        let dialect = driver.dialect;
        let mut client = Peer::open(running.address, &format!("/ws/{dialect}"), &[]);
        // A pong shows that the server had every chance to speak: greetings take the way through the lobby's owner and back.
        client.send_frame(PING, b"");
        if table_shows("greeting", dialect) {
            let shown = driver.shown(&client.hear());
            assert!(
                matches!(shown, Shown::Other("handshake" | "enter", _)),
                "{dialect}: {shown:?}"
            );
        }
        client.send_frame(CLOSE, &1000u16.to_be_bytes());
        let mut heard = client.hear_all();
        assert_eq!(heard.pop(), Some(Heard::Close(1000, String::new())), "{dialect}");
        // Some are sent the list when they come.
        heard.retain(|heard| !matches!(driver.shown(heard), Shown::List(_) | Shown::Changed(_)));
        assert_eq!(heard, [], "{dialect}");
    }
}

#[test]
fn when_the_server_goes_everybody_is_told_as_the_table_says() {
    let running = start();
    let mut cast = Cast::come(&running);
    let drained = std::thread::spawn(move || running.server.drain());
    for member in &mut cast.members {
        member.wait_until("the close", |shown| matches!(shown, Shown::Close(_)));
        let mut shown = member.take();
        let native = member.driver.dialect == "plaza";
        assert_eq!(
            shown.pop(),
            Some(Shown::Close(if native { 4000 } else { 1001 })),
            "{}",
            member.name
        );
        // The others go at the same time, and may be seen going.
        shown.retain(|shown| !matches!(shown, Shown::Went(_)));
        assert_eq!(
            !shown.is_empty(),
            table_shows("goodbye", member.driver.dialect),
            "{}: {shown:?}",
            member.name
        );
        member.client.send_frame(CLOSE, &1001u16.to_be_bytes());
    }
    drop(cast);
    assert_eq!(drained.join().unwrap(), 0, "connections that had to be cut off");
}

#[test]
fn who_does_not_read_is_told_its_gap_or_closed_as_the_table_says() {
    let running = start_with(|config| config.flush.ring_bytes = plaza::config::ByteCount(64 * 1024));
    let address = running.address;
    let mut stalled: Vec<Member> = drivers::all()
        .map(|driver| Member::come_narrow(address, driver.dialect, driver.dialect))
        .collect();
    let mut bob = Member::come(address, "plaza", "bob");
    let long = "长".repeat(20_000);
    // Far more than the ring and the buffers of the sockets hold.
    for _ in 0..120 {
        bob.talk(&long);
        bob.wait_until("its own talk", |shown| {
            matches!(shown, Shown::Talk { .. } | Shown::Other("error", _))
        });
        assert_eq!(bob.take().pop(), Some(talk("bob", &long)));
    }
    // All at once: who is closed and does not read it within two seconds is cut off.
    std::thread::scope(|scope| {
        for member in &mut stalled {
            scope.spawn(move || {
                let gap = table_shows("gap", member.driver.dialect);
                let last = if gap { "the gap" } else { "the close" };
                member.wait_until(last, |shown| matches!(shown, Shown::Other("gap", _) | Shown::Close(_)));
                let shown = member.take().pop();
                match shown {
                    Some(Shown::Other("gap", _)) => assert!(gap, "{}", member.name),
                    Some(Shown::Close(code)) => assert!(!gap && code == 1013, "{} {code}", member.name),
                    other => panic!("{other:?}"),
                }
            });
        }
    });
}

// ------------------------------------------------------------------------------------------------------ long messages

/// A message in three frames.
fn in_fragments(text: &str) -> Vec<u8> {
    let (first, rest) = text.as_bytes().split_at(text.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    [frame(0x01, first), frame(0, second), frame(0x80, third)].concat()
}

#[test]
fn fifteen_hundred_chinese_characters_go_through_the_page_of_document_004() {
    let running = start();
    let pasted = "聊".repeat(1_500);
    for path in ["/ws", "/ws/tutorial"] {
        let mut ann = Member::come(running.address, "plaza", "ann");
        let mut page = Peer::open(running.address, path, &[("origin", b"null")]);
        page.hear();
        page.send_text(r#"{"type":"login","content":"bob"}"#);
        page.hear();
        let message = format!(r#"{{"content":"{pasted}","type":"user"}}"#);
        page.send_text(&message);
        page.try_send(&in_fragments(&message));
        for _ in 0..2 {
            let heard = drivers::driver("tutorial").shown(&page.hear());
            assert_eq!(heard, talk("bob", &pasted), "{path}");
            ann.wait_for(&talk("bob", &pasted));
            ann.take();
        }
        // What no message may hold is refused, and the page goes on.
        page.send_text(&format!(r#"{{"content":"{}","type":"user"}}"#, "x".repeat(64_600)));
        let refused = drivers::driver("tutorial").shown(&page.hear());
        assert!(
            matches!(&refused, Shown::Other("system", text) if text.contains("longer than 64,512 bytes")),
            "{refused:?}"
        );
        page.send_text(r#"{"content":"still here","type":"user"}"#);
        assert_eq!(
            drivers::driver("tutorial").shown(&page.hear()),
            talk("bob", "still here")
        );
    }
}

#[test]
fn fifteen_hundred_chinese_characters_go_through_document_003() {
    let running = start();
    let pasted = "聊".repeat(1_500);
    let mut bob = Member::come(running.address, "action", "bob");
    bob.talk(&pasted);
    bob.wait_for(&talk("bob", &pasted));
}

#[test]
fn a_message_that_is_too_long_is_answered_in_the_dialects_own_words_before_the_close() {
    let running = start();
    for driver in drivers::all().filter(|driver| driver.dialect != "plaza") {
        let most = Profile::of(DialectId::named(driver.dialect).unwrap()).message_bytes;
        for long in [most + 1, 4 * 1024 * 1024] {
            let mut member = Member::come(running.address, driver.dialect, "eve");
            member.take();
            let said = (driver.talk)(&"x".repeat(long));
            member.say(&said);
            member.wait_until("the close", |shown| matches!(shown, Shown::Close(_)));
            let mut shown = member.take_events();
            assert_eq!(shown.pop(), Some(Shown::Close(1009)), "{}", driver.dialect);
            let answered = match shown.pop() {
                Some(Shown::Talk { from, text }) => from == "系统" && text.contains("is longer than"),
                Some(Shown::Other("system", text)) => text.contains("is longer than"),
                Some(Shown::Other("response", json)) => json.contains("1001"),
                other => panic!("{}: {other:?}", driver.dialect),
            };
            assert!(answered, "{}", driver.dialect);
        }
    }
}
