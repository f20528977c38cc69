//! What the store keeps for a user belongs to the user's id, whatever name is displayed.

use plaza::{
    chat::{UserId, UserName},
    history::{
        Answer, Append, Claim, ConversationFilter, Credential, Epochs, LogId, NameKey, Outcome, Query, UserPair, tools,
    },
};

use crate::support::{Caller, Store, append, committed, pair, room, unsynced, user};

/// Somebody who has proved who they are, and is shown as ann.
fn proven() -> UserId {
    UserId::parse("token:issuer|1").unwrap()
}

fn say_proven(caller: &Caller, log: &LogId, text: &str, key: Option<&str>) -> Outcome<u64> {
    let append = append(log, "ann", text, key, 0);
    let mut message = append.message.clone();
    message.user = proven();
    caller.submit(Append { message, ..append });
    caller.next()
}

fn unread(caller: &Caller, log: &LogId, user: UserId) -> u64 {
    match caller.answer(Query::ReadMarker { log: log.clone(), user }) {
        Answer::ReadMarker { unread, .. } => unread,
        other => panic!("{other:?}"),
    }
}

/// The senders of a log, each as an id and the name that is displayed.
fn senders(caller: &Caller, log: &LogId) -> Vec<(String, String)> {
    let messages = caller.all(log).unwrap().into_iter();
    let senders = messages.map(|message| (message.user.to_string(), message.from.as_str().to_owned()));
    senders.collect()
}

#[test]
fn two_users_of_one_name_share_neither_unread_counts_nor_keys_also_in_a_copy() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    let caller = Caller::start(unsynced(&at("data"))).unwrap();
    let lobby = room("lobby");
    committed(caller.say_with(&lobby, "ann", "hi", "k"));
    committed(say_proven(&caller, &lobby, "ho", Some("k")));
    committed(caller.say_with(&lobby, "bob", "hey", "k"));
    for (text, key) in [("hi", "name:ann"), ("ho", "token:issuer|1")] {
        let again = match key {
            "name:ann" => caller.say_with(&lobby, "ann", text, "k"),
            _ => say_proven(&caller, &lobby, text, Some("k")),
        };
        assert!(matches!(again, Outcome::Duplicate { .. }), "{again:?}");
    }
    let due = [("name:ann", "ann"), ("token:issuer|1", "ann"), ("name:bob", "bob")];
    let due = due.map(|(id, name)| (id.to_owned(), name.to_owned()));
    assert_eq!(senders(&caller, &lobby), due);
    for one in [user("ann"), proven(), user("bob")] {
        assert_eq!(unread(&caller, &lobby, one), 2);
    }
    assert_eq!(unread(&caller, &lobby, user("eve")), 3);
    drop(caller);
    let mut export = Vec::new();
    tools::export(&at("data"), &mut export).unwrap();
    std::fs::write(at("export"), export).unwrap();
    tools::import(&at("copy"), &at("export"), Epochs::Begin).unwrap();
    assert_eq!(tools::check(&at("copy")).unwrap().damages, Vec::<String>::new());
    assert_eq!(senders(&Caller::open(&at("copy")), &lobby), due);
}

#[test]
fn a_name_is_claimed_with_a_key_of_enough_bytes_and_a_wrong_key_differs_after_a_restart_too() {
    let store = Store::unsynced();
    let claim = |store: &Store, key: &str| {
        let (name, key) = (UserName::parse("ann").unwrap(), NameKey(key.to_owned()));
        store.ask(Query::Claim { name, key })
    };
    let short = claim(&store, "fifteen bytes!!");
    assert!(format!("{short:?}").contains("the key has 15 bytes"), "{short:?}");
    assert_eq!(store.claim("ann", "made by ann's client, of 32 bytes"), Claim::New);
    let store = store.restarted();
    assert_eq!(store.claim("ann", "made by eve's client, of 32 bytes"), Claim::Differs);
    assert_eq!(store.claim("ann", "made by ann's client, of 32 bytes"), Claim::Matches);
}

#[test]
fn an_inbox_and_its_conversations_belong_to_ids() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    let of_proven = LogId::Pair(UserPair::of(proven(), user("bob")));
    committed(say_proven(&caller, &of_proven, "from the proven one", None));
    caller.say(&pair("ann", "bob"), "ann", "from anybody");
    let waiting = |user, filter| match caller.answer(Query::Conversations { user, filter }) {
        Answer::Conversations { conversations, .. } => {
            let logs = conversations.into_iter().map(|one| (one.log, one.unread));
            logs.collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let mut of_bob = waiting(user("bob"), ConversationFilter::Unread);
    of_bob.sort();
    let mut due = [(of_proven.clone(), 1), (pair("ann", "bob"), 1)];
    due.sort();
    assert_eq!(of_bob, due);
    let mail = ConversationFilter::Inbox {
        credential: Credential::Key,
        known: Vec::new(),
    };
    assert_eq!(waiting(proven(), mail), [(of_proven, 0)]);
    let ask = Query::Direct {
        user: user("bob"),
        credential: Credential::Name,
        peer: proven(),
        after: 0,
    };
    let Answer::Direct(Some(page)) = caller.answer(ask) else {
        panic!("bob may read his inbox");
    };
    assert_eq!((page.peer, &*page.messages[0].text), (proven(), "from the proven one"));
}

#[test]
fn a_senders_id_is_part_of_the_checksum_of_a_message() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    committed(say_proven(&caller, &room("lobby"), "hi", None));
    drop(caller);
    for sender in ["NULL", "' token:issuer|2'", "''"] {
        let db = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
        db.execute_batch(&format!("UPDATE message SET sender = {sender}"))
            .unwrap();
        assert_eq!(tools::check(dir.path()).unwrap().damages.len(), 1, "{sender}");
    }
}

#[test]
fn a_store_of_schema_5_is_migrated_and_its_senders_have_the_ids_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("history.db"), include_bytes!("version-5.db")).unwrap();
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    let (lobby, direct) = (room("lobby"), pair("ann", "bob"));
    let names = |names: &[&str]| -> Vec<_> {
        let named = names.iter().map(|name| (format!("name:{name}"), (*name).to_owned()));
        named.collect()
    };
    // Ten messages whose numbers have holes, and behind them an entry that is no message.
    let mut due = names(&["ann", "bob", "张三", "ann", "bob", "张三", "ann", "bob", "张三", "ann"]);
    assert_eq!(senders(&caller, &lobby), due);
    assert_eq!(senders(&caller, &direct), names(&["ann", "bob", "ann", "bob"]));
    // Ann has read the first three.
    assert_eq!(unread(&caller, &lobby, user("ann")), 4);
    assert_eq!(unread(&caller, &direct, user("bob")), 2);
    committed_behind(say_proven(&caller, &lobby, "new", None), 33);
    due.push(("token:issuer|1".to_owned(), "ann".to_owned()));
    assert_eq!(senders(&caller, &lobby), due);
    assert_eq!(unread(&caller, &lobby, user("ann")), 5);
    assert!(caller.history.claims().has(user("ann").name().unwrap()));
    drop(caller);
    assert_eq!(tools::check(dir.path()).unwrap().damages, Vec::<String>::new());
}

fn committed_behind(outcome: Outcome<u64>, message: u64) {
    assert!(
        matches!(outcome, Outcome::Committed { prev, .. } if prev == message),
        "{outcome:?}"
    );
}
