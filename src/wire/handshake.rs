//! Decides whether an HTTP request becomes a WebSocket (RFC 6455 section 4.2), and how to respond if not.
//!
//! Invariants: only a `GET` over HTTP/1.1 is accepted, with each required header present once (or as a list), from an Origin that the
//! [`OriginPolicy`] allows. Every other request gets a status and one sentence that says what to change. This module never looks at
//! the path or the query (the caller routes), never agrees to an extension, and never does I/O.

use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::Bytes,
    header::{
        CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
    },
    http::uri::Authority,
};
use sha1::{Digest, Sha1};

use super::origin::{AllowedOrigin, Origin, authority};

/// Which pages may connect. A request without an Origin (not from a browser), and a page of the requested host and port, are always
/// allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginPolicy<'a> {
    pub listed: &'a [AllowedOrigin],
    /// Whether the Origin `null` is allowed.
    pub null: NullOrigin,
}

/// Whether the Origin `null` is allowed: that of a page opened as a file, and of any sandboxed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullOrigin {
    /// Allowed: only where users open old pages as files and no other machine can reach the listener.
    Allowed,
    /// Refused with 403.
    Refused,
}

/// A request that becomes a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: HeaderValue,
    /// The subprotocol agreed on: the first one the client offered that the server knows.
    pub subprotocol: Option<&'static str>,
}

/// Why a request does not become a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub status: StatusCode,
    pub headers: &'static [(&'static str, &'static str)],
    /// One sentence: what was seen and what to change.
    pub body: &'static str,
}

/// Decides about a request; `subprotocols` are the known ones.
pub fn decide<B>(
    request: &Request<B>,
    origins: OriginPolicy<'_>,
    subprotocols: &[&'static str],
) -> Result<Upgrade, Rejection> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(Rejection {
            status: StatusCode::METHOD_NOT_ALLOWED,
            headers: &[("allow", "GET")],
            body: "A WebSocket begins with GET.",
        });
    }
    if request.version() != Version::HTTP_11 {
        return Err(bad_request("A WebSocket begins with HTTP/1.1."));
    }
    check_upgrade(headers)?;
    check_no_body(headers)?;
    check_version(headers)?;
    let accept = accept_value(headers)?;
    let host = host(request)?;
    check_origin(headers, &host, origins)?;
    Ok(Upgrade {
        accept,
        subprotocol: choose(headers, subprotocols),
    })
}

impl Upgrade {
    pub fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(subprotocol) = self.subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        response
    }
}

impl Rejection {
    pub fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from_static(self.body.as_bytes())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
        for (name, value) in self.headers {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        response
    }
}

/// `Upgrade` and `Connection` must both announce the upgrade. Case and further list members do not matter.
fn check_upgrade(headers: &HeaderMap) -> Result<(), Rejection> {
    if !lists(headers, &UPGRADE, b"websocket") {
        return Err(Rejection {
            status: StatusCode::UPGRADE_REQUIRED,
            headers: &[
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
                ("sec-websocket-version", "13"),
            ],
            body: "This path is a WebSocket; send `Upgrade: websocket`.",
        });
    }
    if !lists(headers, &CONNECTION, b"upgrade") {
        return Err(bad_request("`Upgrade` without `Connection: Upgrade`; send both."));
    }
    Ok(())
}

/// A body would allow request smuggling: one program on the path would read it as a body, another as the first frames.
fn check_no_body(headers: &HeaderMap) -> Result<(), Rejection> {
    let length = single(headers, CONTENT_LENGTH, "Two Content-Length headers; send none.")?;
    if headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0") {
        return Err(bad_request(
            "A request that becomes a WebSocket has no body; leave it out.",
        ));
    }
    Ok(())
}

fn check_version(headers: &HeaderMap) -> Result<(), Rejection> {
    match single(
        headers,
        SEC_WEBSOCKET_VERSION,
        "Two Sec-WebSocket-Version headers; send one.",
    )? {
        Some(version) if version == "13" => Ok(()),
        Some(_) | None => Err(Rejection {
            status: StatusCode::UPGRADE_REQUIRED,
            headers: &[
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
                ("sec-websocket-version", "13"),
            ],
            body: "Only WebSocket version 13 is supported; send `Sec-WebSocket-Version: 13`.",
        }),
    }
}

/// The answer to the client's key (RFC 6455 section 4.2.2).
fn accept_value(headers: &HeaderMap) -> Result<HeaderValue, Rejection> {
    let key = single(headers, SEC_WEBSOCKET_KEY, "Two Sec-WebSocket-Key headers; send one.")?.ok_or(bad_request(
        "Sec-WebSocket-Key is missing; send 16 random bytes in base64.",
    ))?;
    let mut nonce = [0; 18];
    let is_right = key.len() == 24
        && STANDARD
            .decode_slice(key.as_bytes(), &mut nonce)
            .is_ok_and(|bytes| bytes == KEY_BYTES);
    if !is_right {
        return Err(bad_request("Sec-WebSocket-Key is not 16 bytes in base64."));
    }
    let digest = Sha1::new()
        .chain_update(key.as_bytes())
        .chain_update(ACCEPT_SUFFIX)
        .finalize();
    // Base64 is always a valid header value, so this error does not occur.
    HeaderValue::try_from(STANDARD.encode(digest)).map_err(|_| bad_request("Sec-WebSocket-Key cannot be answered."))
}

/// The requested host and port.
fn host<B>(request: &Request<B>) -> Result<Authority, Rejection> {
    let host = single(request.headers(), HOST, "Two Host headers; send one.")?
        .ok_or(bad_request("Host is missing; HTTP/1.1 requires it."))?;
    let host = authority(host.as_bytes()).ok_or(bad_request("Host is not a host name with or without a port."))?;
    if request.uri().authority().is_some_and(|authority| *authority != host) {
        return Err(bad_request("Host differs from the host in the request line."));
    }
    Ok(host)
}

fn check_origin(headers: &HeaderMap, host: &Authority, policy: OriginPolicy<'_>) -> Result<(), Rejection> {
    let Some(origin) = single(headers, ORIGIN, "Two Origin headers; send one or none.")? else {
        return Ok(());
    };
    let is_allowed = if origin == "null" {
        policy.null == NullOrigin::Allowed
    } else {
        Origin::parse(origin.as_bytes())
            .is_some_and(|origin| origin.is_of(host) || policy.listed.iter().any(|listed| listed.allows(&origin)))
    };
    if is_allowed {
        Ok(())
    } else {
        Err(Rejection {
            status: StatusCode::FORBIDDEN,
            headers: &[],
            body: FORBIDDEN,
        })
    }
}

/// The first known offer: clients list subprotocols by preference (RFC 6455 section 4.1).
fn choose(headers: &HeaderMap, known: &[&'static str]) -> Option<&'static str> {
    let mut offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().flat_map(tokens);
    offered.find_map(|offer| known.iter().copied().find(|known| known.as_bytes() == offer))
}

/// The header's only value; a second one is an error.
fn single<'h>(
    headers: &'h HeaderMap,
    name: HeaderName,
    twice: &'static str,
) -> Result<Option<&'h HeaderValue>, Rejection> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        Err(bad_request(twice))
    } else {
        Ok(first)
    }
}

/// Whether a list contains a word. A list may have several lines, which a proxy may join (RFC 9110 section 5.3).
fn lists(headers: &HeaderMap, name: &HeaderName, word: &[u8]) -> bool {
    let mut words = headers.get_all(name).iter().flat_map(tokens);
    words.any(|token| token.eq_ignore_ascii_case(word))
}

/// The members of a comma-separated list.
fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn bad_request(body: &'static str) -> Rejection {
    Rejection {
        status: StatusCode::BAD_REQUEST,
        headers: &[],
        body,
    }
}

/// Bytes of a key (RFC 6455 section 4.1).
const KEY_BYTES: usize = 16;
/// The suffix of a key before it is hashed (RFC 6455 section 1.3).
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const FORBIDDEN: &str =
    "Pages of this Origin may not connect here; open the server's own page, or have its operator list the Origin.";

#[cfg(test)]
mod tests;
