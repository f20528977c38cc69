//! Every dialect in the same story, with users of two other dialects in the room, and every cell of the table of docs/events.md over
//! real sockets. A new dialect without a driver fails here.
#![allow(clippy::unwrap_used)]

mod stories;

use std::net::SocketAddr;

use plaza::{
    chat::{RoomName, UserName},
    codec::{DialectId, Profile},
};
use stories::{
    BINARY, CLOSE, Heard, PING, Peer, Running,
    drivers::{self, Driver, Member, Shown, renamed, talk},
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
        Event::Renamed(old, new) => ("renamed", vec![renamed(old, new)]),
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
        let (name, dialect) = (&member.name, member.driver.dialect);
        assert_eq!(shown, expected(member.driver, event), "{name} ({dialect}) at {step:?}");
    }
}

/// Lets a member say something, and compares what everybody is shown of it.
fn check_talk(members: &mut [Member], speaker: usize, text: &str) {
    let name = members[speaker].name.clone();
    members[speaker].talk(text);
    members[0].wait_for(&talk(&name, text));
    check(members, &format!("{name} talked"), &Event::Talk(&name, text));
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
        story(driver, start().address);
    }
}

fn story(driver: &'static Driver, address: SocketAddr) {
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
    let texts = "from a witness|来自福|hello|你好，世界 🌏|a:b,c \"<b>\" \\ &";
    for (speaker, text) in texts.split('|').enumerate() {
        check_talk(&mut members, speaker, text);
    }
    if driver.list.is_some() {
        members[3].wait_for_list(&["ann", "cyd", "eva", "张三", "福"]);
    }
    let mut named = "ann";
    if let Some(rename) = driver.rename {
        let ann = &mut members[2];
        ann.say(&rename("安"));
        // Who renames has shown that it knows the word, and so has who asks for the list.
        let renamed = renamed("ann", "安");
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
            let is_rename = |shown: &Shown| matches!(shown, Shown::Renamed { .. });
            assert!(!late.iter().any(is_rename), "{late:?}");
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
            let is_own = |shown: &&Shown| matches!(shown, Shown::Went(name) if name == named);
            let (seen, due) = (shown.iter().filter(is_own).count(), usize::from(profile.sees_own_leave));
            assert_eq!(seen, due, "{}: {shown:?}", driver.dialect);
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
        let come = |driver: &Driver| Member::come(running.address, driver.dialect, driver.dialect);
        let members = drivers::all().map(come).collect();
        let bob = Member::come(running.address, "plaza", "bob");
        let mut cast = Self { members, bob };
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
                bob.client.send_text(&direct(&member.name, text));
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

fn direct(to: &str, text: &str) -> String {
    format!(r#"{{"direct":{{"to":"{to}","text":"{text}"}}}}"#)
}

/// Whether each dialect was shown something, as this row of the table says.
fn compare(row: &str, seen: &[Vec<Shown>]) {
    for (Driver { dialect, .. }, shown) in drivers::all().zip(seen) {
        let (is_shown, due) = (!shown.is_empty(), table_shows(row, dialect));
        assert_eq!(is_shown, due, "{row} × {dialect}: {shown:?}");
    }
}

/// Waits for something of this kind that the driver has no other name for.
fn wait_for_other(member: &mut Member, kind: &str) {
    member.wait_until(kind, |shown| matches!(shown, Shown::Other(seen, _) if *seen == kind));
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
    tim.wait_for(&renamed("tim", "kim"));
    compare("renamed", &cast.settle("after renamed"));
    tim.client.send_text(r#"{"topic":{"room":"lobby","topic":"news"}}"#);
    wait_for_other(&mut tim, "topic");
    compare("topic", &cast.settle("after topic"));
    tim.client.send_text(r#"{"typing":{"room":"lobby"}}"#);
    wait_for_other(&mut cast.bob, "typing");
    compare("typing", &cast.settle("after typing"));
    tim.client.send_text(r#"{"exit":{}}"#);
    cast.bob.wait_for(&Shown::Went("kim".into()));
    compare("exit", &cast.settle("after an exit"));

    drop(Member::come(running.address, "plaza", "lou"));
    cast.bob.wait_for(&Shown::Went("lou".into()));
    compare("lost connection", &cast.settle("after a lost connection"));

    assert!(running.server.say_to_room(&RoomName::lobby(), "维护"));
    wait_for_other(&mut cast.bob, "system");
    compare("system in the room", &cast.settle("after system"));
}

#[test]
fn what_sessions_are_told_is_shown_as_the_table_says() {
    let running = start();
    let mut cast = Cast::come(&running);
    for driver in drivers::all() {
        cast.bob.client.send_text(&direct(driver.dialect, "psst 悄悄"));
    }
    compare("direct", &cast.settle_each("after direct"));

    // Typing is passed on at most every two seconds per session, so everybody gets a session of its own to be told by.
    for driver in drivers::all() {
        let mut typist = Member::come(running.address, "plaza", "typist");
        let typing = format!(r#"{{"typing":{{"to":"{}"}}}}"#, driver.dialect);
        typist.client.send_text(&typing);
        typist.client.send_text(r#"{"id":7,"ping":{}}"#);
        wait_for_other(&mut typist, "pong");
    }
    let mut seen = cast.settle_each("after typing");
    for shown in &mut seen {
        shown.retain(|shown| !matches!(shown, Shown::Came(_) | Shown::Went(_)));
    }
    compare("typing to me", &seen);

    cast.settle("before system");
    for driver in drivers::all() {
        let user = UserName::parse(driver.dialect).unwrap();
        assert!(running.server.say_to_user(&user, "维护"));
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
            let elsewhere = r#"{"id":3,"talk":{"room":"elsewhere","text":"x"}}"#;
            member.client.send_text(elsewhere);
            wait_for_other(member, "error");
        }
        // An empty talk is the question for the list here; what it may not do is ask for more lists than wait.
        "communication" | "chat-request" => {
            let ask: &[u8] = match member.driver.dialect {
                "communication" => b"\x0a\x013",
                _ => b"\x12\x04talk",
            };
            member.client.try_send(&frame(BINARY, ask).repeat(1100));
            let of_the_server = |shown: &Shown| matches!(shown, Shown::Talk { from, .. } if from == "系统");
            member.wait_until("the error", of_the_server);
        }
        "tutorial" => {
            member.talk("");
            wait_for_other(member, "system");
        }
        "action" => {
            member.client.send_text(r#"{"seq":"9","action":"dance","data":{}}"#);
            wait_for_other(member, "response");
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
    let counts_seven = |shown: &Shown| matches!(shown, Shown::Other("digest", json) if json.contains(r#""online":7"#));
    cast.bob.wait_until("the digest", counts_seven);
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
            let greets = matches!(shown, Shown::Other("handshake" | "enter", _));
            assert!(greets, "{dialect}: {shown:?}");
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
        let dialect = member.driver.dialect;
        let code = if dialect == "plaza" { 4000 } else { 1001 };
        assert_eq!(shown.pop(), Some(Shown::Close(code)), "{dialect}");
        // The others go at the same time, and may be seen going.
        shown.retain(|shown| !matches!(shown, Shown::Went(_)));
        let (is_told, due) = (!shown.is_empty(), table_shows("goodbye", dialect));
        assert_eq!(is_told, due, "{dialect}: {shown:?}");
        member.client.send_frame(CLOSE, &1001u16.to_be_bytes());
    }
    drop(cast);
    assert_eq!(drained.join().unwrap(), 0, "connections that had to be cut off");
}

#[test]
fn who_does_not_read_is_told_its_gap_or_closed_as_the_table_says() {
    let running = start_with(|config| config.flush.ring_bytes = plaza::config::ByteCount(64 * 1024));
    let address = running.address;
    let come = |driver: &Driver| Member::come_narrow(address, driver.dialect, driver.dialect);
    let mut stalled: Vec<Member> = drivers::all().map(come).collect();
    let mut bob = Member::come(address, "plaza", "bob");
    let long = "长".repeat(20_000);
    // Far more than the ring and the buffers of the sockets hold.
    for _ in 0..120 {
        bob.talk(&long);
        bob.wait_for(&talk("bob", &long));
        bob.take();
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
        let message = |text: &str| format!(r#"{{"content":"{text}","type":"user"}}"#);
        let next = |page: &mut Peer| drivers::driver("tutorial").shown(&page.hear());
        page.send_text(&message(&pasted));
        page.try_send(&in_fragments(&message(&pasted)));
        for _ in 0..2 {
            assert_eq!(next(&mut page), talk("bob", &pasted), "{path}");
            ann.wait_for(&talk("bob", &pasted));
            ann.take();
        }
        // What no message may hold is refused, and the page goes on.
        page.send_text(&message(&"x".repeat(64_600)));
        let Shown::Other("system", refused) = next(&mut page) else {
            panic!("{path}")
        };
        assert!(refused.contains("longer than 64,512 bytes"), "{refused:?}");
        page.send_text(&message("still here"));
        assert_eq!(next(&mut page), talk("bob", "still here"));
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
