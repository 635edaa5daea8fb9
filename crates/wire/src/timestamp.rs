//! RFC 3339 times: the only writer, and the only reader outside of the local Lambda.
//!
//! No date crate is used: the writer is part of every function, where each kilobyte counts, and the reader accepts spellings of
//! AWS that no date crate supports.

use std::fmt;

/// `2026-09-21T14:13:20.123Z` for nanoseconds since the Unix epoch; milliseconds, UTC.
pub fn rfc3339_millis(unix_nano: u64) -> String {
    let second = Second(unix_nano / 1_000_000_000);
    format!("{second}.{:03}Z", unix_nano / 1_000_000 % 1000)
}

/// `2026-09-21T14:13:20.123456789Z` for nanoseconds since the Unix epoch.
pub fn rfc3339_nanos(unix_nano: u64) -> String {
    let second = Second(unix_nano / 1_000_000_000);
    format!("{second}.{:09}Z", unix_nano % 1_000_000_000)
}

/// A second since the Unix epoch, written as `2026-09-21T14:13:20`.
struct Second(u64);

impl fmt::Display for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second_of_day) = (self.0 / 86_400, self.0 % 86_400);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) =
            (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

/// Year, month and day of the proleptic Gregorian calendar, for days since 1970-01-01.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day is the last day of a year of 400 * n.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Unix time in nanoseconds of an RFC 3339 text, such as `2026-09-21T16:13:20.5+02:00`.
///
/// `None` for other text, for more than nine fraction digits, and for times before 1970 or after `u64::MAX`, in 2554.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    parse(text.as_bytes(), &RFC_3339)
}

/// Like [`parse_rfc3339`], and also reads the variants of AWS services: any number of fraction digits, a colon before the
/// milliseconds (`2022-08-02T12:01:23:521Z` in the Telemetry API's schema reference), an offset without a colon, a missing offset
/// for UTC, and a space before the time.
pub fn parse_aws(text: &str) -> Option<u64> {
    parse(text.trim().as_bytes(), &AWS)
}

/// The separators between the numbers of a time.
struct Notation {
    before_time: &'static [u8],
    before_fraction: &'static [u8],
    most_fraction_digits: usize,
    /// `true` if an offset may lack its colon, or be omitted for UTC.
    offset_may_be_short: bool,
}

const RFC_3339: Notation = Notation {
    before_time: b"Tt",
    before_fraction: b".",
    most_fraction_digits: 9,
    offset_may_be_short: false,
};

const AWS: Notation = Notation {
    before_time: b"Tt ",
    before_fraction: b".:,",
    most_fraction_digits: usize::MAX,
    offset_may_be_short: true,
};

fn parse(mut rest: &[u8], notation: &Notation) -> Option<u64> {
    let year = digits(&mut rest, 4)?;
    let month = after(&mut rest, b"-").and_then(|()| digits(&mut rest, 2))?;
    let day = after(&mut rest, b"-").and_then(|()| digits(&mut rest, 2))?;
    after(&mut rest, notation.before_time)?;
    let hour = digits(&mut rest, 2)?;
    let minute = after(&mut rest, b":").and_then(|()| digits(&mut rest, 2))?;
    let second = after(&mut rest, b":").and_then(|()| digits(&mut rest, 2))?;
    let nanos = match after(&mut rest, notation.before_fraction) {
        Some(()) => fraction(&mut rest, notation.most_fraction_digits)?,
        None => 0,
    };
    let offset_minutes = offset(rest, notation)?;
    let in_range = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        // A leap second.
        && second <= 60;
    if !in_range {
        return None;
    }
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute;
    let seconds = minutes.checked_sub(offset_minutes)? * 60 + second;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

fn after(rest: &mut &[u8], one_of: &[u8]) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    one_of.contains(first).then(|| *rest = tail)
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    head.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// Takes one or more digits as nanoseconds; digits after the ninth are dropped.
fn fraction(rest: &mut &[u8], most_digits: usize) -> Option<u64> {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    let nanos = head
        .iter()
        .map(|byte| u64::from(byte - b'0'))
        .chain(std::iter::repeat(0))
        .take(9)
        .fold(0, |value, digit| value * 10 + digit);
    (1..=most_digits).contains(&count).then_some(nanos)
}

/// Minutes east of UTC: `Z`, `+01:00`; in the short form also `-0530` and nothing.
fn offset(mut rest: &[u8], notation: &Notation) -> Option<i64> {
    if matches!(rest, b"Z" | b"z") || (rest.is_empty() && notation.offset_may_be_short) {
        return Some(0);
    }
    let sign = if after(&mut rest, b"+").is_some() {
        1
    } else {
        after(&mut rest, b"-")?;
        -1
    };
    let hours = digits(&mut rest, 2)?;
    if after(&mut rest, b":").is_none() && !notation.offset_may_be_short {
        return None;
    }
    let minutes = digits(&mut rest, 2)?;
    (rest.is_empty() && hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Counted from March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_aws(text: &str, expected: Option<&str>) {
        assert_eq!(parse_aws(text).map(rfc3339_millis).as_deref(), expected, "{text}");
    }

    #[test]
    fn aws_timestamp_variants_are_parsed() {
        let check = check_aws;
        check("2022-10-12T00:00:15.064Z", Some("2022-10-12T00:00:15.064Z"));
        check("2022-08-02T12:01:23:521Z", Some("2022-08-02T12:01:23.521Z"));
        check("2023-11-28T12:00:09Z", Some("2023-11-28T12:00:09.000Z"));
        check("2025-11-30T22:29:09.581655Z", Some("2025-11-30T22:29:09.581Z"));
        check("2024-02-29T23:59:59.9Z", Some("2024-02-29T23:59:59.900Z"));
        check("2024-03-01T00:00:00.123456789123Z", Some("2024-03-01T00:00:00.123Z"));
        check("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00.000Z"));
        check("2000-12-31 23:59:59", Some("2000-12-31T23:59:59.000Z"));
        check("2022-10-12T02:00:15.064+02:00", Some("2022-10-12T00:00:15.064Z"));
        check("2022-10-11T18:30:15-0530", Some("2022-10-12T00:00:15.000Z"));
        assert_eq!(parse_aws("1970-01-01T00:00:01.000000007Z"), Some(1_000_000_007));
    }

    #[test]
    fn rfc_3339_times_are_parsed_to_the_nanosecond() {
        let check = |text: &str, expected: u64| {
            assert_eq!(parse_rfc3339(text), Some(expected), "{text}");
            assert_eq!(parse_aws(text), Some(expected), "{text}");
        };
        check("1970-01-01T00:00:00.000000000Z", 0);
        check("2000-02-28T23:59:59.999999999Z", 951_782_399_999_999_999);
        check("2000-02-29T00:00:00.000000001Z", 951_782_400_000_000_001);
        check("2026-09-21T14:13:20.123456789Z", 1_790_000_000_123_456_789);
        check("2026-09-21T14:13:20.5Z", 1_790_000_000_500_000_000);
        check("2026-09-21T14:13:20Z", 1_790_000_000_000_000_000);
        check("2026-09-21T16:13:20.5+02:00", 1_790_000_000_500_000_000);
        check("2026-09-21t08:43:20-05:30", 1_790_000_000_000_000_000);
        check("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000);
        check("2100-03-01T00:00:00.000000000Z", 4_107_542_400_000_000_000);
    }

    #[test]
    fn the_latest_representable_time_round_trips() {
        assert_eq!(parse_rfc3339(&rfc3339_nanos(u64::MAX)), Some(u64::MAX));
        assert_eq!(parse_rfc3339("2554-07-21T23:34:33.709551616Z"), None);
    }

    #[test]
    fn invalid_times_are_rejected() {
        for text in [
            "",
            "Z",
            "invalid",
            "invalid-timestamp",
            "2022-10-12",
            "2022-10-12T00:00",
            "2022-10-12T00:00:15.Z",
            "2022-10-12T00:00:15.064Zulu",
            "2022-10-12T00:00:15+1",
            "2022-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2022-10-12T24:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59Z",
            "+026-09-21T14:13:20Z",
            "2022-1ö-12T00:00:15Z",
            "ääää-09-21T14:13:20Z",
        ] {
            check_aws(text, None);
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn the_rfc_3339_parser_rejects_aws_variants() {
        for text in [
            "2022-08-02T12:01:23:521Z",
            "2022-08-02T12:01:23,521Z",
            "2000-12-31 23:59:59Z",
            "2000-12-31T23:59:59",
            "2022-10-11T18:30:15-0530",
            "2026-09-21T14:13:20.1234567890Z",
            " 2026-09-21T14:13:20Z",
        ] {
            assert!(parse_aws(text).is_some(), "{text}");
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_on_every_day_round_trips() {
        for day in 0..80_000u64 {
            let unix_nano = day * 86_400_000_000_000 + 123_456_789;
            assert_eq!(parse_rfc3339(&rfc3339_nanos(unix_nano)), Some(unix_nano));
            assert_eq!(
                parse_aws(&rfc3339_millis(unix_nano)),
                Some(unix_nano / 1_000_000 * 1_000_000)
            );
        }
    }
}
