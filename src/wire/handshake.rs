//! Whether a request becomes a WebSocket (RFC 6455 section 4.2), and what it is answered.
//!
//! Promises: only a `GET` over HTTP/1.1 with exactly one of each header that matters is accepted, from an Origin that the
//! [`OriginPolicy`] lets in; everything else gets a status and one sentence that says what to change. Never: a look at
//! the path or the query (routes are the caller's), an extension, I/O.

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

/// Which pages may connect. A request without an Origin is no browser's and is let in; so is a page of the same host and
/// port as the request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginPolicy<'a> {
    /// Further origins, as `https://chat.example.org` or with a port.
    pub listed: &'a [String],
    /// What becomes of the Origin `null`.
    pub null: NullOrigin,
}

/// What becomes of the Origin `null`, which is that of a page opened as a file (and of any sandboxed frame).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullOrigin {
    /// It is let in: only where old pages are opened as files and nobody else reaches the listener.
    Allowed,
    /// It is answered 403.
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
    /// The status of the answer.
    pub status: StatusCode,
    /// Headers that the status asks for.
    pub headers: &'static [(&'static str, &'static str)],
    /// One sentence: what was seen and what to change.
    pub body: &'static str,
}

/// Decides about a request; `subprotocols` are those the server knows.
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
    /// The answer: 101.
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
    /// The answer.
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

/// Both say that the connection changes its protocol, in any case and among other words.
fn check_upgrade(headers: &HeaderMap) -> Result<(), Rejection> {
    let upgrade = single(headers, UPGRADE, "Two Upgrade headers; send one.")?;
    if !upgrade.is_some_and(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(b"websocket"))) {
        return Err(Rejection {
            status: StatusCode::UPGRADE_REQUIRED,
            headers: &[
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
                ("sec-websocket-version", "13"),
            ],
            body: "This path speaks WebSocket; send `Upgrade: websocket`.",
        });
    }
    let connection = single(headers, CONNECTION, "Two Connection headers; send one.")?;
    if !connection.is_some_and(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(b"upgrade"))) {
        return Err(bad_request("`Upgrade` without `Connection: Upgrade`; send both."));
    }
    Ok(())
}

/// A body would be read as the first frames by one program on the way and as a body by another.
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
            body: "Only WebSocket version 13 is spoken here; send `Sec-WebSocket-Version: 13`.",
        }),
    }
}

/// What proves to the client that its key was read (RFC 6455 section 4.2.2).
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
    // Base64 is always a valid header value; if it were not, the client would be told and nothing else happens.
    HeaderValue::try_from(STANDARD.encode(digest)).map_err(|_| bad_request("Sec-WebSocket-Key cannot be answered."))
}

/// The host (and port) the client asked for.
fn host<B>(request: &Request<B>) -> Result<Authority, Rejection> {
    let host = single(request.headers(), HOST, "Two Host headers; send one.")?
        .ok_or(bad_request("Host is missing; HTTP/1.1 asks for it."))?;
    let host = authority(host.as_bytes()).ok_or(bad_request("Host is not a host name with or without a port."))?;
    if request.uri().authority().is_some_and(|asked| *asked != host) {
        return Err(bad_request("Host is not the one of the request line."));
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
        Origin::parse(origin.as_bytes()).is_some_and(|origin| {
            origin.is_of(host)
                || policy
                    .listed
                    .iter()
                    .any(|listed| Origin::parse(listed.as_bytes()).as_ref() == Some(&origin))
        })
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

/// The client's order counts: it says what it likes best (RFC 6455 section 4.1).
fn choose(headers: &HeaderMap, known: &[&'static str]) -> Option<&'static str> {
    let mut offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().flat_map(tokens);
    offered.find_map(|offer| known.iter().copied().find(|known| known.as_bytes() == offer))
}

/// Where a page came from (RFC 6454).
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: Scheme,
    /// In lower case.
    host: String,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Origin {
    fn parse(origin: &[u8]) -> Option<Origin> {
        let colon = origin.iter().position(|byte| *byte == b':')?;
        let (scheme, rest) = origin.split_at_checked(colon)?;
        let scheme = if scheme.eq_ignore_ascii_case(b"http") {
            Scheme::Http
        } else if scheme.eq_ignore_ascii_case(b"https") {
            Scheme::Https
        } else {
            return None;
        };
        let authority = authority(rest.strip_prefix(b"://")?)?;
        let port = authority.port_u16().unwrap_or(scheme.default_port());
        Some(Origin {
            scheme,
            host: authority.host().to_ascii_lowercase(),
            port,
        })
    }

    /// Whether it is the host a request was sent to. A proxy may have taken TLS off, so a Host without a port stands for
    /// the default port of either scheme.
    fn is_of(&self, host: &Authority) -> bool {
        let port = host.port_u16().unwrap_or(self.scheme.default_port());
        self.host == host.host().to_ascii_lowercase() && self.port == port
    }
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// A host with or without a port; no user, and a port is a number.
fn authority(bytes: &[u8]) -> Option<Authority> {
    let authority = Authority::try_from(bytes).ok()?;
    let host = authority.host();
    let after_host = authority.as_str().strip_prefix(host)?;
    let is_plain = !host.is_empty() && (after_host.is_empty() || authority.port_u16().is_some());
    is_plain.then_some(authority)
}

/// The header's only value; an error if there are two.
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
/// What a key is joined with before it is hashed (RFC 6455 section 1.3).
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const FORBIDDEN: &str =
    "Pages of this Origin may not connect here; open the server's own page, or have its operator list the Origin.";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const STRICT: OriginPolicy<'static> = OriginPolicy {
        listed: &[],
        null: NullOrigin::Refused,
    };
    /// The request of RFC 6455 section 1.3, without Origin and subprotocols.
    const RIGHT: [(&str, &str); 5] = [
        ("host", "server.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let builder = Request::builder().uri("/chat");
        headers
            .iter()
            .fold(builder, |builder, (name, value)| builder.header(*name, *value))
            .body(())
            .unwrap()
    }

    fn with(name: &str, value: &str) -> Request<()> {
        let mut headers = RIGHT.to_vec();
        headers.retain(|(other, _)| *other != name);
        headers.push((name, value));
        request(&headers)
    }

    fn without(name: &str) -> Request<()> {
        request(
            &RIGHT
                .iter()
                .copied()
                .filter(|(other, _)| *other != name)
                .collect::<Vec<_>>(),
        )
    }

    fn status(request: &Request<()>) -> u16 {
        status_under(STRICT, request)
    }

    fn status_under(policy: OriginPolicy<'_>, request: &Request<()>) -> u16 {
        decide(request, policy, &[])
            .map_or_else(|no| no.response(), |yes| yes.response())
            .status()
            .as_u16()
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let mut headers = RIGHT.to_vec();
        headers.extend([
            ("origin", "http://example.com"),
            ("sec-websocket-protocol", "chat, superchat"),
        ]);
        let listed = ["http://example.com".to_owned()];
        let policy = OriginPolicy {
            listed: &listed,
            null: NullOrigin::Refused,
        };
        let upgrade = decide(&request(&headers), policy, &["superchat", "chat"]).unwrap();
        assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(upgrade.subprotocol, Some("chat"));

        let response = upgrade.response();
        assert_eq!(response.status(), 101);
        let expected = [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("sec-websocket-protocol", "chat"),
        ];
        assert_eq!(response.headers().len(), expected.len());
        for (name, value) in expected {
            assert_eq!(response.headers()[name], value, "{name}");
        }
    }

    #[test]
    fn without_any_one_header_it_is_refused() {
        assert_eq!(status(&request(&RIGHT)), 101);
        for (name, expected) in [
            ("host", 400),
            ("upgrade", 426),
            ("connection", 400),
            ("sec-websocket-key", 400),
            ("sec-websocket-version", 426),
        ] {
            assert_eq!(status(&without(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_header_that_comes_twice_is_refused() {
        let origin = ("origin", "http://server.example.com");
        for twice in RIGHT.into_iter().chain([origin]) {
            let mut headers = RIGHT.to_vec();
            headers.push(origin);
            assert_eq!(status(&request(&headers)), 101);
            headers.push(twice);
            assert_eq!(status(&request(&headers)), 400, "{}", twice.0);
        }
    }

    #[test]
    fn words_of_upgrade_and_connection_stand_in_lists_and_in_any_case() {
        for (name, value, expected) in [
            ("connection", "keep-alive, upgrade", 101),
            ("connection", "UPGRADE", 101),
            ("connection", "keep-alive", 400),
            ("connection", "upgraded", 400),
            ("upgrade", "WebSocket", 101),
            ("upgrade", "h2c,websocket", 101),
            ("upgrade", "websockets", 426),
            ("upgrade", "", 426),
        ] {
            assert_eq!(status(&with(name, value)), expected, "{name}: {value}");
        }
    }

    #[test]
    fn only_get_over_http_1_1_is_upgraded() {
        for method in [Method::POST, Method::HEAD, Method::OPTIONS, Method::CONNECT] {
            let mut wrong = request(&RIGHT);
            *wrong.method_mut() = method;
            let rejection = decide(&wrong, STRICT, &[]).unwrap_err();
            assert_eq!(
                (rejection.status.as_u16(), rejection.headers),
                (405, &[("allow", "GET")][..])
            );
        }
        for version in [Version::HTTP_10, Version::HTTP_2] {
            let mut wrong = request(&RIGHT);
            *wrong.version_mut() = version;
            assert_eq!(status(&wrong), 400);
        }
    }

    #[test]
    fn another_version_is_told_which_one_is_spoken() {
        for version in ["8", "12", "14", "013", "13, 8", ""] {
            let rejection = decide(&with("sec-websocket-version", version), STRICT, &[]).unwrap_err();
            assert_eq!(rejection.status, 426, "{version}");
            let response = rejection.response();
            assert_eq!(response.headers()["sec-websocket-version"], "13");
            assert_eq!(response.headers()["upgrade"], "websocket");
        }
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_strict_base64() {
        for (key, expected) in [
            ("AAAAAAAAAAAAAAAAAAAAAA==", 101),
            ("+/+/+/+/+/+/+/+/+/+/+w==", 101),
            ("", 400),
            ("AAAAAAAAAAAAAAAAAAAAAA", 400),
            ("AAAAAAAAAAAAAAAAAAAAAAA=", 400),
            ("AAAAAAAAAAAAAAAAAAAAAAAA", 400),
            // Bits behind the last byte are not zero.
            ("AAAAAAAAAAAAAAAAAAAAAB==", 400),
            // The URL's alphabet.
            ("-_-_-_-_-_-_-_-_-_-_-w==", 400),
            ("AAAAAAAAAAAAAAAAAAAA====", 400),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAA==", 400),
            ("short", 400),
        ] {
            assert_eq!(status(&with("sec-websocket-key", key)), expected, "{key}");
        }
    }

    #[test]
    fn a_request_with_a_body_is_refused() {
        assert_eq!(status(&with("content-length", "0")), 101);
        assert_eq!(status(&with("content-length", "5")), 400);
        assert_eq!(status(&with("transfer-encoding", "chunked")), 400);
    }

    #[test]
    fn a_page_of_the_same_host_and_port_is_let_in() {
        for (host, origin, expected) in [
            ("a.org", "http://a.org", 101),
            ("a.org", "https://a.org", 101),
            ("a.org", "https://A.ORG:443", 101),
            ("A.org:8080", "http://a.org:8080", 101),
            ("a.org:80", "http://a.org", 101),
            ("[::1]:8080", "http://[::1]:8080", 101),
            ("a.org:8080", "http://a.org", 403),
            ("a.org", "http://a.org:8080", 403),
            ("a.org", "http://b.org", 403),
            ("a.org", "http://a.org.b.org", 403),
            ("a.org", "http://b.org@a.org", 403),
            ("a.org", "http://a.org/", 403),
            ("a.org", "http://a.org b.org", 403),
            ("a.org", "file://a.org", 403),
            ("a.org", "a.org", 403),
            ("a.org", "", 403),
            ("a.org", "null", 403),
        ] {
            let mut headers = RIGHT.to_vec();
            headers.retain(|(name, _)| *name != "host");
            headers.extend([("host", host), ("origin", origin)]);
            assert_eq!(status(&request(&headers)), expected, "{host} {origin}");
        }
    }

    #[test]
    fn a_listed_origin_and_null_are_let_in_where_the_caller_says_so() {
        let listed = [
            "https://chat.example.org".to_owned(),
            "http://localhost:3000".to_owned(),
        ];
        let listing = OriginPolicy {
            listed: &listed,
            null: NullOrigin::Refused,
        };
        for (origin, expected) in [
            ("https://chat.example.org", 101),
            ("https://chat.example.org:443", 101),
            ("http://chat.example.org", 403),
            ("http://localhost:3000", 101),
            ("http://localhost:3001", 403),
            ("null", 403),
        ] {
            assert_eq!(status_under(listing, &with("origin", origin)), expected, "{origin}");
        }
        let legacy = OriginPolicy {
            listed: &[],
            null: NullOrigin::Allowed,
        };
        assert_eq!(status_under(legacy, &with("origin", "null")), 101);
        assert_eq!(status_under(legacy, &with("origin", "http://b.org")), 403);
    }

    #[test]
    fn a_host_that_is_no_host_is_refused() {
        for host in [
            "",
            "a b",
            "user@a.org",
            "a.org:",
            "a.org:port",
            "a.org:99999",
            "a.org/x",
        ] {
            assert_eq!(status(&with("host", host)), 400, "{host}");
        }
        let mut absolute = request(&RIGHT);
        *absolute.uri_mut() = "http://server.example.com/chat".parse().unwrap();
        assert_eq!(status(&absolute), 101);
        *absolute.uri_mut() = "http://other.example.com/chat".parse().unwrap();
        assert_eq!(status(&absolute), 400);
    }

    #[test]
    fn the_first_offered_subprotocol_that_is_known_is_chosen() {
        let chosen = |offers: &[&str]| {
            let mut headers = RIGHT.to_vec();
            headers.extend(offers.iter().map(|offer| ("sec-websocket-protocol", *offer)));
            decide(&request(&headers), STRICT, &["plaza.v1.proto", "plaza.v1.json"])
                .unwrap()
                .subprotocol
        };
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&["mqtt"]), None);
        assert_eq!(chosen(&["mqtt,plaza.v1.json ,plaza.v1.proto"]), Some("plaza.v1.json"));
        assert_eq!(chosen(&["mqtt", "plaza.v1.proto"]), Some("plaza.v1.proto"));
        assert_eq!(chosen(&["PLAZA.V1.JSON"]), None);
    }

    #[test]
    fn a_refusal_is_one_sentence_of_plain_text() {
        let response = decide(&with("origin", "http://b.org"), STRICT, &[])
            .unwrap_err()
            .response();
        assert_eq!(response.status(), 403);
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    }
}
