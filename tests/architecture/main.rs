//! The direction of imports in `src/`, and the paths and names in ARCHITECTURE.md, compared with the sources.
//!
//! A file imports another one if it names an item that the other one defines, also through a re-export. Tests are left out.
#![allow(clippy::unwrap_used)]

mod documents;
mod imports;

use imports::{Imports, circles};

/// The floors of `src/`, from the bottom up: a folder may import those on lower floors. A name without a folder is a file.
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

/// The floors of `src/shard/`. Folders on the same floor do not import each other.
const SHARD_FLOORS: &[&str] = &[
    "end ids per_connection rate_limit time",
    "settings",
    "event",
    "bus",
    "connection",
    "store",
    "parts",
    "room owner direct",
    "session",
    "engine",
    "runtime",
];

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
fn no_files_import_each_other_in_a_circle() {
    assert_eq!(circles(&Imports::of_src()), Vec::<Vec<String>>::new());
}

#[test]
fn folders_import_only_those_below_them() {
    check_floors("", FLOORS);
}

#[test]
fn the_parts_of_a_shard_import_only_those_below_them() {
    check_floors("shard/", SHARD_FLOORS);
}

/// Checks the imports between the files whose path begins with `root`.
fn check_floors(root: &str, floors: &[&str]) {
    let place = |file: &str| {
        let folder = file.strip_prefix(root)?.split('/').next()?.to_owned();
        let mut floors = floors.iter().map(|floor| floor.split(' '));
        let floor = floors.position(|mut floor| floor.any(|name| name == folder));
        let floor = floor.unwrap_or_else(|| panic!("{file} is on no floor; add its folder to the list"));
        Some((floor, folder))
    };
    for (from, to, names) in Imports::of_src().edges() {
        if let (Some((from_floor, from_folder)), Some((to_floor, to_folder))) = (place(from), place(to)) {
            let is_allowed = from_folder == to_folder || to_floor < from_floor;
            assert!(is_allowed, "{from} imports {to}, which is not below it, by {names:?}");
        }
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
