//! The `Origin` of a page (RFC 6454), and the pattern of an origin that the operator allows.
//!
//! Invariants: scheme and host are in lower case, an IPv6 address is in its short form, and the default port of `http` or `https` is
//! never written out, so two spellings of one origin are equal. `null` is not an origin; the caller handles it.

use std::{fmt, net::Ipv6Addr};

use hyper::http::uri::Authority;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    /// Empty only under `file`.
    host: String,
    /// `None`: the scheme's default, or none.
    port: Option<u16>,
}

/// Origins that the operator allows: one, or all hosts below a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigin {
    scheme: String,
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    /// This host alone.
    One(String),
    /// `*.example.com`: one or more labels before it, and not the name itself.
    Below(String),
    /// `*`, for the schemes of apps and extensions: Firefox and Safari give each installation another host.
    Any,
}

impl Origin {
    pub(super) fn parse(origin: &[u8]) -> Option<Self> {
        let origin = std::str::from_utf8(origin).ok()?;
        let (scheme, rest) = origin.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        if !is_scheme(&scheme) {
            return None;
        }
        if rest.is_empty() && scheme == FILE {
            return Some(Self {
                scheme,
                host: String::new(),
                port: None,
            });
        }
        let authority = authority(rest.as_bytes())?;
        Some(Self {
            host: canonical(authority.host()),
            port: authority.port_u16().filter(|port| Some(*port) != default_port(&scheme)),
            scheme,
        })
    }

    /// Whether the page comes from the requested host. A proxy may have terminated TLS, so a Host without a port stands for the
    /// default port of either scheme.
    pub(super) fn is_of(&self, host: &Authority) -> bool {
        let Some(default) = default_port(&self.scheme) else {
            // No server delivers pages with an app's scheme.
            return false;
        };
        let port = host.port_u16().unwrap_or(default);
        self.host == canonical(host.host()) && self.port.unwrap_or(default) == port
    }
}

impl AllowedOrigin {
    /// Parses a setting. The error completes "… is "x", ".
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(match text {
                "*" => "which would let every page connect with its visitors' names; list the origins one by one".to_owned(),
                "null" => {
                    "which is the origin of every sandboxed frame and of every page opened as a file in a browser, so that it \
                     tells nobody apart"
                        .to_owned()
                }
                _ => "which has no scheme".to_owned(),
            });
        };
        let scheme = scheme.to_ascii_lowercase();
        check_scheme(&scheme)?;
        if let Some(at) = rest.find(['/', '?', '#']) {
            let seen = match rest.get(at..).unwrap_or_default() {
                "/" => "a slash",
                behind if behind.starts_with('/') => "a path",
                _ => "a query or a fragment",
            };
            return Err(format!(
                "which has {seen} after the host; browsers send neither path nor query"
            ));
        }
        if !rest.is_ascii() {
            return Err("whose host is not ASCII; write it as browsers send it, with xn-- labels".to_owned());
        }
        if rest == "*" {
            return if is_web(&scheme) {
                Err(format!(
                    "which would let every {scheme} page connect; name a domain, as in {scheme}://*.example.com"
                ))
            } else {
                Ok(Self {
                    scheme,
                    hosts: Hosts::Any,
                    port: None,
                })
            };
        }
        let (below, plain) = match rest.strip_prefix("*.") {
            Some(plain) => (true, plain),
            None => (false, rest),
        };
        if plain.ends_with(":*") || rest.starts_with("*:") {
            return Err("which has * with a port; give each host, or https://*.example.com, with each port".to_owned());
        }
        if plain.contains('*') {
            return Err(
                "where * is not the whole first label; only the front of a host may vary, as in https://*.example.com"
                    .to_owned(),
            );
        }
        let Some(origin) = Origin::parse(format!("{scheme}://{plain}").as_bytes()) else {
            return Err("which has more or less than a host and a port after ://".to_owned());
        };
        let Origin { scheme, host, port } = origin;
        let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
        if below && is_address {
            return Err("where * is before an IP address, which has no subdomains".to_owned());
        }
        // A host name may end with a dot (the DNS root). Apps may use the dot alone: `app://.`.
        let labels = host.strip_suffix('.').unwrap_or(&host);
        if is_web(&scheme) && labels.split('.').any(str::is_empty) {
            return Err(
                "whose host has an empty label; for all hosts below a name write https://*.example.com".to_owned(),
            );
        }
        let hosts = if below { Hosts::Below(host) } else { Hosts::One(host) };
        Ok(Self { scheme, hosts, port })
    }

    /// Whether a page of this origin is allowed.
    pub(super) fn allows(&self, origin: &Origin) -> bool {
        let host = match &self.hosts {
            Hosts::One(host) => origin.host == *host,
            Hosts::Below(name) => origin
                .host
                .strip_suffix(name.as_str())
                .and_then(|labels| labels.strip_suffix('.'))
                .is_some_and(|labels| labels.split('.').all(|label| !label.is_empty())),
            Hosts::Any => return origin.scheme == self.scheme,
        };
        host && origin.scheme == self.scheme && origin.port == self.port
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, hosts, port } = self;
        match hosts {
            Hosts::One(host) => write!(f, "{scheme}://{host}")?,
            Hosts::Below(name) => write!(f, "{scheme}://*.{name}")?,
            Hosts::Any => write!(f, "{scheme}://*")?,
        }
        match port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// As browsers write a host: in lower case, an IPv6 address in its short form.
fn canonical(host: &str) -> String {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match inside.and_then(|address| address.parse::<Ipv6Addr>().ok()) {
        Some(address) => format!("[{address}]"),
        None => host.to_ascii_lowercase(),
    }
}

/// A host with or without a port; no user, and a port is a number.
pub(super) fn authority(bytes: &[u8]) -> Option<Authority> {
    let authority = Authority::try_from(bytes).ok()?;
    let host = authority.host();
    let after_host = authority.as_str().strip_prefix(host)?;
    let is_plain = !host.is_empty() && (after_host.is_empty() || authority.port_u16().is_some());
    is_plain.then_some(authority)
}

/// An app may use any scheme, so only known mistakes can be refused.
fn check_scheme(scheme: &str) -> Result<(), String> {
    if !is_scheme(scheme) {
        return Err(format!("whose scheme {scheme:?} is not letters, digits, +, - and ."));
    }
    if matches!(scheme, "ws" | "wss") {
        return Err(
            "which is the address of a WebSocket; give that of the page, which begins with http:// or https://"
                .to_owned(),
        );
    }
    if NEVER_SENT.contains(&scheme) {
        return Err(format!("whose scheme {scheme:?} no browser sends as an origin"));
    }
    // `htps`, `htpps`, `httpss`: the operator meant https, and no browser sends these.
    if !is_web(scheme) && scheme.starts_with('h') && scheme.chars().all(|c| "https".contains(c)) {
        return Err(format!("whose scheme {scheme:?} looks like a misspelt https"));
    }
    Ok(())
}

/// RFC 3986 section 3.1.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn is_web(scheme: &str) -> bool {
    default_port(scheme).is_some()
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// What Electron sends for a page opened as a file; browsers send `null`.
const FILE: &str = "file";
/// Pages with these schemes have the origin `null`, or that of their creator.
const NEVER_SENT: [&str; 6] = ["about", "blob", "data", "ftp", "javascript", "mailto"];

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(allowed: &str, origin: &str) -> bool {
        let allowed = AllowedOrigin::parse(allowed).unwrap_or_else(|problem| panic!("{allowed}, {problem}"));
        Origin::parse(origin.as_bytes()).is_some_and(|origin| allowed.allows(&origin))
    }

    #[test]
    fn an_origin_is_allowed_by_scheme_host_and_port() {
        for (allowed, origin) in [
            ("https://Chat.Example.org", "https://chat.example.org"),
            ("https://chat.example.org:443", "https://chat.example.org"),
            ("http://localhost:3000", "http://LOCALHOST:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
            ("http://[2001:DB8::0:7]", "http://[2001:db8::7]"),
            ("https://chat.example.org.", "https://chat.example.org."),
            ("capacitor://localhost", "capacitor://localhost"),
            ("ionic://localhost", "ionic://localhost"),
            ("tauri://localhost", "tauri://localhost"),
            ("http://tauri.localhost", "http://tauri.localhost"),
            ("app://obsidian.md", "app://obsidian.md"),
            ("app://.", "app://."),
            ("file://", "file://"),
            (
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            ),
            (
                "moz-extension://0d1c4ee3-9b2d-4f0a-8a65-0c6a2b7c6f11",
                "moz-extension://0d1c4ee3-9b2d-4f0a-8a65-0c6a2b7c6f11",
            ),
            (
                "moz-extension://*",
                "moz-extension://0d1c4ee3-9b2d-4f0a-8a65-0c6a2b7c6f11",
            ),
        ] {
            assert!(allows(allowed, origin), "{allowed} {origin}");
        }
        for (allowed, origin) in [
            ("https://chat.example.org", "http://chat.example.org"),
            ("https://chat.example.org", "https://chat.example.org:8443"),
            ("capacitor://localhost", "ionic://localhost"),
            ("capacitor://localhost", "http://localhost"),
            ("capacitor://localhost", "capacitor://localhost.evil.org"),
            (
                "moz-extension://*",
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            ),
            ("file://", "file://host"),
            ("file://", "null"),
        ] {
            assert!(!allows(allowed, origin), "{allowed} {origin}");
        }
    }

    #[test]
    fn a_star_stands_for_one_or_more_labels_and_not_for_none() {
        let allowed = "https://*.example.com";
        for origin in [
            "https://a.example.com",
            "https://a.b.example.com",
            "https://A.EXAMPLE.com:443",
        ] {
            assert!(allows(allowed, origin), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://evilexample.com",
            "https://.example.com",
            "https://a..example.com",
            "https://a.example.com.evil.org",
            "https://a.example.com:8443",
            "http://a.example.com",
        ] {
            assert!(!allows(allowed, origin), "{origin}");
        }
        assert!(allows("http://*.example.com:8080", "http://a.example.com:8080"));
    }

    #[test]
    fn mistakes_say_what_was_seen() {
        for (text, sentence) in [
            ("chat.example.org", "has no scheme"),
            ("*", "every page"),
            ("null", "sandboxed"),
            ("https://*", "every https page"),
            ("https://x/", "a slash"),
            ("https://x/chat", "a path"),
            ("https://x?", "a query or a fragment"),
            ("https://x#/chat", "a query or a fragment"),
            ("http://localhost:*", "* with a port"),
            ("https://*.example.com:*", "* with a port"),
            ("http://*:8080", "* with a port"),
            ("https://.example.com", "an empty label"),
            ("https://*..example.com", "an empty label"),
            ("https://.", "an empty label"),
            ("https://", "more or less than a host"),
            ("https://x:99999", "more or less than a host"),
            ("https://user@x", "more or less than a host"),
            ("https://a b", "more or less than a host"),
            ("capacitor://", "more or less than a host"),
            ("https://a.*.example.com", "the whole first label"),
            ("https://*example.com", "the whole first label"),
            ("https://*.10.0.0.1", "an IP address"),
            ("https://*.[::1]", "an IP address"),
            ("https://bücher.example", "xn--"),
            ("wss://chat.example.org", "address of a WebSocket"),
            ("ftp://x", "no browser sends"),
            ("htps://chat.example.org", "misspelt https"),
            ("httpss://chat.example.org", "misspelt https"),
            ("ht tp://chat.example.org", "is not letters"),
        ] {
            let problem = AllowedOrigin::parse(text).map(|allowed| allowed.to_string());
            assert!(
                problem.as_ref().is_err_and(|problem| problem.contains(sentence)),
                "{text}: {problem:?}"
            );
        }
    }

    #[test]
    fn an_allowed_origin_is_shown_as_it_can_be_written() {
        for text in [
            "https://*.example.com:8443",
            "moz-extension://*",
            "file://",
            "http://[::1]:3000",
        ] {
            assert_eq!(
                AllowedOrigin::parse(text).map(|allowed| allowed.to_string()).as_deref(),
                Ok(text)
            );
        }
    }
}
