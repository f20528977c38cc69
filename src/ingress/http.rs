//! HTTP on a shard: routes, the checks of the handshake, and the upgrade from a request to a connection.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue, ORIGIN, RETRY_AFTER},
    server::conn::http1::{self, Parts},
    service::service_fn,
};
use tokio::{task::spawn_local, time::timeout};

use super::{
    Listener, Site,
    forwarded::{FORWARDED_FOR, client_address},
    groups, pages, proxy,
    socket::Doorstep,
    stage_timer::{Expired, StageTimeouts, StageTimer},
};
use crate::{
    codec::{self, Client, DIALECTS, DialectId, Handshake, detect::Why},
    config::ProxyProtocol,
    limits,
    observe::RejectReason,
    shard::{Arriving, Local, Newcomers},
    wire::handshake::{self, NullOrigin, OriginPolicy, Rejection},
};

/// Serves HTTP on the sockets of one shard.
#[derive(Debug, Clone)]
pub(crate) struct HttpServer {
    site: Arc<Site>,
}

/// A request with the answer 101.
struct Upgrading {
    handshake: Handshake,
    dialect: Option<DialectId>,
}

/// The target of a request.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    /// A WebSocket whose dialect is known.
    Dialect(DialectId),
    /// A WebSocket whose dialect is to be detected.
    Plain,
    /// A path under `/ws/` without a known dialect.
    UnknownDialect(&'a str),
    /// A page, or 404.
    Page,
}

impl HttpServer {
    pub(crate) fn new(site: Arc<Site>) -> Self {
        Self { site }
    }

    async fn serve(self, local: Rc<Local>, arriving: Arriving) {
        let Some(listener) = self.site.listeners.get(arriving.listener).copied() else {
            return;
        };
        let mut draining = self.site.draining.subscribe();
        let taken = tokio::select! {
            taken = self.behind_proxy(arriving, listener) => taken,
            _ = draining.wait_for(|draining| *draining) => None,
        };
        let Some((arriving, peer)) = taken else { return };
        let upgrading: Rc<RefCell<Option<Upgrading>>> = Rc::default();
        let timer = self.stage_timer(&arriving);
        let service = service_fn(|request: Request<Incoming>| {
            timer.head_complete();
            let (server, local, upgrading) = (&self, &local, &upgrading);
            Box::pin(async move {
                let page = server.groups_page(&request, local).await;
                let response = page.unwrap_or_else(|| server.answer(&request, peer, listener, upgrading));
                Ok::<_, Infallible>(response)
            })
        });
        let mut connection = http1::Builder::new()
            // `StageTimer` has the timeouts.
            .header_read_timeout(None)
            // A client that shuts down its side after a request, as `nc -N` does, still gets an answer.
            .half_close(true)
            .max_headers(limits::REQUEST_HEADERS)
            .max_buf_size(limits::REQUEST_HEAD_BYTES)
            .serve_connection(
                Doorstep {
                    arriving,
                    timer: timer.clone(),
                },
                service,
            );
        let enough = async {
            tokio::select! {
                // A drain does not wait for idle keep-alive connections.
                _ = draining.wait_for(|draining| *draining) => Expired::Idle,
                expired = timer.expired() => expired,
            }
        };
        let served = tokio::select! {
            served = poll_fn(|context| connection.poll_without_shutdown(context)) => Some(served),
            expired = enough => match expired {
                Expired::Slow => None,
                Expired::Idle => {
                    // A connection without a request ends at once; one with a partial request gets a moment.
                    Pin::new(&mut connection).graceful_shutdown();
                    let end = poll_fn(|context| connection.poll_without_shutdown(context));
                    timeout(limits::LINGER, end).await.ok()
                }
            },
        };
        let Some(served) = served else {
            self.site.metrics.ingress.rejects.of(RejectReason::Timeout).inc();
            return;
        };
        if let Err(error) = served {
            let reason = if error.is_parse_too_large() {
                RejectReason::HeadTooLarge
            } else {
                RejectReason::BadRequest
            };
            self.site.metrics.ingress.rejects.of(reason).inc();
            tracing::debug!(%peer, %error, "a request failed");
            return;
        }
        let Parts { io, read_buf, .. } = connection.into_parts();
        match upgrading.take() {
            Some(Upgrading { mut handshake, dialect }) => {
                handshake.listener = io.arriving.listener;
                local.open(io.arriving, &read_buf, handshake, dialect);
            }
            None => io.arriving.shut(),
        }
    }

    fn stage_timer(&self, arriving: &Arriving) -> StageTimer {
        let http = self.site.http.load();
        let timeouts = StageTimeouts {
            head: http.handshake_timeout,
            answer: http.handshake_timeout * limits::ANSWER_TIMEOUTS,
            idle: http.keep_alive,
        };
        StageTimer::new(timeouts, arriving.silent_for)
    }

    fn answer(
        &self,
        request: &Request<Incoming>,
        peer: SocketAddr,
        listener: Listener,
        upgrading: &RefCell<Option<Upgrading>>,
    ) -> Response<Full<Bytes>> {
        let http = self.site.http.load();
        let peer = client_address(&http, peer, request.headers());
        let path = single_slashes(request.uri().path());
        let route = route(&path);
        let (dialect, by) = match route {
            Route::Dialect(dialect) => (Some(dialect), Some(Why::Path)),
            Route::Plain => (listener.dialect, listener.dialect.map(|_| Why::Listener)),
            Route::UnknownDialect(name) => {
                self.site.metrics.ingress.rejects.of(RejectReason::NotFound).inc();
                return text(StatusCode::NOT_FOUND, unknown_dialect(name));
            }
            Route::Page => return self.page(request, &path),
        };
        if *self.site.draining.borrow() {
            self.site.metrics.ingress.rejects.of(RejectReason::Draining).inc();
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, GOING_DOWN.to_owned());
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        }
        let native = dialect == Some(DialectId::Native);
        // People open the old pages as files, whose origin is `null`: allowed only on this machine, and never for Plaza's own
        // protocol. A proxy on this machine connects to a loopback listener for others, and then there is a forwarded header.
        let local = listener.loopback
            && peer.ip().to_canonical().is_loopback()
            && !request.headers().contains_key(FORWARDED_FOR);
        let null = if local && !native {
            NullOrigin::Allowed
        } else {
            NullOrigin::Refused
        };
        let origins = OriginPolicy {
            listed: &http.allowed_origins,
            null,
        };
        match handshake::decide(request, origins, subprotocols(native)) {
            Ok(accepted) => {
                if let (Some(dialect), Some(by)) = (dialect, by) {
                    let dialect = dialect.name();
                    tracing::debug!(%peer, dialect, by = by.name(), "the dialect of a connection is decided");
                    self.site.metrics.ingress.decided(dialect, by);
                }
                let handshake = introduction(request, peer, accepted.subprotocol);
                *upgrading.borrow_mut() = Some(Upgrading { handshake, dialect });
                accepted.response()
            }
            Err(rejection) => {
                self.site.metrics.ingress.rejects.of(reason(&rejection)).inc();
                rejection.response()
            }
        }
    }

    /// Reads the PROXY protocol's header if the listener requires it. `None`: the connection is refused, without an answer that
    /// only a misconfigured proxy would read.
    async fn behind_proxy(&self, mut arriving: Arriving, listener: Listener) -> Option<(Arriving, SocketAddr)> {
        let peer = arriving.peer;
        match listener.proxy {
            ProxyProtocol::Absent => return Some((arriving, peer)),
            ProxyProtocol::Required => {}
        }
        let rejects = &self.site.metrics.ingress.rejects;
        if !self.site.http.load().trusts(peer) {
            rejects.of(RejectReason::Proxy).inc();
            tracing::debug!(%peer, "refused a connection: only proxies in http.trusted_proxies may use this listener");
            return None;
        }
        match timeout(self.site.http.load().handshake_timeout, proxy::read(&mut arriving)).await {
            Ok(Ok(client)) => Some((arriving, client.unwrap_or(peer))),
            Ok(Err(fault)) => {
                rejects.of(RejectReason::Proxy).inc();
                tracing::debug!(%peer, %fault, "refused a connection");
                None
            }
            Err(_) => {
                rejects.of(RejectReason::Timeout).inc();
                tracing::debug!(%peer, "dropped a connection: the PROXY protocol's header did not arrive in time");
                None
            }
        }
    }

    /// The group pages of document 003, which query the shards.
    async fn groups_page(&self, request: &Request<Incoming>, local: &Local) -> Option<Response<Full<Bytes>>> {
        let page = groups::GroupPage::at(&single_slashes(request.uri().path()))?;
        if !self.legacy_pages() || request.method() != Method::GET {
            return None;
        }
        Some(
            page.answer(
                request.uri().query().unwrap_or_default(),
                local.shards(),
                &self.site.groups,
            )
            .await,
        )
    }

    fn legacy_pages(&self) -> bool {
        // Relaxed: no other data depends on it.
        self.site.legacy_pages.load(Ordering::Relaxed)
    }

    fn page(&self, request: &Request<Incoming>, path: &str) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Use GET to read pages.".to_owned());
            response
                .headers_mut()
                .insert("allow", HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        pages::find(path, request.headers(), self.legacy_pages()).unwrap_or_else(|| {
            text(
                StatusCode::NOT_FOUND,
                "There is no such page here; the chat is at /.".to_owned(),
            )
        })
    }
}

impl Newcomers for HttpServer {
    fn serve(&self, local: &Rc<Local>, arriving: Arriving) {
        spawn_local(self.clone().serve(local.clone(), arriving));
    }

    fn patience(&self) -> Duration {
        if *self.site.draining.borrow() {
            // A drain does not wait for connections without a request.
            Duration::ZERO
        } else {
            self.site.http.load().handshake_timeout
        }
    }

    fn gave_up(&self, count: usize) {
        if !*self.site.draining.borrow() {
            self.site
                .metrics
                .ingress
                .rejects
                .of(RejectReason::Timeout)
                .inc_by(count as u64);
        }
    }
}

/// Document 000 prints its address with a doubled slash.
fn single_slashes(path: &str) -> String {
    let mut single = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !single.ends_with('/') {
            single.push(character);
        }
    }
    single
}

fn route(path: &str) -> Route<'_> {
    match path {
        "/ws" | "/ws/" => Route::Plain,
        "/chat" => Route::Dialect(DialectId::Native),
        _ => match path.strip_prefix("/ws/") {
            Some(name) => DialectId::named(name).map_or(Route::UnknownDialect(name), Route::Dialect),
            None => Route::Page,
        },
    }
}

fn unknown_dialect(name: &str) -> String {
    let known: Vec<String> = DIALECTS
        .iter()
        .map(|dialect| format!("/ws/{}", dialect.name()))
        .collect();
    let shown: String = name
        .chars()
        .filter(|character| !character.is_control())
        .take(64)
        .collect();
    format!(
        "There is no dialect {shown:?} here. The dialects are {}, and plain /ws.\n",
        known.join(", ")
    )
}

fn subprotocols(native: bool) -> &'static [&'static str] {
    if native { &codec::native::SUBPROTOCOLS } else { &[] }
}

fn introduction(request: &Request<Incoming>, peer: SocketAddr, subprotocol: Option<&'static str>) -> Handshake {
    let header = |name: &str| request.headers().get(name).map(|value| value.as_bytes().to_vec());
    Handshake {
        peer,
        query: request.uri().query().unwrap_or_default().as_bytes().to_vec(),
        login_username: header("login-username"),
        username: header("username"),
        client: if request.headers().contains_key(ORIGIN) {
            Client::Page
        } else {
            Client::Program
        },
        listener: 0,
        subprotocol,
    }
}

fn reason(rejection: &Rejection) -> RejectReason {
    match rejection.status {
        StatusCode::METHOD_NOT_ALLOWED => RejectReason::Method,
        StatusCode::FORBIDDEN => RejectReason::Origin,
        StatusCode::UPGRADE_REQUIRED => RejectReason::Version,
        _ => RejectReason::Upgrade,
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

const GOING_DOWN: &str = "The server is shutting down; try again in a moment.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_slashes_are_single_ones() {
        assert_eq!(single_slashes("//ws"), "/ws");
        assert_eq!(single_slashes("/ws//tutorial"), "/ws/tutorial");
        assert_eq!(single_slashes("/"), "/");
    }

    #[test]
    fn paths_lead_to_dialects() {
        assert_eq!(route("/ws"), Route::Plain);
        for dialect in DIALECTS {
            assert_eq!(route(&format!("/ws/{}", dialect.name())), Route::Dialect(dialect));
        }
        assert_eq!(route("/ws/morse"), Route::UnknownDialect("morse"));
        assert_eq!(route("/"), Route::Page);
        assert!(unknown_dialect("morse").contains("/ws/tutorial"));
    }
}
