//! The PROXY protocol, versions 1 and 2: the header in which a proxy names the client, before the client's own bytes.
//!
//! Invariants: anything that is not exactly a header is refused, and [`read`] consumes no byte after it. This module does not decide
//! whether the peer is a trusted proxy: the caller does that first.
//!
//! Source: HAProxy's "The PROXY protocol, versions 1 & 2".

use std::{
    fmt,
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use crate::{limits, shard::Arriving};

/// The result of parsing some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The beginning of a header that has at least this many bytes.
    Partial(usize),
    /// A whole header.
    Header {
        /// The client; `None`: the proxy itself has connected, as for a health check.
        client: Option<SocketAddr>,
        /// Bytes of the header.
        bytes: usize,
    },
}

/// Why a connection does not begin with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyFault {
    /// It begins with something else.
    NoHeader,
    /// A line of version 1 that breaks its grammar.
    BadLine,
    /// A version 2 header with a wrong version, command, family or length.
    BadBinary,
    /// Longer than allowed.
    Long,
    /// The connection ended inside it.
    Cut,
}

/// Reads a header at the front of these bytes.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyFault> {
    if bytes.is_empty() {
        // Every header has at least this many bytes.
        Ok(Parsed::Partial(SHORTEST_LINE))
    } else if begins(bytes, BINARY) {
        binary(bytes)
    } else if begins(bytes, LINE) {
        line(bytes)
    } else {
        Err(ProxyFault::NoHeader)
    }
}

/// Reads a header from a socket, and not one byte more.
pub(super) async fn read(arriving: &mut Arriving) -> Result<Option<SocketAddr>, ProxyFault> {
    let mut header = Vec::with_capacity(LINE_BYTES);
    loop {
        let wanted = match parse(&header)? {
            Parsed::Header { client, .. } => return Ok(client),
            Parsed::Partial(wanted) => wanted,
        };
        let begin = header.len();
        let wanted = if begin >= SHORTEST_LINE && header.starts_with(LINE) {
            // Peek for the end of the line, then read exactly the line.
            let mut ahead = [0; LINE_BYTES];
            let seen = poll_fn(|context| arriving.poll_peek(context, &mut ahead)).await;
            let seen = seen.map_err(|_| ProxyFault::Cut)?;
            let line = ahead
                .iter()
                .take(seen)
                .position(|byte| *byte == b'\n')
                .map_or(seen, |end| end + 1);
            begin + line.clamp(1, LINE_BYTES - begin)
        } else {
            // A header has at least this many bytes, so reading them takes none of the client's own.
            wanted
        };
        header.resize(wanted, 0);
        let mut filled = begin;
        while let Some(missing) = header.get_mut(filled..).filter(|missing| !missing.is_empty()) {
            match poll_fn(|context| arriving.poll_read(context, missing)).await {
                Ok(0) | Err(_) => return Err(ProxyFault::Cut),
                Ok(read) => filled += read,
            }
        }
    }
}

fn line(bytes: &[u8]) -> Result<Parsed, ProxyFault> {
    let Some(end) = bytes.iter().take(LINE_BYTES).position(|byte| *byte == b'\n') else {
        if bytes.len() >= LINE_BYTES {
            return Err(ProxyFault::Long);
        }
        // Beyond the shortest line, only the next byte certainly belongs to it.
        return Ok(Parsed::Partial(SHORTEST_LINE.max(bytes.len() + 1)));
    };
    let text = bytes
        .get(..end)
        .and_then(|text| text.strip_suffix(b"\r"))
        .ok_or(ProxyFault::BadLine)?;
    let text = std::str::from_utf8(text).map_err(|_| ProxyFault::BadLine)?;
    let mut words = text.split(' ').skip(1);
    let client = match words.next() {
        // The specification says to ignore the rest.
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(addresses::<Ipv4Addr>(words)?),
        Some("TCP6") => Some(addresses::<Ipv6Addr>(words)?),
        Some(_) | None => return Err(ProxyFault::BadLine),
    };
    Ok(Parsed::Header { client, bytes: end + 1 })
}

/// Source, destination and their ports, and nothing more.
fn addresses<'a, A: FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Result<SocketAddr, ProxyFault> {
    let mut address = || {
        words
            .next()
            .and_then(|word| word.parse::<A>().ok())
            .ok_or(ProxyFault::BadLine)
    };
    let (source, _destination) = (address()?, address()?);
    let mut port = || words.next().and_then(port).ok_or(ProxyFault::BadLine);
    let (source_port, _destination_port) = (port()?, port()?);
    match words.next() {
        None => Ok(SocketAddr::new(source.into(), source_port)),
        Some(_) => Err(ProxyFault::BadLine),
    }
}

/// Decimal, without a sign or leading zeros.
fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

fn binary(bytes: &[u8]) -> Result<Parsed, ProxyFault> {
    let Some(head) = bytes.first_chunk::<BINARY_HEAD>() else {
        return Ok(Parsed::Partial(BINARY_HEAD));
    };
    let [.., command, family, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let own = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyFault::BadBinary),
    };
    // The upper half is the address family, the lower one the transport: unspecified, or a stream over IPv4, IPv6 or a local socket.
    let least = match family {
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(ProxyFault::BadBinary),
    };
    // A connection of the proxy itself need not have addresses.
    if length < least && !own {
        return Err(ProxyFault::BadBinary);
    }
    if length > limits::PROXY_HEADER_BYTES - BINARY_HEAD {
        return Err(ProxyFault::Long);
    }
    let Some(rest) = bytes.get(BINARY_HEAD..BINARY_HEAD + length) else {
        return Ok(Parsed::Partial(BINARY_HEAD + length));
    };
    let client = match (own, family) {
        (false, 0x11) => rest
            .first_chunk::<12>()
            .map(|&[a, b, c, d, _, _, _, _, high, low, _, _]| {
                SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]))
            }),
        (false, 0x21) => match (rest.first_chunk::<16>(), rest.get(32..34)) {
            (Some(address), Some(&[high, low])) => Some(SocketAddr::new(
                Ipv6Addr::from(*address).into(),
                u16::from_be_bytes([high, low]),
            )),
            _ => None,
        },
        // The proxy itself, a local socket, or an unknown family: the address of the socket counts.
        _ => None,
    };
    Ok(Parsed::Header {
        client,
        bytes: BINARY_HEAD + length,
    })
}

/// Whether one of the two is a prefix of the other.
fn begins(bytes: &[u8], mark: &[u8]) -> bool {
    let common = bytes.len().min(mark.len());
    bytes.get(..common) == mark.get(..common)
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHeader => "it does not begin with the PROXY protocol",
            Self::BadLine => "its line of the PROXY protocol is malformed",
            Self::BadBinary => "its binary header of the PROXY protocol is malformed",
            Self::Long => "its header of the PROXY protocol is too long",
            Self::Cut => "it ended inside the PROXY protocol's header",
        })
    }
}

const LINE: &[u8] = b"PROXY ";
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of a version 2 header before its addresses.
const BINARY_HEAD: usize = 16;
/// The longest line of version 1, as its specification counts.
const LINE_BYTES: usize = 107;
/// `PROXY UNKNOWN` and the end of the line. Version 2 is longer.
const SHORTEST_LINE: usize = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(bytes: &[u8]) -> Result<Option<String>, ProxyFault> {
        match parse(bytes)? {
            Parsed::Header { client, bytes: taken } => {
                assert!(taken <= bytes.len());
                Ok(client.map(|client| client.to_string()))
            }
            Parsed::Partial(wanted) => panic!("{wanted} bytes are wanted of {}", bytes.len()),
        }
    }

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = BINARY.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn lines_of_version_1_name_the_client() {
        for (line, named) in [
            (
                "PROXY TCP4 192.0.2.7 198.51.100.1 50123 80\r\n",
                Some("192.0.2.7:50123"),
            ),
            (
                "PROXY TCP6 2001:db8::7 2001:db8::1 65535 443\r\n",
                Some("[2001:db8::7]:65535"),
            ),
            ("PROXY TCP4 192.0.2.7 198.51.100.1 0 0\r\n", Some("192.0.2.7:0")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
        ] {
            assert_eq!(client(line.as_bytes()).unwrap().as_deref(), named, "{line}");
        }
    }

    #[test]
    fn lines_that_break_the_grammar_are_refused() {
        for line in [
            "PROXY TCP4 192.0.2.7 198.51.100.1 50123\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 50123 80 90\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 65536 80\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 050 80\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 +50 80\r\n",
            "PROXY TCP4 192.0.2.07 198.51.100.1 50 80\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 50 80\r\n",
            "PROXY TCP6 192.0.2.7 198.51.100.1 50 80\r\n",
            "PROXY TCP4  192.0.2.7 198.51.100.1 50 80\r\n",
            "PROXY TCP5 192.0.2.7 198.51.100.1 50 80\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 50 80\n",
            "PROXY  UNKNOWN\r\n",
            "PROXY unknown\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(client(line.as_bytes()), Err(ProxyFault::BadLine), "{line:?}");
        }
        assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Err(ProxyFault::NoHeader));
        assert_eq!(parse(b"proxy TCP4"), Err(ProxyFault::NoHeader));
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        assert_eq!(parse(long.as_bytes()), Err(ProxyFault::Long));
    }

    #[test]
    fn headers_of_version_2_name_the_client() {
        let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 0xC3, 0xCB, 0, 80];
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        v6[32..34].copy_from_slice(&443_u16.to_be_bytes());
        let mut with_more = v4.to_vec();
        with_more.extend([0x04, 0, 1, 0]);
        for (command, family, rest, named) in [
            (0x21, 0x11, &v4[..], Some("192.0.2.7:50123")),
            (0x21, 0x11, &with_more, Some("192.0.2.7:50123")),
            (0x21, 0x21, &v6, Some("[2001:db8::7]:443")),
            (0x20, 0x00, &[], None),
            (0x20, 0x11, &v4, None),
            (0x21, 0x31, &[0; 216], None),
            (0x21, 0x00, &[], None),
        ] {
            assert_eq!(client(&version_2(command, family, rest)).unwrap().as_deref(), named);
        }
    }

    #[test]
    fn headers_of_version_2_that_are_wrong_are_refused() {
        for (command, family, rest, fault) in [
            (0x11, 0x11, vec![0; 12], ProxyFault::BadBinary),
            (0x22, 0x11, vec![0; 12], ProxyFault::BadBinary),
            (0x21, 0x12, vec![0; 12], ProxyFault::BadBinary),
            (0x21, 0x41, vec![0; 12], ProxyFault::BadBinary),
            (0x21, 0x11, vec![0; 11], ProxyFault::BadBinary),
            (0x21, 0x21, vec![0; 35], ProxyFault::BadBinary),
            (0x21, 0x11, vec![0; limits::PROXY_HEADER_BYTES], ProxyFault::Long),
        ] {
            assert_eq!(parse(&version_2(command, family, &rest)), Err(fault));
        }
    }

    #[test]
    fn what_is_read_blindly_is_never_more_than_the_header() {
        let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 0xC3, 0xCB, 0, 80];
        for header in [
            b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 80\r\n".to_vec(),
            b"PROXY UNKNOWN\r\n".to_vec(),
            version_2(0x21, 0x11, &v4),
            version_2(0x20, 0x00, &[]),
        ] {
            for length in 0..header.len() {
                match parse(&header[..length]) {
                    Ok(Parsed::Partial(wanted)) => assert!((length + 1..=header.len()).contains(&wanted)),
                    other => panic!("{length} bytes of {header:?} gave {other:?}"),
                }
            }
            let mut followed = header.clone();
            followed.extend(b"GET / HTTP/1.1\r\n");
            assert!(matches!(parse(&followed), Ok(Parsed::Header { bytes, .. }) if bytes == header.len()));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_understood_or_refused_within_the_bound(bytes: Vec<u8>, marked in 0..3) {
            let mark: &[u8] = match marked { 0 => b"", 1 => LINE, _ => BINARY };
            let bytes = [mark, &bytes].concat();
            if let Ok(Parsed::Partial(wanted)) = parse(&bytes) {
                prop_assert!(wanted > bytes.len() && wanted <= limits::PROXY_HEADER_BYTES);
            }
        }
    }
}
