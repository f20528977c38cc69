//! The audit from end to end: `plaza-load` against a floor that fails on purpose, over real sockets.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

const LOAD: &str = env!("CARGO_BIN_EXE_plaza-load");
const FLOOR: &str = env!("CARGO_BIN_EXE_floor");

/// Runs `plaza-load` with these arguments against a floor with its own.
fn load(words: &str, sabotage: &str) -> (Output, Value, String) {
    let scratch = tempfile::tempdir().unwrap();
    let (json, html) = (scratch.path().join("report.json"), scratch.path().join("report.html"));
    let server = format!("{FLOOR} {sabotage}");
    let output = Command::new(LOAD)
        .args(words.split_whitespace())
        .args(["--dialect", "raw", "--quiet", "--drain", "2", "--server-cmd", &server])
        .arg("--json")
        .arg(&json)
        .arg("--html")
        .arg(&html)
        .output()
        .unwrap();
    let report = std::fs::read_to_string(&json).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let html = std::fs::read_to_string(&html).unwrap();
    (output, serde_json::from_str(&report).unwrap(), html)
}

#[test]
fn a_server_that_does_right_passes_and_is_measured() {
    let words = "fanout -n 50 --in-flight 4 --warmup 0.2 --seconds 1 --require talks_per_s>=1";
    let (output, report, html) = load(words, "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let figure = |name: &str| report["figures"][name].as_f64().unwrap();
    assert_eq!(figure("delivered"), 50.0 * figure("sent"));
    assert!(figure("cpu_us") > 0.0 && figure("p99_ms") > 0.0 && figure("anon_mib") > 0.0);
    assert!(html.contains("<svg") && !html.contains("src="));
}

#[test]
fn a_generator_that_never_sleeps_counts_the_time_it_works_and_no_other() {
    let words = "fanout -n 10 --rate 20 --warmup 0.2 --seconds 1 --busy --load-core 0 --require load_cores<=0.5";
    let (output, report, _) = load(words, "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(report["figures"]["delivered"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_generator_that_waits_for_the_next_due_talk_does_not_count_its_waiting() {
    // A message is due within the millisecond, and the generator does not sleep before such a message.
    let words = "fanout -n 2 --rate 1000 --warmup 0.2 --seconds 1 --require load_cores<=0.35";
    let (output, report, _) = load(words, "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(report["figures"]["load_cores"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_delivery_that_is_dropped_made_twice_out_of_its_order_or_torn_fails_the_run() {
    for (sabotage, found) in [
        ("--drop-one-in 10000", "lost"),
        ("--duplicate-one-in 10000", "duplicated"),
        ("--swap-one-in 9999", "disagreed"),
        ("--tear-one-in 20000", "torn"),
    ] {
        let (output, report, _) = load("fanout -n 50 --rate 1000 --warmup 0 --seconds 1", sabotage);
        assert_eq!(output.status.code(), Some(1), "{sabotage}: {output:?}");
        let figure = |name: &str| report["figures"][name].as_f64().unwrap();
        // The audit finds exactly the deliveries that the floor has dropped or made twice; a torn one ends its connection.
        let tampered = (figure("sent") * 50.0 / 10_000.0).floor();
        match found {
            "lost" | "duplicated" => assert_eq!(figure(found), tampered, "{sabotage}"),
            "disagreed" => assert!(figure(found) >= 4.0, "{sabotage}"),
            _ => assert!(figure(found) >= 2.0, "{sabotage}"),
        }
        assert!(tampered >= 4.0, "{sabotage}");
        assert!(found != "duplicated" || figure("lost") == 0.0, "{sabotage}");
    }
}

#[test]
fn a_missed_requirement_fails_a_run_that_lost_nothing() {
    let words = "fanout -n 5 --rate 50 --warmup 0 --seconds 0.5 --require p99_ms<=0.000001";
    let (output, report, _) = load(words, "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["figures"]["lost"], 0.0);
    let missed = report["missed"][0].as_str().unwrap();
    assert!(missed.starts_with("p99_ms<=0.000001: it was "), "{missed}");
}

#[test]
fn members_that_come_and_go_are_audited_too() {
    let words = "churn -n 20 --rate 100 --joins 50 --stay 0.2 --warmup 0 --seconds 1";
    let (output, report, _) = load(words, "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(report["figures"]["joins"].as_f64().unwrap() >= 40.0);
    let (output, report, _) = load(words, "--drop-one-in 1000");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(report["figures"]["lost"].as_f64().unwrap() >= 1.0);
}

#[test]
fn huge_rooms_that_another_process_drives_are_audited_too() {
    let words = "rooms --small 1 --small-size 2 --rate 20 --big 1 --big-size 40 --big-rate 20 --big-apart --warmup 0 --seconds 0.5";
    let (output, report, _) = load(words, "--drop-one-in 500");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let figure = |name: &str| report["figures"][name].as_f64().unwrap();
    assert!(figure("big_lost") >= 1.0);
    assert!(figure("big_p99_ms") > 0.0);
    assert_eq!((figure("members"), figure("big_members")), (2.0, 40.0));
}

#[test]
fn rooms_storm_and_idle_run_to_their_end() {
    for words in [
        "rooms --small 20 --small-size 3 --rate 200 --big 1 --big-size 40 --big-rate 20 --warmup 0 --seconds 0.5",
        "storm -n 200 --warmup 0.1",
        "idle -n 100 --warmup 0.1 --seconds 0.2 --require bytes_per_conn<=100000",
        "stall -n 60 --percent 10 --rate 50 --warmup 0.1 --stall-seconds 0.5",
    ] {
        let (output, _, _) = load(words, "");
        assert_eq!(output.status.code(), Some(0), "{words}: {output:?}");
    }
}

#[test]
fn a_target_elsewhere_is_refused() {
    let output = Command::new(LOAD)
        .args(["storm", "--url", "ws://192.0.2.1:80"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--allow-remote"));
}

#[test]
fn a_server_that_listens_already_is_not_measured_in_place_of_the_one_to_be_started() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let output = Command::new(LOAD)
        .args(["storm", "-n", "1", "--dialect", "raw", "--warmup", "0", "--quiet"])
        .args(["--url", &format!("ws://{address}")])
        .args(["--server-cmd", &format!("{FLOOR} --listen {address}")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("something listens on {address}")), "{said}");
}

#[test]
fn a_server_whose_process_ends_during_the_run_fails_it() {
    let scratch = tempfile::tempdir().unwrap();
    let script = scratch.path().join("server.sh");
    // The started process ends, but its child continues, so the members notice nothing.
    std::fs::write(&script, format!("timeout 20 {FLOOR} 2>/dev/null & sleep 2")).unwrap();
    let output = Command::new(LOAD)
        .args("fanout -n 5 --rate 50 --warmup 0 --seconds 4 --dialect raw --quiet --server-cmd".split_whitespace())
        .arg(format!("sh {}", script.display()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("FAILED: the server of --server-cmd ended"), "{said}");
    assert_eq!(said.matches("FAILED").count(), 1, "{said}");
}

#[test]
fn a_run_in_which_nothing_was_said_fails() {
    // All members stop reading, so that no sender is left.
    let (output, report, _) = load("stall -n 4 --percent 100 --rate 50 --warmup 0 --stall-seconds 0.2", "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(report["missed"][0], "sent>0: it was 0");
    let output = Command::new(LOAD)
        .args(["rooms", "--small", "0", "--dialect", "raw", "--server-cmd", FLOOR])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("no rooms"),
        "{output:?}"
    );
}
