//! The pages, embedded in the binary.
//!
//! Invariant: a page runs only scripts and styles of this server, connects only to this host, and cannot be framed.

use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
        REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};
use rust_embed::RustEmbed;

/// Every file for browsers, without tests and tools.
#[derive(RustEmbed)]
#[folder = "web/"]
#[include = "*.html"]
#[include = "*.js"]
#[include = "*.css"]
#[include = "*.svg"]
#[exclude = "tests/*"]
#[exclude = "node_modules/*"]
struct Web;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' http: https: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The schema of document 000's clients, which its page loads at run time.
const CONNECT_PROTO: &[u8] = include_bytes!("../../proto/legacy/communication.proto");

/// The page at this path, if there is one.
pub(super) fn find(path: &str, headers: &HeaderMap, legacy: bool) -> Option<Response<Full<Bytes>>> {
    let file = match path {
        "/" => "index.html",
        "/connect.proto" if legacy => {
            return Some(respond("text/plain; charset=utf-8", Bytes::from_static(CONNECT_PROTO)));
        }
        "/communication" if legacy => "communication/home.html",
        "/home/index" | "/home/room" if legacy => "action/home.html",
        _ => path.strip_prefix('/').filter(|file| !file.ends_with(".html"))?,
    };
    let page = Web::get(file)?;
    let tag = tag(&page.metadata.sha256_hash());
    if is_known(headers, &tag) {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Some(response);
    }
    let body = match page.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let mut response = respond(content_type(file), body);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    Some(response)
}

/// Whether the browser, or a cache before it that marks tags as weak, has this version (RFC 9110 section 13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter();
    let mut tags = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    tags.any(|known| known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == tag.as_bytes())
}

fn respond(content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // The browser revalidates each time, mostly without a transfer, so that an update is seen at once.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn content_type(file: &str) -> &'static str {
    match file.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// A short entity tag made of the file's hash.
fn tag(hash: &[u8; 32]) -> String {
    use std::fmt::Write;
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in &hash[..16] {
        // Writing to a string cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}
