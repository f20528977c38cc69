//! A copied or restored store begins new epochs, and a restarted one does not. The store gives no number twice in one epoch, and clients
//! learn exactly what they lose.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use plaza::{
    chat::Position,
    history::{Epochs, LogId, LostInterval, tools},
};

use crate::support::{Caller, contains, pair, refusal, room, settings};

const BEFORE: u64 = 10;
const AFTER: u64 = 10;

fn logs() -> [LogId; 2] {
    [room("lobby"), pair("ann", "bob")]
}

/// Appends this many messages to each log, and returns the epochs.
fn say(dir: &Path, count: u64) -> [u64; 2] {
    let caller = Caller::open(dir);
    logs().map(|log| {
        caller.fill(&log, (0..count).map(|n| format!("text {n}")));
        caller.head(&log).epoch
    })
}

/// `cp` and `mv`, as operators use them.
fn run(program: &str, arguments: &[&str], files: &[&Path]) {
    let status = Command::new(program).args(arguments).args(files).status().unwrap();
    assert!(status.success(), "{program} {arguments:?} {files:?}");
}

fn names(caller: &Caller, epochs: [u64; 2], what: &str, is_new: bool) {
    for (log, epoch) in logs().iter().zip(epochs) {
        let position = caller.say(log, "ann", "on");
        assert_eq!(position.epoch != epoch, is_new, "{what}: {log}");
    }
}

/// The answers of a restored store to clients that saw all, a part and none of the lost messages.
fn is_a_new_life(dir: &Path, epochs: [u64; 2], what: &str) {
    let caller = Caller::open(dir);
    for (log, epoch) in logs().iter().zip(epochs) {
        let head = caller.head(log);
        assert_eq!(head.seq, BEFORE, "{what}: {log}");
        assert_ne!(head.epoch, epoch, "{what}: {log}");
        for seen in 0..=BEFORE + AFTER {
            let on = head.go_on(Position { epoch, seq: seen });
            let lost = (seen > BEFORE).then_some(LostInterval {
                epoch,
                from: BEFORE + 1,
                to: seen,
            });
            assert_eq!(on.after, seen.min(BEFORE), "{what}: {log} after {seen}");
            assert_eq!(on.lost, Vec::from_iter(lost), "{what}: {log} after {seen}");
        }
    }
    names(&caller, epochs, what, true);
    drop(caller);
    // From here on it is a store as any other.
    let caller = Caller::open(dir);
    assert_eq!(caller.history.recovered(), [], "{what}");
}

#[test]
fn a_store_that_is_put_back_goes_on_in_a_new_epoch_whichever_way_it_comes() {
    type Way = fn(&Path, &Path, &Path);
    // From the original as it was, or its backup, to where the server is started.
    let ways: [(&str, Way); 9] = [
        ("a backup in the place of the directory", |backup, _, data| {
            fs::remove_dir_all(data).unwrap();
            run("mv", &[], &[backup, data]);
        }),
        ("a backup where it was made", |backup, _, data| {
            fs::remove_dir_all(data).unwrap();
            fs::rename(backup, data).unwrap();
        }),
        ("a backup copied over the files", |backup, _, data| {
            run("cp", &["-a"], &[&backup.join("."), data]);
        }),
        ("only the database of a backup, copied over", |backup, _, data| {
            run("cp", &[], &[&backup.join("history.db"), &data.join("history.db")]);
        }),
        ("a backup's database, without a head file", |backup, _, data| {
            fs::remove_file(data.join("history.head")).unwrap();
            run("mv", &[], &[&backup.join("history.db"), &data.join("history.db")]);
        }),
        ("a copied directory in the place of the directory", |_, copy, data| {
            fs::remove_dir_all(data).unwrap();
            run("cp", &["-a"], &[copy, data]);
        }),
        ("a copied directory over the files", |_, copy, data| {
            run("cp", &["-a"], &[&copy.join("."), data]);
        }),
        ("an imported backup", |backup, _, data| {
            fs::remove_dir_all(data).unwrap();
            tools::import(data, backup, Epochs::Begin).unwrap();
        }),
        ("an imported export", |backup, _, data| {
            let export = backup.with_extension("jsonl");
            tools::export(backup, &mut fs::File::create(&export).unwrap()).unwrap();
            fs::remove_dir_all(data).unwrap();
            tools::import(data, &export, Epochs::Begin).unwrap();
        }),
    ];
    for (what, way) in ways {
        let base = tempfile::tempdir().unwrap();
        let [data, backup, copy] = ["data", "backup", "copy"].map(|name| base.path().join(name));
        let epochs = say(&data, BEFORE);
        tools::backup(&data, &backup).unwrap();
        run("cp", &["-a"], &[&data, &copy]);
        assert_eq!(say(&data, AFTER), epochs, "a plain restart keeps the epoch");
        way(&backup, &copy, &data);
        is_a_new_life(&data, epochs, what);
    }
}

#[test]
fn the_original_and_its_copy_never_share_an_epoch_however_often_it_is_copied() {
    let base = tempfile::tempdir().unwrap();
    let data = base.path().join("data");
    let mut seen = say(&data, BEFORE).to_vec();
    for n in 0..5 {
        let copy = base.path().join(n.to_string());
        run("cp", &["-a"], &[&data, &copy]);
        let epochs = say(&copy, 1);
        assert!(epochs.iter().all(|epoch| !seen.contains(epoch)), "{n}");
        seen.extend(epochs);
    }
    assert_eq!(say(&data, 1), seen[..2]);
}

#[test]
fn a_directory_that_is_moved_or_started_again_keeps_its_epochs() {
    let base = tempfile::tempdir().unwrap();
    let data = base.path().join("data");
    let epochs = say(&data, BEFORE);
    for name in ["moved", "moved again"] {
        let from = fs::read_dir(base.path()).unwrap().next().unwrap().unwrap().path();
        let to = base.path().join(name);
        run("mv", &[], &[&from, &to]);
        let caller = Caller::open(&to);
        assert_eq!(caller.history.recovered(), [], "{name}");
        names(&caller, epochs, name, false);
    }
}

#[test]
fn a_copy_of_a_running_store_goes_on_in_a_new_epoch_with_all_that_was_in_its_log() {
    let base = tempfile::tempdir().unwrap();
    let [data, copy] = ["data", "copy"].map(|name| base.path().join(name));
    let epochs = say(&data, BEFORE / 2);
    let caller = Caller::open(&data);
    for log in logs() {
        for _ in 0..BEFORE / 2 {
            caller.say(&log, "ann", "more");
        }
    }
    run("cp", &["-a"], &[&data, &copy]);
    drop(caller);
    is_a_new_life(&copy, epochs, "a copy of a running store");
}

#[test]
fn a_database_that_is_put_beside_the_log_of_another_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let [data, backup, killed] = ["data", "backup", "killed"].map(|name| base.path().join(name));
    say(&data, BEFORE);
    tools::backup(&data, &backup).unwrap();
    let caller = Caller::open(&data);
    caller.say(&room("lobby"), "ann", "more");
    // As a kill leaves it: the same files under another name.
    fs::create_dir(&killed).unwrap();
    fs::hard_link(data.join("history.head"), killed.join("history.head")).unwrap();
    fs::copy(data.join("history.db-wal"), killed.join("history.db-wal")).unwrap();
    fs::copy(backup.join("history.db"), killed.join("history.db")).unwrap();
    let told = ["history.db-wal", "another database", "plaza history import"];
    contains(&refusal(settings(&killed)), &told);
    drop(caller);
}

#[test]
fn a_backup_that_is_copied_over_the_files_of_a_killed_server_is_refused_and_stays_whole() {
    type Way = fn(&Path, &Path);
    let ways: [(&str, Way); 3] = [
        ("over the files", |backup, killed| {
            run("cp", &["-a"], &[&backup.join("."), killed]);
        }),
        ("in the place of the files", |backup, killed| {
            let files = ["history.db", "history.head"].map(|name| backup.join(name));
            run("mv", &[], &[&files[0], &files[1], killed]);
        }),
        ("only the database, over the file", |backup, killed| {
            run("cp", &[], &[&backup.join("history.db"), &killed.join("history.db")]);
        }),
    ];
    for (what, way) in ways {
        let base = tempfile::tempdir().unwrap();
        let [data, backup, killed] = ["data", "backup", "killed"].map(|name| base.path().join(name));
        say(&data, BEFORE);
        tools::backup(&data, &backup).unwrap();
        let caller = Caller::open(&data);
        for _ in 0..AFTER {
            caller.say(&room("lobby"), "ann", "more");
        }
        run("cp", &["-a"], &[&data, &killed]);
        drop(caller);
        let whole = fs::read(backup.join("history.db")).unwrap();
        way(&backup, &killed);
        let checked = tools::check(&killed).map(drop).unwrap_err().to_string();
        for why in [refusal(settings(&killed)), checked] {
            contains(&why, &["history.db-wal", "another database"]);
        }
        assert!(fs::read(killed.join("history.db")).unwrap() == whole, "{what}");
        fs::remove_file(killed.join("history.db-wal")).unwrap();
        assert_eq!(Caller::open(&killed).history.recovered().len(), logs().len(), "{what}");
    }
}

#[test]
fn a_store_of_an_older_version_goes_on_in_new_epochs_and_one_line_says_so() {
    let base = tempfile::tempdir().unwrap();
    let data = base.path().join("data");
    let epochs = say(&data, BEFORE);
    let head = data.join("history.head");
    let mut bytes = fs::read(&head).unwrap();
    bytes[..8].copy_from_slice(b"PLZHEAD2");
    fs::write(&head, bytes).unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_plaza"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(server.stdout.take().unwrap());
    told.read_line(&mut String::new()).unwrap();
    run("kill", &[&server.id().to_string()], &[]);
    let said = server.wait_with_output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    let of_it: Vec<&str> = said.lines().filter(|line| line.contains("epoch")).collect();
    assert_eq!(of_it.len(), 1, "{said}");
    contains(of_it[0], &["WARN", "older version"]);
    names(&Caller::open(&data), epochs, "older", true);
}

#[test]
fn an_operator_begins_new_epochs_where_no_file_can_tell() {
    let base = tempfile::tempdir().unwrap();
    let data = base.path().join("data");
    let epochs = say(&data, BEFORE);
    let caller = Caller::open(&data);
    contains(
        &tools::new_epoch(&data).unwrap_err().to_string(),
        &["in use by another plaza"],
    );
    drop(caller);
    assert_eq!(tools::new_epoch(&data).unwrap(), 2);
    let caller = Caller::open(&data);
    assert_eq!(caller.history.recovered(), [], "the command has done it");
    for (log, epoch) in logs().iter().zip(epochs) {
        let head = caller.head(log);
        let on = head.go_on(Position { epoch, seq: BEFORE + 3 });
        assert_eq!((on.after, on.lost.len()), (BEFORE, 1));
    }
    names(&caller, epochs, "new epochs", true);
    assert!(tools::new_epoch(&base.path().join("nowhere")).is_err());
}

#[test]
fn an_import_that_is_told_so_keeps_the_epochs_and_what_was_lost_in_earlier_ones() {
    let base = tempfile::tempdir().unwrap();
    let [data, export, kept, begun] = ["data", "export", "kept", "begun"].map(|name| base.path().join(name));
    let old = say(&data, BEFORE);
    tools::new_epoch(&data).unwrap();
    let epochs = say(&data, AFTER);
    tools::export(&data, &mut fs::File::create(&export).unwrap()).unwrap();
    tools::import(&kept, &export, Epochs::Keep).unwrap();
    tools::import(&begun, &export, Epochs::Begin).unwrap();
    for (dir, is_new) in [(&kept, false), (&begun, true)] {
        let caller = Caller::open(dir);
        assert_eq!(caller.history.recovered(), []);
        for (log, epoch) in logs().iter().zip(old) {
            let on = caller.head(log).go_on(Position { epoch, seq: BEFORE });
            assert_eq!((on.after, on.lost), (BEFORE, vec![]), "{log}");
        }
        names(&caller, epochs, "import", is_new);
    }
}
