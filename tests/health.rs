//! Health and metrics of a running server.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use support::{Peer, Running, config, get, metric, until};

#[test]
fn unknown_paths_are_404_and_clients_do_not_see_the_operators_pages() {
    let server = Running::start(&config());
    assert_eq!(get(server.admin, "/nothing").status, 404);
    assert_eq!(get(server.address, "/metrics").status, 404, "clients must not see it");
}

#[test]
fn metrics_are_the_counts_of_what_happened() {
    let server = Running::start(&config());
    let mut members: Vec<Peer> = (0..5)
        .map(|number| Peer::native_in(server.address, &format!("member {number}"), "hall"))
        .collect();
    for number in 0..20 {
        members[0].say("hall", &number.to_string());
    }
    for member in &mut members[1..] {
        let mut heard = 0;
        while heard < 20 {
            heard += u64::from(member.event()["message"].is_object());
        }
    }
    members[1].refused("not_member", json!({"talk": {"room": "elsewhere", "text": "x"}}));
    members[1].get("ack", json!({"direct": {"to": "member 2", "text": "x"}}));
    let is = |name: &str, labels: &[&str], value: f64| {
        let now = || metric(server.admin, name, labels);
        until(&format!("{name} {labels:?} is {value}, not {}", now()), || {
            now() == value
        });
    };
    is("plaza_connections", &["dialect=\"plaza\""], 5.0);
    is("plaza_connections_opened_total", &["dialect=\"plaza\""], 5.0);
    is("plaza_sessions", &[], 5.0);
    is("plaza_members", &[], 5.0);
    is("plaza_rooms", &[], 1.0);
    is("plaza_messages_total", &["dialect=\"plaza\""], 20.0);
    is("plaza_direct_messages_total", &[], 1.0);
    is("plaza_refusals_total", &["code=\"not_member\""], 1.0);
    is("plaza_accepted_total", &[], 5.0);
    is("plaza_dialects_decided_total", &["by=\"path\""], 5.0);
    // Every talk to every member, the talker too; comings besides.
    assert!(metric(server.admin, "plaza_deliveries_total", &[]) >= 100.0);
    assert!(metric(server.admin, "plaza_flush_duration_seconds_count", &[]) >= 20.0);
    assert!(metric(server.admin, "plaza_received_bytes_total", &[]) > 0.0);
    assert!(metric(server.admin, "plaza_sent_bytes_total", &[]) > 20.0 * 5.0 * 50.0);
    members.pop();
    is("plaza_connections", &[], 4.0);
    is("plaza_connections_closed_total", &["reason=\"vanished\""], 1.0);
    drop(members);
    is("plaza_connections", &[], 0.0);
    is("plaza_sessions", &[], 0.0);
    is("plaza_members", &[], 0.0);

    // A client that ends before it has shown its dialect.
    drop(Peer::open(server.address, "/ws", &[("username", b"sil")]));
    is("plaza_connections_opened_total", &["dialect=\"undecided\""], 1.0);
    is("plaza_connections", &["dialect=\"undecided\""], 0.0);

    let mut stranger = Peer::connect(server.address);
    let request = support::Request::upgrade(server.address, "/chat").with("Origin", "http://evil.example");
    stranger.send(&request.bytes());
    assert_eq!(stranger.response().status, 403);
    is("plaza_handshakes_rejected_total", &["reason=\"origin\""], 1.0);
}
