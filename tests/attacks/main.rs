//! Raw-socket attacks on the handshake and the frame reader of the running server. Each gets its exact answer, costs at most
//! its own connection, and takes nothing from the clients beside it.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

use std::{net::SocketAddr, thread, time::Duration};

use support::{Healthy, Program, Request, Running, config, until};

/// Short, so that the slow attacks are over soon.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(300);
const NATIVE: &str = "/chat";

macro_rules! attacks {
    ($($(#[$doc:meta])* fn $name:ident($at:ident) $body:block)*) => {
        $($(#[$doc])* fn $name($at: SocketAddr) $body)*

        /// Every attack with its name.
        pub(crate) const ATTACKS: &[(&str, fn(SocketAddr))] = &[$((stringify!($name), $name),)*];

        /// Each attack by itself, on a server of its own.
        mod alone {
            $(#[test] fn $name() { crate::alone(super::$name); })*
        }
    };
}

mod frames;
mod requests;

fn alone(attack: fn(SocketAddr)) {
    let mut config = config();
    config.http.handshake_timeout = HANDSHAKE_TIMEOUT;
    let server = Running::start(&config);
    let mut healthy = Healthy::in_room(server.address, "beside");
    healthy.check();
    attack(server.address);
    healthy.check();
}

#[test]
fn all_attacks_at_once_and_again_leave_the_program_and_its_clients_as_they_were() {
    let attacks = [requests::ATTACKS, frames::ATTACKS].concat();
    assert!(attacks.len() >= 41, "only {} attacks", attacks.len());
    let mut program = Program::start(&["--memory", "--shards", "2", "--set", "http.handshake_timeout=300ms"]);
    let address = program.address();
    let mut healthy = Healthy::in_room(address, "beside");
    healthy.check();
    let round = |healthy: &mut Healthy| {
        thread::scope(|scope| {
            let attacks: Vec<_> = attacks
                .iter()
                .map(|(name, attack)| (name, scope.spawn(|| attack(address))))
                .collect();
            while !attacks.iter().all(|(_, attack)| attack.is_finished()) {
                healthy.check();
            }
            for (name, attack) in attacks {
                assert!(attack.join().is_ok(), "{name}");
            }
        });
    };
    round(&mut healthy);
    until("the attackers are gone", || connections(&program) == 2.0);
    let after_one = program.memory("VmRSS:");
    for _ in 0..2 {
        round(&mut healthy);
    }
    until("the attackers are gone", || connections(&program) == 2.0);
    let grown = program.memory("VmRSS:").saturating_sub(after_one);
    assert!(grown < 32 * 1024, "two more rounds left {grown} KiB behind");
    healthy.check();
    assert!(program.child.try_wait().unwrap().is_none());
}

fn connections(program: &Program) -> f64 {
    support::metric(program.admin, "plaza_connections", &[])
}

fn upgrade(at: SocketAddr) -> Request {
    Request::upgrade(at, NATIVE)
}
