//! `X-Forwarded-For`: the address of a client behind trusted proxies. A client cannot choose its own.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HeaderMap, HeaderValue};

use crate::{config::Http, limits};

/// The client's address: follows the hops back from the nearest one to the first that is not a trusted proxy.
pub(super) fn client_address(http: &Http, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
    let mut client = peer;
    // The lines form one list (RFC 9110 section 5.3). If one were skipped, the client's own claim could take its place.
    let lines: Vec<&[u8]> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let hops = lines.iter().flat_map(|line| line.split(|byte| *byte == b','));
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

/// `192.0.2.7`, `192.0.2.7:50123`, `2001:db8::7`, `[2001:db8::7]` or `[2001:db8::7]:50123`; a missing port is 0.
fn hop_address(hop: &[u8]) -> Option<SocketAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
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

pub(super) const FORWARDED_FOR: &str = "x-forwarded-for";

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;

    fn seen(trusted: &str, peer: &str, forwarded: &[&str]) -> String {
        let http = Http {
            allowed_origins: Vec::new(),
            trusted_proxies: trusted
                .split(' ')
                .filter(|network| !network.is_empty())
                .map(network)
                .collect(),
            handshake_timeout: limits::HANDSHAKE_TIME,
            keep_alive: limits::HANDSHAKE_TIME,
        };
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        client_address(&http, peer.parse().unwrap(), &headers).to_string()
    }

    fn network(text: &str) -> IpNet {
        text.parse().unwrap_or_else(|_| text.parse::<IpAddr>().unwrap().into())
    }

    #[test]
    fn a_client_cannot_choose_its_own_address() {
        assert_eq!(seen("", "192.0.2.7:5", &["198.51.100.9"]), "192.0.2.7:5");
        assert_eq!(seen("10.0.0.1", "192.0.2.7:5", &["198.51.100.9"]), "192.0.2.7:5");
        // Entries that the header had before the proxy appended to it are the client's own claim.
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
    #[test]
    fn a_line_that_cannot_be_read_does_not_uncover_what_stands_before_it() {
        // The client sent both lines, and the proxy added to the second.
        let forged = ["198.51.100.9", "\u{ff}, 192.0.2.7"];
        assert_eq!(seen("10.0.0.1", "10.0.0.1:5", &forged), "192.0.2.7:0");
        let forged = ["198.51.100.9", "\u{ff}, 10.0.0.2"];
        assert_eq!(seen("10.0.0.0/8", "10.0.0.1:5", &forged), "10.0.0.2:0");
    }
}
