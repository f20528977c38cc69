//! Wall time where it can be injected, and how it is written.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, tz::TimeZone};

/// Tells Unix milliseconds; tests give their own.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The clock of the system.
pub fn system_clock() -> WallClock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Unix milliseconds as RFC 3339 in UTC, `2026-11-20T22:15:03.042Z`. Times beyond the year 9999 are shown as its end.
pub fn rfc3339(at: u64) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The same for file names: without colons, sorting as the times do, `20261120T221503.042Z`.
pub(super) fn stamp(at: u64) -> String {
    timestamp(at).strftime("%Y%m%dT%H%M%S%.3fZ").to_string()
}

/// The Unix milliseconds of a stamp.
pub(super) fn parse_stamp(text: &str) -> Option<u64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S%.fZ", text).ok()?;
    let at = time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
    let at = u64::try_from(at).ok()?;
    // Only what `stamp` makes is one.
    (stamp(at) == text).then_some(at)
}

fn timestamp(at: u64) -> Timestamp {
    i64::try_from(at)
        .ok()
        .and_then(|at| Timestamp::from_millisecond(at).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn times_are_written_with_three_digits_and_read_again() {
        assert_eq!(rfc3339(1_795_212_903_042), "2026-11-20T22:15:03.042Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(1_795_212_903_000), "20261120T221503.000Z");
        assert_eq!(parse_stamp("20261120T221503.042Z"), Some(1_795_212_903_042));
        for bad in [
            "20261120T221503Z",
            "20261320T221503.042Z",
            "x",
            "20261120T221503.042Z.1",
            "",
        ] {
            assert_eq!(parse_stamp(bad), None, "{bad}");
        }
        assert!(rfc3339(u64::MAX).starts_with("9999-12-"));
    }
}
