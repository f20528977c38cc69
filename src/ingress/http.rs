//! HTTP on a shard: routes, the handshake's checks, and the step from a request to a connection.

use std::{cell::RefCell, convert::Infallible, net::SocketAddr, rc::Rc, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, task::spawn_local};

use super::{Listener, Site, pages};
use crate::{
    codec::{self, DIALECTS, Handshake, detect::Why},
    limits,
    observe::RejectReason,
    shard::{Arrived, Load, Local, Newcomers},
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
    upgrade: OnUpgrade,
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

    async fn serve(self, local: Rc<Local>, arrived: Arrived, load: Load) {
        let Arrived { stream, peer, listener } = arrived;
        let stream = match stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken up");
                return;
            }
        };
        let upgrading: Rc<RefCell<Option<Upgrading>>> = Rc::default();
        let service = service_fn(|request| {
            let response = self.answer(request, peer, listener, &upgrading);
            async move { Ok::<_, Infallible>(response) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.site.handshake_timeout)
            .max_headers(limits::REQUEST_HEADERS)
            .max_buf_size(limits::REQUEST_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        if let Err(error) = served {
            let reason = if error.is_timeout() {
                RejectReason::Timeout
            } else {
                RejectReason::BadRequest
            };
            self.site.metrics.ingress.rejects.of(reason).inc();
            tracing::debug!(%peer, %error, "a request ended badly");
            return;
        }
        let Some(Upgrading {
            handshake,
            dialect,
            upgrade,
        }) = upgrading.take()
        else {
            return;
        };
        let Ok(upgraded) = upgrade.await else { return };
        // It was put in as this type above.
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
            return;
        };
        match parts.io.into_inner().into_std() {
            Ok(stream) => local.open(stream, &parts.read_buf, handshake, dialect, load),
            Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
        }
    }

    fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        listener: usize,
        upgrading: &RefCell<Option<Upgrading>>,
    ) -> Response<Full<Bytes>> {
        let Some(listener) = self.site.listeners.get(listener).copied() else {
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "This listener is not known.".to_owned(),
            );
        };
        let peer = self.client_address(peer, request.headers());
        let path = single_slashes(request.uri().path());
        let route = route(&path);
        let (dialect, by) = match route {
            Route::Dialect(dialect) => (Some(dialect), Some(Why::Path)),
            Route::Plain => (listener.dialect, listener.dialect.map(|_| Why::Listener)),
            Route::UnknownDialect(name) => {
                self.site.metrics.ingress.rejects.of(RejectReason::NotFound).inc();
                return text(StatusCode::NOT_FOUND, unknown_dialect(name));
            }
            Route::Page => return self.page(&request, &path),
        };
        let native = dialect
            .and_then(|dialect| DIALECTS.get(dialect))
            .is_some_and(|d| d.name() == codec::NATIVE);
        match handshake::decide(&request, self.origins(listener, native), subprotocols(native)) {
            Ok(accepted) => {
                if let (Some(dialect), Some(by)) = (dialect.and_then(|dialect| DIALECTS.get(dialect)), by) {
                    let dialect = dialect.name();
                    tracing::debug!(%peer, dialect, by = by.name(), "the dialect of a connection is decided");
                    self.site.metrics.ingress.decided(dialect, by);
                }
                let handshake = introduction(&request, peer, accepted.subprotocol);
                let upgrade = hyper::upgrade::on(&mut request);
                *upgrading.borrow_mut() = Some(Upgrading {
                    handshake,
                    dialect,
                    upgrade,
                });
                accepted.response()
            }
            Err(rejection) => {
                self.site.metrics.ingress.rejects.of(reason(&rejection)).inc();
                rejection.response()
            }
        }
    }

    fn origins(&self, listener: Listener, native: bool) -> OriginPolicy<'_> {
        // Old pages are opened as files, whose origin is `null`; only on this machine, and never for Plaza's own protocol.
        let null = if listener.loopback && !native {
            NullOrigin::Allowed
        } else {
            NullOrigin::Refused
        };
        OriginPolicy {
            listed: &self.site.origins,
            null,
        }
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

    /// The client's address: what a trusted proxy says, from the nearest hop back to the first that is not trusted.
    fn client_address(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let mut client = peer;
        let forwarded: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let hops = forwarded.iter().flat_map(|value| value.split(',')).map(str::trim);
        for hop in hops.rev() {
            if !self.site.http.trusts(client) {
                break;
            }
            match hop.parse() {
                Ok(address) => client = SocketAddr::new(address, 0),
                Err(_) => break,
            }
        }
        client
    }
}

impl Newcomers for Doorman {
    fn serve(&self, local: &Rc<Local>, arrived: Arrived, load: Load) {
        spawn_local(self.clone().serve(local.clone(), arrived, load));
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
        for (number, dialect) in DIALECTS.iter().enumerate() {
            assert_eq!(route(&format!("/ws/{}", dialect.name())), Route::Dialect(number));
        }
        assert_eq!(route("/ws/morse"), Route::UnknownDialect("morse"));
        assert_eq!(route("/"), Route::Page);
        assert!(unknown_dialect("morse").contains("/ws/tutorial"));
    }
}
