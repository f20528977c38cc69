//! People in a chat, as goose scenarios. A request is complete when the user's own message is back.
//!
//! `cargo run -p plaza-loadtest --bin goose-chat -- --host ws://127.0.0.1:8080 --users 200 --run-time 30s --report-file r.html`
//!
//! The command line belongs to goose, so settings are environment variables: `PLAZA_DIALECT` (default proto), `PLAZA_ROOM` (default lobby),
//! `PLAZA_PATH` (default the dialect's own), `PLAZA_ALLOW_REMOTE=1`, and `PLAZA_PACE_MS`. With the last one every user only sends messages,
//! one per that many milliseconds (0: as soon as the last one is back); `compare` uses it.

use std::{
    env,
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use goose::prelude::*;
use tokio::{sync::Mutex, time::sleep};

use crate::{dialect::Dialect, member::Member, process};

/// Bytes of a message between users, and of an announcement.
const TALK_BYTES: usize = 64;
const ANNOUNCEMENT_BYTES: usize = 512;
/// How long a listener waits for an announcement before it gives up, without a result.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a mobile user has no network.
const TUNNEL: std::ops::Range<u64> = 200..2_000;

/// Default number of users that start per second.
const INCREASE_RATE: &str = "50";

/// A user's connection, if it has one.
#[derive(Clone, Default)]
struct Session {
    member: Arc<Mutex<Option<Member>>>,
    next: Arc<Mutex<Option<Instant>>>,
}

/// The program: reads the command line as goose does, and ends with 0 if no request failed and every threshold was kept.
pub fn main() -> ExitCode {
    process::raise_open_files();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    match runtime.block_on(run()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(count) => failed(&format!("{count} requests failed")),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("goose-chat: {why}");
    ExitCode::FAILURE
}

/// Runs the attack; returns how many requests failed.
async fn run() -> Result<usize, GooseError> {
    let mut attack = GooseAttack::initialize()?;
    // goose's own default is one user a second: 200 users would take longer to start than most runs last. goose accepts no rate
    // together with a time or a plan.
    let timed = |argument: String| {
        ["--increase-time", "--test-plan"]
            .iter()
            .any(|flag| argument.starts_with(flag))
    };
    if !env::args().any(timed) {
        attack = *attack.set_default(GooseDefault::IncreaseRate, INCREASE_RATE)?;
    }
    let seconds = Duration::from_secs;
    let attack = if env::var_os("PLAZA_PACE_MS").is_some() {
        attack.register_scenario(
            scenario!("Steady")
                .register_transaction(transaction!(enter).set_on_start())
                .register_transaction(transaction!(talk_at_pace).set_name("talk")),
        )
    } else {
        attack
            .register_scenario(
                scenario!("Chat")
                    .set_weight(6)?
                    .set_wait_time(seconds(1), seconds(3))?
                    .register_transaction(transaction!(enter).set_on_start())
                    .register_transaction(transaction!(talk).set_name("talk")),
            )
            .register_scenario(
                scenario!("Announcer")
                    .set_wait_time(seconds(2), seconds(4))?
                    .register_transaction(transaction!(enter).set_on_start())
                    .register_transaction(transaction!(announce).set_name("announce")),
            )
            .register_scenario(
                scenario!("Audience")
                    .set_weight(10)?
                    .register_transaction(transaction!(enter).set_on_start())
                    .register_transaction(transaction!(listen).set_name("listen")),
            )
            .register_scenario(
                scenario!("Mobile")
                    .set_weight(3)?
                    .set_wait_time(seconds(1), seconds(2))?
                    .register_transaction(transaction!(drop_out_and_come_back).set_name("come back"))
                    .register_transaction(transaction!(talk).set_name("talk")),
            )
    };
    let metrics = attack.execute().await?;
    Ok(metrics.requests.values().map(|request| request.fail_count).sum())
}

/// The user's connection; connects if there is none. Entering the room is a separate request.
async fn enter(user: &mut GooseUser) -> TransactionResult {
    if user.get_session_data::<Session>().is_none() {
        user.set_session_data(Session::default());
    }
    let session = user.get_session_data_unchecked::<Session>().clone();
    let mut member = session.member.lock().await;
    if member.is_some() {
        return Ok(());
    }
    let started = Instant::now();
    let entered = connect(user).await;
    let took = entered.as_ref().map(|_| started.elapsed()).map_err(Clone::clone);
    record(user, "enter", took).await?;
    *member = entered.ok();
    Ok(())
}

async fn connect(user: &GooseUser) -> Result<Member, String> {
    let host = user.base_url.host_str().unwrap_or_default();
    let port = user.base_url.port_or_known_default().unwrap_or(80);
    let (address, _): (SocketAddr, _) = process::parse_url(&format!("{host}:{port}"))?;
    if !address.ip().is_loopback() && env::var("PLAZA_ALLOW_REMOTE").as_deref() != Ok("1") {
        return Err(format!(
            "{address} is not this machine; set PLAZA_ALLOW_REMOTE=1 if you may load it"
        ));
    }
    let dialect = match env::var("PLAZA_DIALECT") {
        Ok(name) => Dialect::from_str(&name, true)?,
        Err(_) => Dialect::Proto,
    };
    let room = env::var("PLAZA_ROOM").unwrap_or_else(|_| "lobby".to_owned());
    let path = env::var("PLAZA_PATH").ok();
    let name = format!("goose{}", user.weighted_users_index);
    Member::enter(address, path.as_deref(), dialect, &name, &room).await
}

async fn talk(user: &mut GooseUser) -> TransactionResult {
    say(user, "talk", false).await
}

async fn announce(user: &mut GooseUser) -> TransactionResult {
    say(user, "announce", true).await
}

/// Sends a message, and ends the connection if its echo does not come.
async fn say(user: &mut GooseUser, name: &str, to_listeners: bool) -> TransactionResult {
    enter(user).await?;
    let session = user.get_session_data_unchecked::<Session>().clone();
    let mut member = session.member.lock().await;
    let Some(open) = member.as_mut() else { return Ok(()) };
    let done = if to_listeners {
        open.announce(ANNOUNCEMENT_BYTES).await
    } else {
        open.talk(TALK_BYTES).await
    };
    if done.is_err() {
        *member = None;
    }
    record(user, name, done).await
}

async fn listen(user: &mut GooseUser) -> TransactionResult {
    enter(user).await?;
    let session = user.get_session_data_unchecked::<Session>().clone();
    let mut member = session.member.lock().await;
    let Some(open) = member.as_mut() else {
        // Without this wait the user would spin.
        sleep(Duration::from_secs(1)).await;
        return Ok(());
    };
    match open.listen(PATIENCE).await {
        Ok(Some(age)) => record(user, "hear an announcement", Ok(age)).await,
        Ok(None) => Ok(()),
        Err(error) => {
            *member = None;
            record(user, "hear an announcement", Err(error)).await
        }
    }
}

async fn drop_out_and_come_back(user: &mut GooseUser) -> TransactionResult {
    if let Some(session) = user.get_session_data::<Session>().cloned() {
        // The connection is cut, not closed, as when a phone loses its network.
        session.member.lock().await.take();
        sleep(Duration::from_millis(fastrand::u64(TUNNEL))).await;
    }
    enter(user).await
}

async fn talk_at_pace(user: &mut GooseUser) -> TransactionResult {
    let pace = env::var("PLAZA_PACE_MS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000);
    let pace = Duration::from_millis(pace);
    let session = match user.get_session_data::<Session>() {
        Some(session) => session.clone(),
        None => return enter(user).await,
    };
    let due = {
        let mut next = session.next.lock().await;
        // The users begin spread over one interval, so that they do not all send at the same moment.
        let due = next.unwrap_or_else(|| Instant::now() + pace.mul_f64(fastrand::f64()));
        *next = Some(due + pace);
        due
    };
    sleep(due.saturating_duration_since(Instant::now())).await;
    talk(user).await
}

async fn record(user: &mut GooseUser, name: &str, done: Result<Duration, String>) -> TransactionResult {
    let took = done.as_ref().copied().unwrap_or_default();
    let error = done.as_ref().err().map(String::as_str);
    user.record_custom_request_duration("WS", name, took, done.is_ok(), None, error)
        .await
}
