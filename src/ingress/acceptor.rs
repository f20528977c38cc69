//! One thread accepts for all listeners and passes each socket to the least-loaded shard.
//!
//! Invariant: it leaves enough descriptors to health checks, the store and the logs. When its own run out, it waits with exponential
//! backoff.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::oneshot;

use crate::{
    limits,
    observe::{Metrics, Need, Watch},
    readiness,
    shard::{Arrived, Shards},
};

/// The running acceptor; dropping it, or [`Acceptor::stop`], closes the listeners.
#[derive(Debug)]
pub(crate) struct Acceptor {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    watches: Vec<Watch>,
}

pub(crate) trait Receive: Clone + Send + 'static {
    /// Takes a socket, or returns it if all queues are full.
    fn place(&self, arrived: Arrived) -> Result<(), Arrived>;

    /// The number of open sockets.
    fn connections(&self) -> usize;
}

impl Receive for Arc<Shards> {
    fn place(&self, arrived: Arrived) -> Result<(), Arrived> {
        Shards::place(self, arrived)
    }

    fn connections(&self) -> usize {
        Shards::connections(self)
    }
}

/// Listens on an address.
///
/// # Errors
/// The address is in use, is not allowed, or does not belong to this machine.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the previous process.
    socket.set_reuse_address(true)?;
    // Small frames must not wait for the acknowledgement of earlier ones (RFC 896). Accepted sockets inherit the option (tcp(7)).
    socket.set_tcp_nodelay(true)?;
    // Inherited as well.
    socket.set_tcp_notsent_lowat(limits::UNSENT_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket.into())
}

impl Acceptor {
    /// Accepts on a separate thread until the acceptor is stopped or dropped.
    ///
    /// # Errors
    /// If the thread or its runtime cannot be created.
    pub(crate) fn start(
        listeners: Vec<TcpListener>,
        shards: impl Receive,
        most: usize,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        metrics
            .ingress
            .connections_limit
            .set(i64::try_from(most).unwrap_or(i64::MAX));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let (alive, watch) = Watch::over("the acceptor", Need::Vital);
        let mut watches = vec![watch];
        let mut watched = Vec::new();
        for (number, listener) in listeners.into_iter().enumerate() {
            let name = match listener.local_addr() {
                Ok(address) => format!("the listener on {address}"),
                Err(_) => format!("listener {number}"),
            };
            let (alive, watch) = Watch::over(name, Need::Vital);
            watches.push(watch);
            watched.push((number, listener, alive));
        }
        let thread = thread::Builder::new().name("acceptor".to_owned()).spawn(move || {
            let _alive = alive;
            runtime.block_on(async move {
                let mut tasks = tokio::task::JoinSet::new();
                for (number, listener, alive) in watched {
                    let accepting = accept(number, listener, shards.clone(), most, metrics.clone());
                    tasks.spawn(async move {
                        let _alive = alive;
                        accepting.await;
                    });
                }
                // Stopped or dropped.
                let _ = stopped.await;
            });
        })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
            watches,
        })
    }

    /// Watches over the thread and the task of each listener.
    pub(crate) fn watches(&self) -> &[Watch] {
        &self.watches
    }

    /// Closes the listeners.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // The panic has been printed already.
            let _ = thread.join();
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Accepts until the runtime ends. Returns if the listener cannot be watched.
async fn accept(number: usize, listener: TcpListener, shards: impl Receive, most: usize, metrics: Arc<Metrics>) {
    let listener = match readiness::watch(mio::net::TcpListener::from_std(listener)) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listener cannot be watched");
            return;
        }
    };
    let (least, longest) = limits::ACCEPT_BACKOFF;
    let mut backoff = least;
    let mut warned: Option<Instant> = None;
    loop {
        let Ok(mut ready) = listener.readable().await else {
            return;
        };
        loop {
            if shards.connections() >= most {
                metrics.ingress.accept_backoffs.inc();
                if warned.is_none_or(|at| at.elapsed() >= limits::DESCRIPTORS_WARN_EVERY) {
                    warned = Some(Instant::now());
                    tracing::warn!(
                        connections = most,
                        "as many connections are open as the limit of open files allows; new ones wait (raise LimitNOFILE or ulimit -n)"
                    );
                }
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(longest);
                continue;
            }
            match listener.get_ref().accept() {
                Ok((stream, peer)) => {
                    backoff = least;
                    metrics.ingress.accepted.inc();
                    let mut arrived = Arrived {
                        stream,
                        peer,
                        listener: number,
                    };
                    // The queues of all shards are full. Further connections wait in the backlog.
                    while let Err(back) = shards.place(arrived) {
                        arrived = back;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                // The client gave up (accept(2)).
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    metrics.ingress.accept_errors.inc();
                    metrics.ingress.accept_backoffs.inc();
                    if backoff == least {
                        tracing::warn!(%error, "cannot accept connections; retrying with backoff (check the limit of open files)");
                    }
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(longest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, os::fd::OwnedFd};

    use super::*;

    /// Panics on use, and with it the thread or task that asks.
    #[derive(Clone)]
    struct Panics;

    impl Receive for Panics {
        fn place(&self, _: Arrived) -> Result<(), Arrived> {
            panic!("this panic belongs to the test")
        }

        fn connections(&self) -> usize {
            0
        }
    }

    #[test]
    fn the_system_holds_little_for_a_client_that_reads_slowly() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // A connect returns when the connection is in the queue of the listener, whose socket does not block.
        let (accepted, _) = listener.accept().unwrap();
        let socket = socket2::SockRef::from(&accepted);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), limits::UNSENT_BYTES);
    }

    fn ended(acceptor: &Acceptor) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let over: Vec<_> = acceptor.watches().iter().filter(|watch| watch.has_ended()).collect();
            if !over.is_empty() || Instant::now() > deadline {
                return over.iter().map(|watch| watch.part().to_owned()).collect();
            }
            thread::yield_now();
        }
    }

    #[test]
    fn a_task_that_panics_is_named_by_its_listener() {
        let (one, other) = (
            bind("127.0.0.1:0".parse().unwrap()),
            bind("127.0.0.1:0".parse().unwrap()),
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        let address = other.local_addr().unwrap();
        let acceptor = Acceptor::start(vec![one, other], Panics, 9, Metrics::new(1, &[])).unwrap();
        let _client = TcpStream::connect(address).unwrap();
        assert_eq!(ended(&acceptor), [format!("the listener on {address}")]);
    }

    #[test]
    fn a_listener_that_cannot_be_watched_is_seen() {
        let file = tempfile::tempfile().unwrap();
        let listener = TcpListener::from(OwnedFd::from(file));
        let acceptor = Acceptor::start(vec![listener], Panics, 9, Metrics::new(1, &[])).unwrap();
        assert_eq!(ended(&acceptor), ["listener 0"]);
    }

    #[test]
    fn accepted_sockets_send_small_frames_at_once() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // A connected socket is in the backlog.
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    }
}
