//! `plaza-load` against Plaza itself, in every wire format: each scenario passes, and the audit detects a proxy that tampers with one
//! delivery in a thousand, for every kind of fault and every dialect.

#![allow(clippy::unwrap_used)]

use std::{
    net::SocketAddr,
    process::{Command, Output},
    thread,
};

use plaza::{codec::DIALECTS, config::Config, observe::Metrics, server::Server};
use serde_json::Value;

const LOAD: &str = env!("CARGO_BIN_EXE_plaza-load");
const SABOTEUR: &str = env!("CARGO_BIN_EXE_saboteur");
const EVERY: [&str; 7] = [
    "proto",
    "json",
    "communication",
    "chat-request",
    "chatroom",
    "action",
    "tutorial",
];

/// A server of two shards in this process, and where it listens.
fn plaza() -> (Server, SocketAddr) {
    let mut config = Config::default();
    config.server.listen = vec![plaza::config::Listen {
        address: ([127, 0, 0, 1], 0).into(),
        ..config.server.listen[0]
    }];
    config.server.admin = None;
    config.server.memory = true;
    config.server.shards = 2;
    let names: Vec<&'static str> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
    let server = Server::start(&config, &Metrics::new(2, &names)).unwrap();
    let address = server.addresses()[0];
    (server, address)
}

fn load(words: &str, more: &[&str]) -> (Output, Value) {
    let scratch = tempfile::tempdir().unwrap();
    let json = scratch.path().join("report.json");
    let output = Command::new(LOAD)
        .args(words.split_whitespace())
        .args(["--quiet", "--drain", "3"])
        .args(more)
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    let report = std::fs::read_to_string(&json).unwrap_or_else(|error| panic!("{words}: {error}: {output:?}"));
    let report: Value = serde_json::from_str(&report).unwrap();
    (output, report["figures"].clone())
}

/// Runs this for every dialect, two at a time.
fn in_every_dialect(test: impl Fn(&str) + Sync) {
    for pair in EVERY.chunks(2) {
        thread::scope(|scope| {
            for dialect in pair {
                scope.spawn(|| test(dialect));
            }
        });
    }
}

#[test]
fn every_scenario_passes_in_every_dialect() {
    in_every_dialect(|dialect| {
        // A server for each: the older formats have only one room, and two runs would receive each other's messages.
        let (server, address) = plaza();
        let url = format!("ws://{address}");
        for words in [
            "fanout -n 40 --rate 100 --warmup 0.1 --seconds 0.6",
            "fanout -n 40 --in-flight 4 --warmup 0.1 --seconds 0.5",
            "idle -n 60 --warmup 0.1 --seconds 0.2",
            "storm -n 100 --warmup 0.1",
            "stall -n 40 --percent 10 --rate 50 --warmup 0.1 --stall-seconds 0.5",
            "churn -n 20 --rate 50 --joins 40 --stay 0.3 --warmup 0 --seconds 0.8",
            "churn -n 20 --rate 50 --joins 40 --stay 0.3 --warmup 0 --seconds 0.8 --silent",
        ] {
            let (output, figures) = load(words, &["--dialect", dialect, "--url", &url]);
            assert_eq!(output.status.code(), Some(0), "{dialect}: {words}: {output:?}");
            assert_eq!(figures["lost"], 0.0, "{dialect}: {words}");
        }
        if ["proto", "json", "action"].contains(&dialect) {
            let words = "rooms --small 15 --small-size 3 --rate 100 --big 1 --big-size 30 --big-rate 20 --warmup 0.1 --seconds 0.6";
            let (output, figures) = load(words, &["--dialect", dialect, "--url", &url]);
            assert_eq!(output.status.code(), Some(0), "{dialect}: {words}: {output:?}");
            assert!(figures["big_p99_ms"].as_f64().unwrap() > 0.0);
        }
        if ["proto", "json"].contains(&dialect) {
            let words = "joins -n 50 --room-size 20 --joins 100 --stay 0.2 --warmup 0.1 --seconds 0.6";
            let (output, figures) = load(words, &["--dialect", dialect, "--url", &url]);
            assert_eq!(output.status.code(), Some(0), "{dialect}: {words}: {output:?}");
            assert!(figures["joins"].as_f64().unwrap() >= 40.0, "{figures}");
            assert!(figures["presence_bytes_s"].as_f64().unwrap() > 0.0, "{figures}");
        }
        drop(server);
    });
}

#[test]
fn one_spoiled_delivery_in_a_thousand_is_found_in_every_dialect() {
    in_every_dialect(|dialect| {
        let (server, address) = plaza();
        for (deed, found) in [
            ("drop", "lost"),
            ("duplicate", "duplicated"),
            ("swap", "disagreed"),
            ("flip", "torn"),
            ("tear", "torn"),
        ] {
            let saboteur = format!("{SABOTEUR} --before {address} --{deed}-one-in 999");
            let words = "fanout -n 40 --rate 200 --warmup 0 --seconds 0.8";
            let more = ["--dialect", dialect, "--server-cmd", &saboteur];
            let (output, figures) = load(words, &more);
            assert_eq!(output.status.code(), Some(1), "{dialect}, {deed}: {output:?}");
            assert!(figures[found].as_f64().unwrap() >= 1.0, "{dialect}, {deed}: {figures}");
            if deed == "drop" || deed == "duplicate" {
                let spoiled = (figures["sent"].as_f64().unwrap() * 40.0 / 999.0).floor();
                let counted = figures[found].as_f64().unwrap();
                // A dropped delivery is not counted among those that follow.
                assert!(
                    (counted - spoiled).abs() <= 1.0,
                    "{dialect}, {deed}: {counted} of {spoiled}"
                );
            }
        }
        drop(server);
    });
}

#[test]
fn one_dropped_frame_in_ten_thousand_is_found() {
    let (_server, address) = plaza();
    let saboteur = format!("{SABOTEUR} --before {address} --drop-one-in 10000");
    let words = "fanout -n 60 --rate 500 --warmup 0 --seconds 1";
    let (output, figures) = load(words, &["--server-cmd", &saboteur]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        figures["lost"].as_f64().unwrap(),
        (figures["sent"].as_f64().unwrap() * 60.0 / 10_000.0).floor()
    );
}

#[test]
fn a_comparison_does_not_tell_the_figures_of_an_earlier_run() {
    let (server, address) = plaza();
    let out = tempfile::tempdir().unwrap();
    let earlier = r#"[{"name": "talk", "num_requests": 7, "num_failures": 0, "response_times": {"1": 7}}]"#;
    std::fs::write(out.path().join("locust.json"), earlier).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(["--url", &format!("ws://{address}"), "--locust", "false"])
        .args("--users 2 --most-users 2 --seconds 1 --pace-ms 100 --out".split_whitespace())
        .arg(out.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("locust.log"),
        "{output:?}"
    );
    assert!(!out.path().join("compare.md").exists());
    drop(server);
}
