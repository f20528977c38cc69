//! Power cuts at every moment of a traced run: only synced data of the server's files survives, and a server that starts from it has
//! everything that was acknowledged as stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use plaza::{codec::DIALECTS, observe::Metrics, server::Server};
use serde_json::{Value, json};

use crate::{
    forgetful::{Call, Disk, parse, strace},
    kept,
    person::Person,
    size,
    support::{Program, clean},
};

/// Starts a server from what is left at each moment; `Err` names an acknowledged message that is lost.
struct Run {
    /// Number of power cuts.
    cuts: usize,
    acked: usize,
    lost: Option<String>,
}

/// Several people talk at once, some of it twice, to a server with this durability; then the power is cut at every sync and
/// at every acknowledgement.
fn cut_off_everywhere(durability: &str, rounds: usize) -> Option<Run> {
    let dir = tempfile::tempdir().unwrap();
    let (data, trace) = (dir.path().join("data"), dir.path().join("trace"));
    let mut command = clean(strace(&trace, "a disk that forgets")?);
    command
        .arg(env!("CARGO_BIN_EXE_plaza"))
        .env("PLAZA_HISTORY_DURABILITY", durability);
    let arguments = ["--data", data.to_str().unwrap(), "--shards", "2"];
    let mut program = Program::from_command(command, &arguments);
    let address = program.address();
    let speakers: Vec<_> = (0..3)
        .map(|speaker| {
            thread::spawn(move || {
                let mut person = Person::joined(address, &format!("s{speaker}"), "lobby");
                let mut acked = Vec::new();
                for round in 0..rounds {
                    let texts: Vec<String> = (0..4).map(|n| format!("{speaker} {round} {n}")).collect();
                    // The last one once more: the copy is acknowledged with the first one's number.
                    let again = texts.iter().chain(texts.last());
                    let ids: Vec<(u64, &String)> = again
                        .map(|text| {
                            let message = json!({"room": "lobby", "text": text, "key": text});
                            (person.send(json!({ "talk": message })), text)
                        })
                        .collect();
                    for (id, text) in ids {
                        let answer = person.reply(id);
                        acked.push((answer["ack"]["seq"].as_u64().unwrap(), text.clone()));
                    }
                }
                acked
            })
        })
        .collect();
    let said: BTreeMap<u64, String> = speakers.into_iter().flat_map(|s| s.join().unwrap()).collect();
    let epoch = Person::joined(address, "reader", "lobby").all("lobby")[0]["epoch"].clone();
    let children = format!("/proc/{0}/task/{0}/children", program.child.id());
    let server = fs::read_to_string(children).unwrap();
    // No orderly stop, which would bring everything to the disk.
    let killed = Command::new("kill").args(["-9", server.trim()]).status();
    assert!(killed.unwrap().success());
    program.ended(Duration::from_secs(60));
    let mut disk = Disk::default();
    let mut acked = BTreeSet::new();
    let mut run = Run {
        cuts: 0,
        acked: 0,
        lost: None,
    };
    for call in parse(&fs::read_to_string(&trace).unwrap()) {
        let mut look = disk.apply(&call);
        if let Call::Said { to, bytes } = &call
            && !to.starts_with('/')
        {
            let before = acked.len();
            acked.extend(acknowledged(&String::from_utf8_lossy(bytes)));
            look |= acked.len() > before;
        }
        if look && !acked.is_empty() {
            run.cuts += 1;
            if let Err(lost) = after_the_cut(&disk, &data, &epoch, &acked, &said) {
                run.lost = Some(lost);
                break;
            }
        }
    }
    run.acked = acked.len();
    Some(run)
}

/// The numbers of the acknowledgements in these frames.
fn acknowledged(said: &str) -> Vec<u64> {
    said.split(r#""ack":{"seq":"#)
        .skip(1)
        .filter_map(|rest| rest.split(',').next()?.parse().ok())
        .collect()
}

fn after_the_cut(
    disk: &Disk,
    data: &Path,
    epoch: &Value,
    acked: &BTreeSet<u64>,
    said: &BTreeMap<u64, String>,
) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    disk.lay(data, dir.path());
    let names: Vec<&'static str> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
    let config = kept(dir.path());
    let server = Server::start(&config, &Metrics::new(config.shard_count(2), &names))?;
    let mut reader = Person::named(server.addresses()[0], "reader");
    let joined = reader.join(json!({"room": "lobby"}));
    let stored = reader.all("lobby");
    for (message, n) in stored.iter().zip(1..) {
        assert_eq!(message["seq"], n, "a hole");
        let text = message["text"].as_str().unwrap();
        assert!(said.get(&n).is_none_or(|said| said == text), "another text: {message}");
    }
    if let Some(gone) = acked.iter().find(|seq| **seq > stored.len() as u64) {
        return Err(format!("talk {gone} was acknowledged; {} are left", stored.len()));
    }
    assert_eq!(joined["epoch"], *epoch, "nothing is lost, so the epoch stays");
    Ok(())
}

#[test]
fn whenever_the_power_fails_nothing_is_lost_that_a_client_was_told_is_stored() {
    let rounds = size(6, 60);
    let Some(run) = cut_off_everywhere("fsync", rounds) else {
        return;
    };
    eprintln!("{} power cuts, {} acknowledged", run.cuts, run.acked);
    assert_eq!(run.lost, None);
    assert_eq!(run.acked, rounds * 3 * 4, "the trace holds every acknowledgement");
    assert!(run.cuts > rounds);
}

#[test]
fn without_fsync_the_same_power_cut_loses_what_was_acknowledged_so_the_proof_can_fail() {
    let Some(run) = cut_off_everywhere("os", 2) else {
        return;
    };
    assert!(run.lost.is_some(), "{} power cuts lost nothing", run.cuts);
}
