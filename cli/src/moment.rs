//! Spans of time as people write them on a command line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// `90s`, `15m`, `2h`, `14d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let read = || {
        let (unit, seconds) = UNITS.iter().find(|(unit, _)| text.ends_with(*unit))?;
        let number = text.strip_suffix(*unit)?;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| number.parse::<u64>().ok()?.checked_mul(*seconds)).flatten()
    };
    read().map(Duration::from_secs).ok_or_else(|| "expected 90s, 15m, 2h or 14d".to_owned())
}

/// `5h`, `90m`, `14d`, `30s`: the largest unit that is exact, or two of them.
pub(crate) fn words(duration: Duration) -> String {
    let mut left = duration.as_secs();
    let mut words = Vec::new();
    for (unit, seconds) in UNITS.iter().rev() {
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
pub(crate) fn now_unix_nano() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_words() {
        for (seconds, expected) in
            [(0, "0s"), (90, "1m 30s"), (18_000, "5h"), (93_784, "1d 2h"), (86_400, "1d")]
        {
            assert_eq!(words(Duration::from_secs(seconds)), expected);
        }
    }
}
