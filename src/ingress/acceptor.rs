//! One thread that accepts for all listeners and hands sockets to the least-loaded shard.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::oneshot;

use crate::{
    limits,
    observe::Metrics,
    readiness,
    shard::{Arrived, Shards},
};

/// The running acceptor; dropping it, or [`Acceptor::stop`], closes the listeners.
#[derive(Debug)]
pub(crate) struct Acceptor {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Listens on an address.
///
/// # Errors
/// As the system says: in use, not allowed, not an address of this machine.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the life before.
    socket.set_reuse_address(true)?;
    // Small frames are not to wait for the acknowledgement of the ones before (RFC 896). Accepted sockets inherit it (tcp(7)).
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket.into())
}

impl Acceptor {
    /// Starts accepting.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub(crate) fn start(listeners: Vec<TcpListener>, shards: Arc<Shards>, metrics: Arc<Metrics>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("acceptor".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let mut tasks = tokio::task::JoinSet::new();
                for (number, listener) in listeners.into_iter().enumerate() {
                    tasks.spawn(accept(number, listener, shards.clone(), metrics.clone()));
                }
                // Told to stop, or the one who could tell is gone.
                let _ = stopped.await;
            });
        })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Closes the listeners: who connects from now on is refused by the system.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            let _ = thread.join();
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn accept(number: usize, listener: TcpListener, shards: Arc<Shards>, metrics: Arc<Metrics>) {
    let listener = match readiness::watch(mio::net::TcpListener::from_std(listener)) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listener cannot be watched");
            return;
        }
    };
    let (least, most) = limits::ACCEPT_BACKOFF;
    let mut backoff = least;
    loop {
        let Ok(mut ready) = listener.readable().await else {
            return;
        };
        loop {
            match listener.get_ref().accept() {
                Ok((stream, peer)) => {
                    backoff = least;
                    metrics.ingress.accepted.inc();
                    let mut arrived = Arrived {
                        stream,
                        peer,
                        listener: number,
                    };
                    // All shards have as many newcomers as they may hold: the others wait in the backlog.
                    while let Err(back) = shards.place(arrived) {
                        arrived = back;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                // The client gave up while it waited (accept(2)).
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    metrics.ingress.accept_errors.inc();
                    metrics.ingress.accept_backoffs.inc();
                    if backoff == least {
                        tracing::warn!(%error, "cannot accept connections; trying again until it works (see the limit of open files)");
                    }
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(most);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn accepted_sockets_send_small_frames_at_once() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // Connected means that it is in the backlog.
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    }
}
