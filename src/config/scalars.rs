//! Parses each kind of value from text, and formats it as text that parses to the same value.
//!
//! Durations and sizes are parsed here instead of by `humantime` and `bytesize`; ARCHITECTURE.md has the reasons.

use std::{
    cmp::Ordering,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    types::{ByteCount, DialectName, Listen, ProxyProtocol, RoomPattern, UserNames},
    value::Scalar,
};
use crate::{
    chat::{RoomName, UserName},
    history::Durability,
    observe::LogFormat,
    wire::origin::AllowedOrigin,
};

impl Scalar for bool {
    fn kind() -> String {
        "true or false".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("which is neither true nor false".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn quoted() -> bool {
        false
    }
}

macro_rules! numbers {
    ($($type:ty, $kind:literal, $problem:literal;)*) => {$(
        impl Scalar for $type {
            fn kind() -> String {
                $kind.to_owned()
            }

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| $problem.to_owned())
            }

            fn show(&self) -> String {
                format!("{self:?}")
            }

            fn quoted() -> bool {
                false
            }

            fn order(&self, other: &Self) -> Option<Ordering> {
                // NaN counts as the least value, so that the bounds refuse it.
                Some(self.partial_cmp(other).unwrap_or(Ordering::Less))
            }
        }
    )*};
}

numbers! {
    u32, "a whole number", "which is not a whole number that fits";
    u64, "a whole number", "which is not a whole number that fits";
    usize, "a whole number", "which is not a whole number that fits";
    f64, "a number such as 2.0", "which is not a number";
}

impl Scalar for Duration {
    fn kind() -> String {
        "a time such as \"10ms\", \"25s\", \"5min\", \"1h30min\" or \"30d\"".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self::ZERO);
        }
        let (mut rest, mut total) = (text, 0_u64);
        loop {
            let (number, after) = split_number(rest).ok_or("which is not a time")?;
            let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let unit = match unit.trim() {
                "" => return Err("which has no unit".to_owned()),
                unit => DURATIONS
                    .iter()
                    .find(|(name, _)| *name == unit)
                    .ok_or_else(|| format!("whose unit {unit:?} is not one of ms, s, min, h, d"))?,
            };
            let part = number.checked_mul(unit.1).ok_or("which is too long")?;
            total = total.checked_add(part).ok_or("which is too long")?;
            rest = after.trim_start();
            if rest.is_empty() {
                return Ok(Self::from_millis(total));
            }
        }
    }

    fn show(&self) -> String {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return "0s".to_owned();
        }
        let (unit, length) = DURATIONS
            .iter()
            .rev()
            .find(|(_, length)| millis.is_multiple_of(*length))
            .unwrap_or(&DURATIONS[0]);
        format!("{}{unit}", millis / length)
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Scalar for ByteCount {
    fn kind() -> String {
        "a size such as \"64KiB\", \"8MiB\" or \"1GiB\"".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_number(text).ok_or("which is not a size")?;
        let unit = match unit.trim() {
            "" => 1,
            unit => {
                let unit = BYTES.iter().find(|(name, _)| *name == unit);
                unit.ok_or("whose unit is not one of B, KiB, MiB, GiB, TiB")?.1
            }
        };
        Ok(Self(number.checked_mul(unit).ok_or("which is too large")?))
    }

    fn show(&self) -> String {
        let (unit, size) = BYTES
            .iter()
            .rev()
            .find(|(_, size)| self.0 != 0 && self.0.is_multiple_of(*size))
            .unwrap_or(&BYTES[0]);
        format!("{}{unit}", self.0 / size)
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Scalar for SocketAddr {
    fn kind() -> String {
        "an address with a port, such as \"127.0.0.1:8080\", \"[::]:8080\" or \":8080\" for all IPv6 and IPv4 ones"
            .to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        // As in nginx and Go: without a host it means all addresses.
        if let Some(port) = text.strip_prefix(':') {
            let port = port.parse().map_err(|_| "whose port is not a number from 0 to 65535")?;
            return Ok((Ipv6Addr::UNSPECIFIED, port).into());
        }
        if let Some(port) = text.strip_prefix("localhost:") {
            return Self::parse(&format!("127.0.0.1:{port}"));
        }
        text.parse().map_err(|_| {
            match text.parse::<IpAddr>() {
                Ok(_) => "which has no port",
                Err(_) => "which is not an IP address with a port",
            }
            .to_owned()
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Scalar for Listen {
    fn kind() -> String {
        "ADDR, ADDR=DIALECT, or either with +proxy, such as \"127.0.0.1:9000=chat-request\" or \"10.0.0.1:80+proxy\""
            .to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        parse_listen(text, DialectName::parse)
    }

    fn show(&self) -> String {
        let dialect = self.dialect.map(|name| format!("={}", name.0)).unwrap_or_default();
        let proxy = match self.proxy {
            ProxyProtocol::Absent => "",
            ProxyProtocol::Required => "+proxy",
        };
        format!("{}{dialect}{proxy}", self.address)
    }
}

impl Scalar for UserNames {
    fn kind() -> String {
        "users with spaces between them, such as \"1 2 31\"".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let parse = |name| UserName::parse(name).map_err(|fault| format!("in which {name:?} is not a user: {fault}"));
        text.split_whitespace().map(parse).collect::<Result<_, _>>().map(Self)
    }

    fn show(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(UserName::as_str).collect();
        names.join(" ")
    }
}

impl Scalar for AllowedOrigin {
    fn kind() -> String {
        "an origin such as \"https://chat.example.org\", \"https://*.example.org\" for all hosts below that name (and not \
         itself), or an app's such as \"capacitor://localhost\""
            .to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Scalar for IpNet {
    fn kind() -> String {
        "an address or a network, such as \"10.0.0.1\" or \"10.0.0.0/8\"".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| "which is not an IP address or network")?;
        let whole = Self::from(address);
        let Some(prefix) = prefix else { return Ok(whole) };
        let network = prefix.parse().ok().and_then(|prefix| Self::new(address, prefix).ok());
        let network =
            network.ok_or_else(|| format!("whose prefix is not a number from 0 to {}", whole.max_prefix_len()))?;
        if network.trunc() != network {
            return Err(format!("which has bits set beyond its first {}", network.prefix_len()));
        }
        Ok(network)
    }

    fn show(&self) -> String {
        if self.prefix_len() == self.max_prefix_len() {
            self.addr().to_string()
        } else {
            self.to_string()
        }
    }
}

impl Scalar for RoomPattern {
    fn kind() -> String {
        "a room's name, * standing for any characters, such as \"lobby\", \"team-*\" or \"*\"".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        // Stars are valid in names, so a pattern is parsed as a name.
        let name = RoomName::parse(text).map_err(|fault| format!("which cannot be a room: {fault}"))?;
        Ok(Self(name.as_str().to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Scalar for RoomName {
    fn kind() -> String {
        "a room's name, such as \"lobby\"".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|fault| format!("which cannot be a room: {fault}"))
    }

    fn show(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Scalar for PathBuf {
    fn kind() -> String {
        "a path, such as \"./plaza-data\"".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("which is empty".to_owned()),
            text if text.contains('\0') => Err("which contains a NUL character; a path cannot".to_owned()),
            text => Ok(text.into()),
        }
    }

    fn show(&self) -> String {
        self.to_string_lossy().into_owned()
    }
}

macro_rules! words {
    ($($type:ident { $($variant:ident = $word:literal),* })*) => {$(
        impl Scalar for $type {
            fn kind() -> String {
                let words: &[&str] = &[$(concat!("\"", $word, "\"")),*];
                format!("one of {}", words.join(", "))
            }

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err("which is not one of the known words".to_owned()),
                }
            }

            fn show(&self) -> String {
                match self {
                    $(Self::$variant => $word.to_owned(),)*
                }
            }
        }
    )*};
}

words! {
    Durability { Fsync = "fsync", Os = "os", None = "none" }
    LogFormat { Text = "text", Json = "json" }
}

fn parse_listen(text: &str, dialect: impl Fn(&str) -> Result<DialectName, String>) -> Result<Listen, String> {
    let (rest, proxy) = match text.strip_suffix("+proxy") {
        Some(rest) => (rest, ProxyProtocol::Required),
        None => (text, ProxyProtocol::Absent),
    };
    let (address, name) = match rest.split_once('=') {
        Some((address, name)) => (address, Some(name)),
        None => (rest, None),
    };
    Ok(Listen {
        address: Scalar::parse(address)?,
        dialect: name.map(dialect).transpose()?,
        proxy,
    })
}

/// The number at the front of the text, and what follows it.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest))
}

const DURATIONS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
const BYTES: [(&str, u64); 5] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    #[test]
    fn durations_are_read_and_shown() {
        for (text, millis) in [
            ("10ms", 10),
            ("25s", 25_000),
            ("1h30min", 5_400_000),
            ("30d", 2_592_000_000),
            ("0", 0),
        ] {
            assert_eq!(Duration::parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for (millis, text) in [
            (10, "10ms"),
            (90_000, "90s"),
            (5_400_000, "90min"),
            (86_400_000, "1d"),
            (0, "0s"),
        ] {
            assert_eq!(Duration::from_millis(millis).show(), text);
        }
        for bad in ["10", "", "s", "-1s", "1.5s", "10 parsecs", "99999999999999999d", "1h30"] {
            assert!(Duration::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes) in [("1GiB", 1 << 30), ("64 KiB", 65_536), ("7", 7), ("3B", 3)] {
            assert_eq!(ByteCount::parse(text), Ok(ByteCount(bytes)), "{text}");
        }
        assert_eq!(ByteCount(1 << 20).show(), "1MiB");
        assert_eq!(ByteCount(1_000).show(), "1000B");
        assert_eq!(ByteCount(0).show(), "0B");
        for bad in ["1GB", "x", "", "-1", "99999999999TiB"] {
            assert!(ByteCount::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn networks_are_read_and_shown() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "192.0.2.7", "::1"] {
            assert_eq!(IpNet::parse(text).unwrap().show(), text);
        }
        assert_eq!(IpNet::parse("192.0.2.7/32").unwrap().show(), "192.0.2.7");
        for (bad, why) in [
            ("10.0.0.0/33", "from 0 to 32"),
            ("::/129", "from 0 to 128"),
            ("10.0.0.0/-1", "from 0 to 32"),
            ("10.0.0.1/8", "beyond its first 8"),
            ("10.0.0", "not an IP address"),
        ] {
            let parsed = IpNet::parse(bad);
            assert!(
                parsed.as_ref().is_err_and(|problem| problem.contains(why)),
                "{bad}: {parsed:?}"
            );
        }
    }

    #[test]
    fn patterns_match_whole_names() {
        let pattern = |text| <RoomPattern as Scalar>::parse(text).unwrap();
        assert!(pattern("lobby").matches(&room("lobby")));
        assert!(!pattern("lobby").matches(&room("lobby2")));
        assert!(pattern("*").matches(&room("anything")));
        assert!(pattern("team-*").matches(&room("team-一")));
        assert!(!pattern("team-*").matches(&room("my team-1")));
        assert!(pattern("*-a-*-b").matches(&room("x-a-y-b")));
        assert!(!pattern("*-a-*-b").matches(&room("x-a-b")));
        assert!(!pattern("ab*ba").matches(&room("aba")));
    }

    #[test]
    fn a_listener_has_an_address_and_may_have_a_dialect_and_a_proxy_before_it() {
        let known = |text: &str| DialectName::among(text, ["chatroom", "action"].into_iter());
        let listen = parse_listen("127.0.0.1:9000=chatroom+proxy", known).unwrap();
        assert_eq!(listen.address, "127.0.0.1:9000".parse().unwrap());
        assert_eq!(listen.dialect, Some(DialectName("chatroom")));
        assert_eq!(listen.proxy, ProxyProtocol::Required);
        assert_eq!(listen.show(), "127.0.0.1:9000=chatroom+proxy");
        assert_eq!(parse_listen(":80", known).unwrap().address, "[::]:80".parse().unwrap());
        assert_eq!(
            parse_listen("127.0.0.1:9000=chatrom", known),
            Err("whose dialect \"chatrom\" is not known (known are: chatroom, action)".to_owned())
        );
    }
}
