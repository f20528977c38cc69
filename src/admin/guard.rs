//! Refuses pages of other origins: only programs and pages of the listener's own address may use it.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::{Body as _, Incoming},
    header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN},
};

use super::http::HttpAnswer;

/// Refuses requests that a browser marks as cross-origin.
pub(super) fn not_from_another_page(headers: &HeaderMap) -> Result<(), HttpAnswer> {
    let host = header(headers, &HOST);
    let own_origin =
        |origin: &str| host.is_some_and(|host| origin.split_once("://").is_some_and(|(_, from)| from == host));
    let foreign_origin = headers.contains_key(ORIGIN) && !header(headers, &ORIGIN).is_some_and(own_origin);
    let site = HeaderName::from_static("sec-fetch-site");
    let foreign_site = headers.contains_key(&site) && !matches!(header(headers, &site), Some("same-origin" | "none"));
    if foreign_origin || foreign_site {
        let sentence = "pages of other origins may not use the admin listener; send the request without a browser";
        return Err(HttpAnswer::error(StatusCode::FORBIDDEN, sentence));
    }
    Ok(())
}

/// Requires an IP address in the Host: a hostile page can point a name of its own at this address (DNS rebinding).
pub(super) fn by_address(headers: &HeaderMap) -> Result<(), HttpAnswer> {
    let host = header(headers, &HOST).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    if name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let sentence = format!("the Host {host:?} is a name; use the listener's IP address, or localhost");
    Err(HttpAnswer::error(StatusCode::FORBIDDEN, &sentence))
}

/// Requires JSON for every change, because an HTML form cannot send it. A form cannot send PUT or DELETE either, so these need no
/// type if they have no body.
pub(super) fn not_from_a_form(request: &Request<Incoming>) -> Result<(), HttpAnswer> {
    match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        Method::PUT | Method::DELETE
            if request.body().is_end_stream() && !request.headers().contains_key(CONTENT_TYPE) =>
        {
            Ok(())
        }
        Method::POST | Method::PUT | Method::DELETE => {
            let kind = header(request.headers(), &CONTENT_TYPE).unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            if kind.eq_ignore_ascii_case("application/json") {
                return Ok(());
            }
            let sentence = format!("the Content-Type is {kind:?}; send application/json");
            Err(HttpAnswer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &sentence))
        }
        _ => Err(HttpAnswer::error(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET, POST, PUT and DELETE are allowed",
        )),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
