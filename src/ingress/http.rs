//! HTTP on a shard: routes, the handshake's checks, and the step from a request to a connection.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    server::conn::http1::{self, Parts},
    service::service_fn,
};
use hyper_util::rt::TokioTimer;
use tokio::{
    task::spawn_local,
    time::{sleep, timeout},
};

use super::{Listener, Site, groups, pages, proxy, socket::Doorstep};
use crate::{
    codec::{self, DIALECTS, Handshake, detect::Why},
    config::{Http, ProxyProtocol},
    limits,
    observe::RejectReason,
    shard::{Arriving, Local, Newcomers},
    wire::handshake::{self, NullOrigin, OriginPolicy, Rejection},
};

/// Takes the sockets of one shard through HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Doorman {
    site: Arc<Site>,
}

/// A request that was answered 101.
struct Upgrading {
    handshake: Handshake,
    dialect: Option<usize>,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    /// A WebSocket whose dialect is known.
    Dialect(usize),
    /// A WebSocket whose dialect the client shows.
    Plain,
    /// A path under `/ws/` that names no dialect.
    UnknownDialect(&'a str),
    /// A page, or nothing.
    Page,
}

impl Doorman {
    /// A doorman for this site.
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
        let service = service_fn(|request: Request<Incoming>| {
            let (doorman, local, upgrading) = (&self, &local, &upgrading);
            Box::pin(async move {
                let told = doorman.tell_of_groups(&request, local).await;
                let response = told.unwrap_or_else(|| doorman.answer(&request, peer, listener, upgrading));
                Ok::<_, Infallible>(response)
            })
        });
        let handshake_timeout = self.site.handshake_timeout;
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(handshake_timeout.saturating_sub(arriving.hesitated))
            .max_headers(limits::REQUEST_HEADERS)
            .max_buf_size(limits::REQUEST_HEAD_BYTES)
            .serve_connection(Doorstep(arriving), service);
        let enough = async {
            tokio::select! {
                // A drain does not wait for browsers that keep their connections.
                _ = draining.wait_for(|draining| *draining) => limits::LINGER,
                // Nor does anybody keep one for ever by asking for pages and not reading them.
                () = sleep(handshake_timeout * limits::HTTP_TIMEOUTS) => handshake_timeout,
            }
        };
        let served = tokio::select! {
            served = poll_fn(|context| connection.poll_without_shutdown(context)) => served,
            moment = enough => {
                // What waits for a request ends at once, a begun request and its answer get a moment.
                Pin::new(&mut connection).graceful_shutdown();
                match timeout(moment, poll_fn(|context| connection.poll_without_shutdown(context))).await {
                    Ok(served) => served,
                    Err(_) => {
                        self.site.metrics.ingress.rejects.of(RejectReason::Timeout).inc();
                        return;
                    }
                }
            }
        };
        if let Err(error) = served {
            let reason = if error.is_timeout() {
                RejectReason::Timeout
            } else if error.is_parse_too_large() {
                RejectReason::HeadTooLarge
            } else {
                RejectReason::BadRequest
            };
            self.site.metrics.ingress.rejects.of(reason).inc();
            tracing::debug!(%peer, %error, "a request ended badly");
            return;
        }
        let Parts { io, read_buf, .. } = connection.into_parts();
        match upgrading.take() {
            Some(Upgrading { handshake, dialect }) => local.open(io.0, &read_buf, handshake, dialect),
            None => io.0.shut(),
        }
    }

    fn answer(
        &self,
        request: &Request<Incoming>,
        peer: SocketAddr,
        listener: Listener,
        upgrading: &RefCell<Option<Upgrading>>,
    ) -> Response<Full<Bytes>> {
        let believed = self.site.believed.load();
        let peer = client_address(&believed.http, peer, request.headers());
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
        let native = dialect
            .and_then(|dialect| DIALECTS.get(dialect))
            .is_some_and(|d| d.name() == codec::NATIVE);
        // Old pages are opened as files, whose origin is `null`; only on this machine, and never for Plaza's own protocol. A
        // proxy here reaches a loopback listener for everybody, and says so.
        let local = listener.loopback
            && peer.ip().to_canonical().is_loopback()
            && !request.headers().contains_key(FORWARDED_FOR);
        let null = if local && !native {
            NullOrigin::Allowed
        } else {
            NullOrigin::Refused
        };
        let origins = OriginPolicy {
            listed: &believed.origins,
            null,
        };
        match handshake::decide(request, origins, subprotocols(native)) {
            Ok(accepted) => {
                if let (Some(dialect), Some(by)) = (dialect.and_then(|dialect| DIALECTS.get(dialect)), by) {
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

    /// Takes the PROXY protocol's header off a socket of a listener that asks for it. `None`: the connection is refused, without
    /// a word, since nobody but a proxy that is set up wrongly would read it.
    async fn behind_proxy(&self, mut arriving: Arriving, listener: Listener) -> Option<(Arriving, SocketAddr)> {
        let peer = arriving.peer;
        match listener.proxy {
            ProxyProtocol::Absent => return Some((arriving, peer)),
            ProxyProtocol::Required => {}
        }
        let rejects = &self.site.metrics.ingress.rejects;
        if !self.site.believed.load().http.trusts(peer) {
            rejects.of(RejectReason::Proxy).inc();
            tracing::debug!(%peer, "a connection was refused: only proxies of http.trusted_proxies may use this listener");
            return None;
        }
        match timeout(self.site.handshake_timeout, proxy::read(&mut arriving)).await {
            Ok(Ok(client)) => Some((arriving, client.unwrap_or(peer))),
            Ok(Err(fault)) => {
                rejects.of(RejectReason::Proxy).inc();
                tracing::debug!(%peer, %fault, "a connection was refused");
                None
            }
            Err(_) => {
                rejects.of(RejectReason::Timeout).inc();
                tracing::debug!(%peer, "a connection was dropped: the PROXY protocol's header did not come in time");
                None
            }
        }
    }

    /// The pages of document 003 that tell of groups, for which shards are asked.
    async fn tell_of_groups(&self, request: &Request<Incoming>, local: &Local) -> Option<Response<Full<Bytes>>> {
        let page = groups::Page::at(&single_slashes(request.uri().path()))?;
        if !self.site.legacy_pages || request.method() != Method::GET {
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

    fn page(&self, request: &Request<Incoming>, path: &str) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Pages are read with GET.".to_owned());
            response
                .headers_mut()
                .insert("allow", HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        pages::find(path, request.headers(), self.site.legacy_pages).unwrap_or_else(|| {
            text(
                StatusCode::NOT_FOUND,
                "There is no such page here; the chat is at /.".to_owned(),
            )
        })
    }
}

impl Newcomers for Doorman {
    fn serve(&self, local: &Rc<Local>, arriving: Arriving) {
        spawn_local(self.clone().serve(local.clone(), arriving));
    }

    fn patience(&self) -> Duration {
        if *self.site.draining.borrow() {
            // A drain does not wait for those who say nothing.
            Duration::ZERO
        } else {
            self.site.handshake_timeout
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

/// The client's address: what a trusted proxy says, from the nearest hop back to the first that is not trusted.
fn client_address(http: &Http, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
    let mut client = peer;
    let forwarded: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let hops = forwarded.iter().flat_map(|value| value.split(',')).map(str::trim);
    for hop in hops.rev().take(limits::PROXY_HOPS) {
        if !http.trusts(client) {
            break;
        }
        match hop_address(hop) {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// `192.0.2.7`, `192.0.2.7:50123`, `2001:db8::7`, `[2001:db8::7]` or `[2001:db8::7]:50123`; a port that is not said is 0.
fn hop_address(hop: &str) -> Option<SocketAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|hop| hop.strip_suffix(']'))
        .unwrap_or(hop);
    let address = bare
        .parse::<IpAddr>()
        .map(|address| SocketAddr::new(address, 0))
        .or_else(|_| hop.parse())
        .ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
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
        "/chat" => codec::number_of(codec::NATIVE).map_or(Route::Page, Route::Dialect),
        _ => match path.strip_prefix("/ws/") {
            Some(name) => codec::number_of(name).map_or(Route::UnknownDialect(name), Route::Dialect),
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
        "There is no dialect {shown:?} here. Known are {}, and plain /ws.\n",
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

const FORWARDED_FOR: &str = "x-forwarded-for";
const GOING_DOWN: &str = "The server is going down; come back in a moment.\n";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
        for (number, dialect) in DIALECTS.iter().enumerate() {
            assert_eq!(route(&format!("/ws/{}", dialect.name())), Route::Dialect(number));
        }
        assert_eq!(route("/ws/morse"), Route::UnknownDialect("morse"));
        assert_eq!(route("/"), Route::Page);
        assert!(unknown_dialect("morse").contains("/ws/tutorial"));
    }

    fn seen(trusted: &str, peer: &str, forwarded: &[&str]) -> String {
        let http = Http {
            allowed_origins: Vec::new(),
            trusted_proxies: trusted
                .split(' ')
                .filter(|network| !network.is_empty())
                .map(network)
                .collect(),
            handshake_timeout: limits::HANDSHAKE_TIME,
        };
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        client_address(&http, peer.parse().unwrap(), &headers).to_string()
    }

    fn network(text: &str) -> crate::config::IpNetwork {
        let value = [("PLAZA_HTTP_TRUSTED_PROXIES".to_owned(), text.to_owned())];
        let sources = crate::config::Sources {
            environment: value.into(),
            ..Default::default()
        };
        crate::config::Loaded::from_sources(&sources)
            .unwrap()
            .config
            .http
            .trusted_proxies[0]
    }

    #[test]
    fn a_client_cannot_choose_its_own_address() {
        assert_eq!(seen("", "192.0.2.7:5", &["198.51.100.9"]), "192.0.2.7:5");
        assert_eq!(seen("10.0.0.1", "192.0.2.7:5", &["198.51.100.9"]), "192.0.2.7:5");
        // What stood in the header before the proxy added to it is the client's own claim.
        assert_eq!(
            seen("10.0.0.1", "10.0.0.1:5", &["198.51.100.9, 192.0.2.7"]),
            "192.0.2.7:0"
        );
        assert_eq!(
            seen("10.0.0.1", "10.0.0.1:5", &["198.51.100.9", "192.0.2.7"]),
            "192.0.2.7:0"
        );
        assert_eq!(
            seen("10.0.0.1", "10.0.0.1:5", &["10.0.0.1, nonsense, 192.0.2.7"]),
            "192.0.2.7:0"
        );
    }

    #[test]
    fn a_chain_is_followed_back_through_trusted_proxies() {
        let chain = ["192.0.2.7, 10.0.0.3 ,10.0.0.2"];
        assert_eq!(seen("10.0.0.0/8", "10.0.0.1:5", &chain), "192.0.2.7:0");
        assert_eq!(seen("10.0.0.1", "10.0.0.1:5", &chain), "10.0.0.2:0");
        assert_eq!(seen("10.0.0.0/8", "10.0.0.1:5", &["nonsense, 10.0.0.2"]), "10.0.0.2:0");
        assert_eq!(seen("10.0.0.0/8", "10.0.0.1:5", &[]), "10.0.0.1:5");
        assert_eq!(seen("10.0.0.0/8", "10.0.0.1:5", &[""]), "10.0.0.1:5");
    }

    #[test]
    fn hops_may_have_ports_and_be_ipv6() {
        for (hop, address) in [
            ("192.0.2.7:50123", "192.0.2.7:50123"),
            ("2001:db8::7", "[2001:db8::7]:0"),
            ("[2001:db8::7]", "[2001:db8::7]:0"),
            ("[2001:db8::7]:443", "[2001:db8::7]:443"),
            ("::ffff:192.0.2.7", "192.0.2.7:0"),
        ] {
            assert_eq!(seen("::1 10.0.0.1", "[::1]:5", &[hop]), address);
            assert_eq!(seen("::1 10.0.0.1", "[::ffff:10.0.0.1]:5", &[hop]), address);
        }
    }
}
