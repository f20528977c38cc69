//! RFC 6455 from the client's side: the 301 cases of the Autobahn suite (sections 1 to 7, 9 and 10), each with its own bytes on a bare
//! socket, against the echo server of `examples/echo`, which has the server's handshake, frame reader and frame writer. Each case checks
//! the answers and how the connection ends: the code, the order, no reset.
//!
//! This test needs only Rust, so it always runs; `scripts/autobahn.sh` runs the original if there is a Python 2.7.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod case;
mod closing;
#[path = "../../examples/echo/server.rs"]
mod echo;
mod framing;
mod sizes;
mod utf8;

use std::{collections::BTreeSet, net::SocketAddr, thread};

use case::Case;
use plaza::wire::ReaderLimits;

/// All cases by section, with the number of cases in the Autobahn suite.
fn sections() -> Vec<(Vec<Case>, usize)> {
    vec![
        (framing::section_1(), 16),
        (framing::section_2(), 11),
        (framing::section_3(), 7),
        (framing::section_4(), 10),
        (framing::section_5(), 20),
        (utf8::section_6(), 145),
        (closing::section_7(), 37),
        (sizes::section_9(), 54),
        (sizes::section_10(), 1),
    ]
}

/// Starts an echo server with these limits, which runs until the test process ends.
fn echo_server(limits: ReaderLimits) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            echo::serve(listener, limits).await.unwrap();
        });
    });
    address
}

/// Runs these cases and returns the failed ones, with what was seen.
fn failures(limits: ReaderLimits, cases: &[Case]) -> Vec<String> {
    let address = echo_server(limits);
    let failed = |case: &Case| {
        let wrong = case::run(address, case).err()?;
        Some(format!("{}: {wrong}", case.number))
    };
    cases.iter().filter_map(failed).collect()
}

fn passes(cases: &[Case]) {
    let failures = failures(echo::LIMITS, cases);
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

#[test]
fn there_are_the_301_cases_of_autobahn() {
    let mut numbers = BTreeSet::new();
    for (cases, due) in sections() {
        let section = cases[0].number.clone();
        assert_eq!(cases.len(), due, "the section of {section}");
        numbers.extend(cases.into_iter().map(|case| case.number));
    }
    assert_eq!(numbers.len(), 301);
}

#[test]
fn lengths_pings_reserved_bits_opcodes_and_fragments_are_read_as_the_rfc_says() {
    passes(&framing::section_1());
    passes(&framing::section_2());
    passes(&framing::section_3());
    passes(&framing::section_4());
    passes(&framing::section_5());
}

#[test]
fn texts_come_back_if_they_are_utf_8_and_end_the_connection_if_not() {
    passes(&utf8::section_6());
}

#[test]
fn close_frames_are_answered_as_the_rfc_says() {
    passes(&closing::section_7());
}

#[test]
fn large_messages_come_back_whole() {
    passes(&sizes::section_9());
    passes(&sizes::section_10());
}

/// The suite can fail: this test and the next one run it on a deliberately wrong server.
#[test]
fn server_that_takes_any_bytes_for_text_is_found_out() {
    let limits = ReaderLimits {
        text_is_utf8: false,
        ..echo::LIMITS
    };
    // It would wait for the rest of the messages of 6.4, and we for its answer.
    let answered = |case: &Case| !case.number.starts_with("6.4.");
    let cases: Vec<_> = utf8::section_6().into_iter().filter(answered).collect();
    let failures = failures(limits, &cases);
    // 6.3, and the 69 sequences that are not UTF-8.
    assert_eq!(failures.len(), 2 + 69, "{failures:#?}");
    let echoed = "6.20.1: a frame 0x81 with 3 bytes (\\xed\\xa0\\x80) came instead of a close frame";
    assert!(failures.iter().any(|failure| failure == echoed), "{failures:#?}");
}

#[test]
fn server_with_smaller_limits_is_found_out() {
    let few_fragments = ReaderLimits {
        fragments: 50,
        ..echo::LIMITS
    };
    let cases = sizes::section_10();
    assert_eq!(numbers(&failures(few_fragments, &cases)), ["10.1.1"]);
    let short_messages = ReaderLimits {
        message_bytes: 65_535,
        ..echo::LIMITS
    };
    let cases = framing::section_1();
    let failures = failures(short_messages, &cases);
    assert_eq!(numbers(&failures), ["1.1.7", "1.1.8", "1.2.7", "1.2.8"]);
}

fn numbers(failures: &[String]) -> Vec<&str> {
    failures
        .iter()
        .map(|failure| failure.split(':').next().unwrap())
        .collect()
}
