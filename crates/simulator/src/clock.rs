//! The simulator's clock, and the notations in which Lambda writes a time.
//!
//! `wire::timestamp` writes RFC 3339 too. The simulator shares no code with the readers of Lambda's events, so a
//! mistake in one of them shows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time: milliseconds since the Unix epoch, as CloudWatch Logs counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(pub(crate) u64);

/// The only place of the simulator that reads the wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the simulator stands for AWS, which uses the real clock"
)]
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

impl Timestamp {
    pub(crate) fn millis(self) -> u64 {
        self.0
    }

    pub(crate) fn seconds(self) -> u64 {
        self.0 / 1000
    }

    pub(crate) fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// `2024-03-04T17:22:38.033Z`
    pub(crate) fn rfc3339(self) -> String {
        let (year, month, day) = civil(self.0 / 86_400_000);
        let (hour, minute) = (self.0 / 3_600_000 % 24, self.0 / 60_000 % 60);
        let (second, milli) = (self.0 / 1000 % 60, self.0 % 1000);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }

    /// `2024/03/04`, the beginning of a log stream's name.
    pub(crate) fn date_path(self) -> String {
        let (year, month, day) = civil(self.0 / 86_400_000);
        format!("{year:04}/{month:02}/{day:02}")
    }
}

/// The Gregorian date of a day counted from 1970-01-01.
fn civil(days_since_epoch: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut days = days_since_epoch;
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// Returns `true` if Lambda accepts `text` as a time in RFC 3339 (`2024-10-27T19:17:45.586Z`, an offset allowed).
pub(crate) fn is_rfc3339(text: &str) -> bool {
    let Some((date, rest)) = text.split_at_checked(10) else {
        return false;
    };
    let Some((separator, rest)) = rest.split_at_checked(1) else {
        return false;
    };
    let Some((time, rest)) = rest.split_at_checked(8) else {
        return false;
    };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let after = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if after.len() == fraction.len() {
                return false;
            }
            after
        }
        None => rest,
    };
    let offset = matches!(rest, "Z" | "z")
        || rest.strip_prefix(['+', '-']).is_some_and(|o| shaped(o, "dd:dd"));
    shaped(date, "dddd-dd-dd")
        && matches!(separator, "T" | "t" | " ")
        && shaped(time, "dd:dd:dd")
        && offset
}

fn shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, form)| if form == b'd' { byte.is_ascii_digit() } else { byte == form })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_formatted_as_in_lambda() {
        let check = |millis, rfc3339: &str, path: &str| {
            assert_eq!(
                (Timestamp(millis).rfc3339().as_str(), Timestamp(millis).date_path().as_str()),
                (rfc3339, path)
            );
        };
        check(0, "1970-01-01T00:00:00.000Z", "1970/01/01");
        check(951_782_399_999, "2000-02-28T23:59:59.999Z", "2000/02/28");
        check(951_868_799_000, "2000-02-29T23:59:59.000Z", "2000/02/29");
        check(1_709_572_958_033, "2024-03-04T17:22:38.033Z", "2024/03/04");
        check(1_735_689_599_999, "2024-12-31T23:59:59.999Z", "2024/12/31");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z", "2100/03/01");
    }

    #[test]
    fn only_rfc3339_timestamps_are_recognised() {
        let check = |text, expected| assert_eq!(is_rfc3339(text), expected, "{text}");
        check("2024-10-27T19:17:45.586Z", true);
        check("2024-10-27T19:17:45Z", true);
        check("2024-10-27T19:17:45.123456789+02:00", true);
        check("2024-10-27 19:17:45Z", true);
        check("2024-10-27T19:17:45", false);
        check("2024-10-27T19:17:45.Z", false);
        check("2024-10-27", false);
        check("1730056665586", false);
        check("", false);
        check("ääääääääääääääääääää", false);
    }
}
