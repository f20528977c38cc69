//! The direction of imports: who may know whom in `src/`, read from the files themselves.
//!
//! A file knows another file if it names an item that the other one defines. A name that a module passes on counts for the file
//! that defines it. Tests are left out.
#![allow(clippy::unwrap_used)]

mod imports;

use std::collections::BTreeSet;

use imports::{Imports, circles};

/// Folders of `src/`, from the bottom up: each may know those before it. A name without a folder is a file.
const FLOORS: &[&str] = &[
    "limits",
    "output",
    "lock",
    "version",
    "word_set",
    "proto",
    "readiness",
    "wire",
    "chat",
    "codec",
    "observe",
    "history",
    "config",
    "shard",
    "ingress",
    "admin",
    "server",
    "cli",
];

/// Folders that still know one above them. The list may only become shorter.
const UPWARD: &[(&str, &str)] = &[];

/// What a folder without I/O and without a clock may not name.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "tokio",
    "mio",
    "socket2",
    "hyper_util",
    "rusqlite",
];

#[test]
fn no_files_know_each_other_in_a_circle() {
    assert_eq!(circles(&Imports::of_src()), Vec::<Vec<String>>::new());
}

#[test]
fn folders_know_only_those_below_them() {
    let floor = |file: &str| {
        let folder = file.split('/').next().unwrap();
        FLOORS
            .iter()
            .position(|name| *name == folder)
            .map(|floor| (floor, FLOORS[floor]))
    };
    let mut upward = BTreeSet::new();
    for (from, to, names) in Imports::of_src().edges() {
        let (Some((from_floor, from_folder)), Some((to_floor, to_folder))) = (floor(from), floor(to)) else {
            panic!("{from} or {to} stands on no floor; add its folder to the list");
        };
        if to_floor > from_floor {
            let pair = (from_folder, to_folder);
            assert!(
                UPWARD.contains(&pair),
                "{from} knows {to}, which stands above it, by {names:?}"
            );
            upward.insert(pair);
        }
    }
    for pair in UPWARD {
        assert!(upward.contains(pair), "{pair:?} is gone; take it out of the list");
    }
}

#[test]
fn wire_chat_and_codec_do_no_io_and_read_no_clock() {
    for (file, path) in Imports::of_src().outside() {
        let pure = ["wire", "chat", "codec"].contains(&file.split('/').next().unwrap());
        let impure = IMPURE
            .iter()
            .find(|name| path == **name || path.starts_with(&format!("{name}::")));
        assert!(!(pure && impure.is_some()), "{file} names {path}");
    }
}
