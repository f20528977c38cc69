//! A request sees what the same client wrote before it, although the client did not wait for the acknowledgement.
#![allow(clippy::unwrap_used)]

mod stories;

use serde_json::{Value, json};
use stories::{Peer, Running, stored};

/// Sends all requests without waiting in between; what answers each of them, in their order.
fn in_one_go(client: &mut Peer, requests: &[Value]) -> Vec<Value> {
    for (id, request) in (1..).zip(requests) {
        let mut request = request.clone();
        request["id"] = json!(id);
        client.send_text(&request.to_string());
    }
    let mut answers = vec![Value::Null; requests.len()];
    while answers.contains(&Value::Null) {
        let told = client.event();
        if let Some(id) = told["id"].as_u64() {
            answers[usize::try_from(id).unwrap() - 1] = told;
        }
    }
    answers
}

fn texts(page: &Value) -> Vec<&str> {
    let messages = page["history"]["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|message| message["text"].as_str().unwrap())
        .collect()
}

#[test]
fn a_client_sees_what_it_wrote_itself_without_waiting_for_the_acknowledgement() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(&stored(dir.path()));
    // Several times: the store may win the race once even where nothing waits for it.
    for round in 0..8 {
        let (ann, bob) = (format!("ann {round}"), format!("bob {round}"));
        let mut client = Peer::open(running.address, "/chat", &[]);
        let said = format!("hello {round}");
        let answers = in_one_go(
            &mut client,
            &[
                json!({"hello": {"name": ann, "key": KEY}}),
                json!({"join": {"room": "lobby"}}),
                json!({"talk": {"room": "lobby", "text": said}}),
                json!({"history": {"room": "lobby", "limit": 1}}),
                json!({"direct": {"to": bob, "text": said}}),
                json!({"history": {"peer": bob, "limit": 1}}),
            ],
        );
        assert_eq!(texts(&answers[3]), [&said], "{answers:?}");
        assert_eq!(texts(&answers[5]), [&said], "{answers:?}");

        let mut client = Peer::open(running.address, "/chat", &[]);
        let answers = in_one_go(
            &mut client,
            &[
                json!({"hello": {"name": bob, "key": KEY}}),
                json!({"unread": {}}),
                json!({"read": {"peer": ann, "seq": 1}}),
                json!({"unread": {}}),
            ],
        );
        let waiting = |page: &Value| page["unread"]["conversations"].as_array().unwrap().len();
        assert_eq!((waiting(&answers[1]), waiting(&answers[3])), (1, 0), "{answers:?}");
    }
}
