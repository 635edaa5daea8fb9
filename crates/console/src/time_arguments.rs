//! Durations and points in time of the command line, and its clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wire::timestamp;

/// The reason why a text is no duration or point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    #[error("a duration needs a unit: {0}s or {0}ms")]
    WithoutUnit(String),
    #[error("expected 500ms, 90s, 15m, 2h or 14d")]
    Duration,
    #[error("expected 2026-09-21T14:13:20Z, or how long ago: 2h")]
    Time,
}

/// Parses a duration as variables have it, such as `90s`, `15m`, `2h` or `14d`, but with a unit: variables count a bare number
/// in milliseconds as OpenTelemetry does, AWS's command line in seconds.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidTime> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidTime::WithoutUnit(text.to_owned()));
    }
    settings::parse_duration(text).map_err(|_| InvalidTime::Duration)
}

/// A point in time on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeArgument {
    /// Milliseconds since the Unix epoch.
    At(i64),
    /// Before now.
    Ago(Duration),
}

impl TimeArgument {
    pub const NOW: Self = Self::Ago(Duration::ZERO);

    /// Parses `2026-09-21T14:13:20Z`, `2026-09-21T16:13:20+02:00`, `2h` or `now`.
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        if text == "now" {
            return Ok(Self::NOW);
        }
        if let Ok(ago) = parse_duration(text) {
            return Ok(Self::Ago(ago));
        }
        // Without a zone, a user may mean another than UTC.
        let time = text.get("2026-09-21".len()..).unwrap_or_default();
        timestamp::parse(text)
            .filter(|_| time.contains(['Z', 'z', '+', '-']))
            .and_then(|unix_nano| i64::try_from(unix_nano / 1_000_000).ok())
            .map(Self::At)
            .ok_or(InvalidTime::Time)
    }

    /// Milliseconds since the Unix epoch.
    pub fn millis(self, now_unix_nano: u64) -> i64 {
        match self {
            Self::At(millis) => millis,
            Self::Ago(ago) => {
                let now = now_unix_nano / 1_000_000;
                let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
                i64::try_from(now.saturating_sub(ago)).unwrap_or(i64::MAX)
            }
        }
    }
}

/// Formats a duration in at most two units: `5h`, `1m 30s`.
pub fn duration_text(duration: Duration) -> String {
    const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];
    let mut left = duration.as_secs();
    let mut words = Vec::new();
    for (unit, seconds) in UNITS {
        let count = left / seconds;
        left %= seconds;
        if count > 0 {
            words.push(format!("{count}{unit}"));
        }
    }
    words.truncate(2);
    if words.is_empty() { "0s".to_owned() } else { words.join(" ") }
}

#[expect(clippy::disallowed_methods, reason = "where the command line reads the clock")]
pub fn now_unix_nano() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000_000_000;

    #[test]
    fn times_are_relative_or_rfc3339() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(TimeArgument::parse(text).ok().map(|m| m.millis(NOW)), expected, "{text}");
        };
        check("now", Some(1_790_000_000_000));
        check("2h", Some(1_789_992_800_000));
        check("14d", Some(1_788_790_400_000));
        check("2026-09-21T14:13:20Z", Some(1_790_000_000_000));
        check("2026-09-21T16:13:20.5+02:00", Some(1_790_000_000_500));
        // The third has no time zone, and the fourth no unit.
        for wrong in ["", "-2h", "2026-09-21T14:13:20", "2", "99999999999999999999d"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_duration_is_formatted_in_its_largest_units() {
        for (seconds, expected) in
            [(0, "0s"), (90, "1m 30s"), (18_000, "5h"), (93_784, "1d 2h"), (86_400, "1d")]
        {
            assert_eq!(duration_text(Duration::from_secs(seconds)), expected);
        }
    }
}
