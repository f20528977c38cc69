//! A program that cannot start: one sentence that says what is wrong and what to do, and an exit code.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
};

use support::{PATIENCE, Program, clean, program};

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    ended(program().args(arguments))
}

/// Runs a program that does not start; its exit code and what it says.
fn ended(program: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = program.output().unwrap();
    let words = String::from_utf8(stderr).unwrap();
    assert!(stdout.is_empty(), "it said {stdout:?} to programs");
    assert!(!words.contains("panicked"), "{words}");
    (status.code(), words)
}

/// The program ended with 1, after one line that holds all of this.
fn is_one_sentence((code, words): (Option<i32>, String), parts: &[&str]) {
    assert_eq!((code, words.lines().count()), (Some(1), 1), "{words}");
    for part in parts {
        assert!(words.contains(part), "{part:?} is not in: {words}");
    }
}

const LISTEN: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

#[test]
fn port_in_use_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, [listen, admin]) in [
        ("--listen", [&*address, "127.0.0.1:0"]),
        ("--admin", ["127.0.0.1:0", &address]),
    ] {
        let ended = run(&["serve", "--memory", "--listen", listen, "--admin", admin]);
        is_one_sentence(ended, &[&address, flag]);
    }
}

/// The files of a directory and what is in them.
fn contents(dir: &Path) -> BTreeMap<PathBuf, String> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn a_second_server_with_the_same_log_files_is_refused_and_leaves_them_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let data = dir.path().to_str().unwrap();
    let with_log = || {
        let mut program = program();
        program
            .env("PLAZA_LOG_SERVER_LOG", "true")
            .env("PLAZA_LOG_DIR", &logs)
            // What the first one has written is too much for the second.
            .env("PLAZA_LOG_ROTATE_BYTES", "4KiB")
            .env("PLAZA_LOG_KEEP_FILES", "1");
        program
    };
    let mut first = Program::from_command(with_log(), &["--data", data]);
    let latest = logs.join(fs::read_link(logs.join("server.latest")).unwrap());
    let mut log = fs::OpenOptions::new().append(true).open(&latest).unwrap();
    // A line is being written.
    log.write_all(&[b'x'; 5_000]).unwrap();
    let before = contents(&logs);
    let process = first.child.id().to_string();
    for place in [&["--data", data][..], &["--memory"]] {
        let second = ended(with_log().arg("serve").args(LISTEN).args(place));
        assert_eq!(contents(&logs), before, "{place:?}");
        is_one_sentence(second, &[logs.to_str().unwrap(), &process, "--data", "log.dir"]);
    }
    first.signal("TERM");
    assert_eq!(first.ended(PATIENCE).code(), Some(0));
    // Its process has gone, and with it what it held.
    let third = Program::from_command(with_log(), &["--data", data]);
    assert_ne!(contents(&logs), before);
    drop(third);
}

#[test]
fn a_message_log_that_another_server_writes_is_refused() {
    let (logs, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let with_logs = || {
        let mut program = program();
        program.env("PLAZA_LOG_DIR", logs.path());
        program
    };
    let first = Program::from_command(with_logs(), &["--memory"]);
    let before = contents(logs.path());
    let second = ended(with_logs().arg("serve").args(LISTEN).arg("--data").arg(other.path()));
    let process = first.child.id().to_string();
    is_one_sentence(
        second,
        &["message log", logs.path().to_str().unwrap(), &process, "log.dir"],
    );
    assert_eq!(contents(logs.path()), before);
}

#[test]
fn data_that_cannot_be_made_or_belongs_to_another_is_refused_with_what_to_do() {
    let base = tempfile::tempdir().unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| base.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("file"), "").unwrap();
    for (data, seen) in [
        (at("file"), "is a file, and a directory is needed"),
        (at("file/data"), "what it would stand in is a file"),
    ] {
        for arguments in [
            [&["serve", "--data", &data], &LISTEN[..]].concat(),
            vec!["history", "--data", &data, "import", &at("file")],
        ] {
            is_one_sentence(run(&arguments), &[&data, seen, "--data"]);
        }
    }
    // Root may do everything, so that it is somebody else here; others cannot take root's.
    let is_root = fs::metadata(base.path()).unwrap().uid() == 0;
    for mode in [0o755, 0o700] {
        let dir = if is_root {
            at(&format!("{mode:o}"))
        } else {
            "/usr".to_owned()
        };
        let mut program = program();
        if is_root {
            fs::create_dir(&dir).unwrap();
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            program = clean(Command::new(for_all_users(base.path())));
            program.uid(65_534).gid(65_534);
        }
        let told = [&dir, "belongs to another user (number 0, mode 0", "chown", "--data"];
        is_one_sentence(ended(program.args(["serve", "--data", &dir]).args(LISTEN)), &told);
    }
}

/// A copy of the program that every user may run: the build may lie in a home directory that others cannot enter.
fn for_all_users(base: &Path) -> PathBuf {
    let copy = base.join("plaza");
    if !copy.exists() {
        // A process of its own writes it: a child that another test forks meanwhile would inherit our descriptor, and a file that
        // is open for writing cannot be run.
        let mut install = Command::new("install");
        let installed = install.args(["-m", "755"]).arg(program().get_program()).arg(&copy);
        assert!(installed.status().unwrap().success());
    }
    copy
}

#[test]
fn data_directory_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let _program = Program::start(&["--data", data.to_str().unwrap()]);
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_with_their_lines() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mistakes = "[server]\nshards = 1000\nlisten = [\"nowhere\"]\n\n[chat]\nunheard_of = 1\n";
    fs::write(&file, mistakes).unwrap();
    let path = file.path().to_str().unwrap();
    let (code, words) = run(&["serve", "--config", path]);
    assert_eq!(code, Some(64));
    for said in [
        "3 mistakes",
        "server.shards",
        "256",
        "server.listen",
        "nowhere",
        "unheard_of",
        path,
    ] {
        assert!(words.contains(said), "{said:?} is not in: {words}");
    }
    for line in [2, 3, 6] {
        let places = [format!("{path}:{line}"), format!("line {line}")];
        assert!(places.iter().any(|place| words.contains(place)), "{line}: {words}");
    }
}

#[test]
fn unreadable_settings_are_named() {
    let dir = tempfile::tempdir().unwrap();
    // A directory cannot be read as a file, not even by root.
    let path = dir.path().to_str().unwrap();
    let (code, words) = run(&["serve", "--config", path]);
    assert_eq!(code, Some(64));
    assert!(words.contains(path) && words.contains("--config"), "{words}");
}

#[test]
fn an_admin_listener_that_others_reach_is_warned_of_whatever_the_filter() {
    for (admin, warned) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
        let mut program = Program::start(&["--memory", "--log", "off", "--admin", admin]);
        program.signal("TERM");
        assert_eq!(program.ended(PATIENCE).code(), Some(0));
        let mut words = String::new();
        program.stderr().read_to_string(&mut words).unwrap();
        let is_there = words.contains("WARNING: the admin listener on 0.0.0.0:");
        assert_eq!(is_there, warned, "{admin}: {words}");
    }
}
