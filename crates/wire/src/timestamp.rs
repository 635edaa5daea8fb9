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
        let days = self.0 / 86_400;
        let second_of_day = self.0 % 86_400;
        let Date { year, month, day } = date_of_day(days);
        let hour = second_of_day / 3600;
        let minute = second_of_day / 60 % 60;
        let second = second_of_day % 60;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

/// A date of the proleptic Gregorian calendar.
#[derive(PartialEq)]
struct Date {
    year: u64,
    month: u64,
    day: u64,
}

/// The date of this many days after 1970-01-01.
fn date_of_day(days: u64) -> Date {
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
    Date { year, month, day }
}

/// Unix time in nanoseconds of an RFC 3339 text, such as `2026-09-21T16:13:20.5+02:00`, or of a variant of AWS services: any number
/// of fraction digits, a colon before the milliseconds (`2022-08-02T12:01:23:521Z` in the Telemetry API's schema reference), an
/// offset without a colon, a missing offset for UTC, and a space before the time.
///
/// `None` for other text, and for times before 1970 or after `u64::MAX`, in 2554.
pub fn parse(text: &str) -> Option<u64> {
    let mut rest = text.trim().as_bytes();
    let year = take_digits(&mut rest, 4)?;
    let month = take_one_of(&mut rest, b"-").and_then(|()| take_digits(&mut rest, 2))?;
    let day = take_one_of(&mut rest, b"-").and_then(|()| take_digits(&mut rest, 2))?;
    take_one_of(&mut rest, b"Tt ")?;
    let hour = take_digits(&mut rest, 2)?;
    let minute = take_one_of(&mut rest, b":").and_then(|()| take_digits(&mut rest, 2))?;
    let second = take_one_of(&mut rest, b":").and_then(|()| take_digits(&mut rest, 2))?;
    let nanos = match take_one_of(&mut rest, b".:,") {
        Some(()) => take_fraction(&mut rest)?,
        None => 0,
    };
    let offset_minutes = offset_minutes(rest)?;
    let days = days_since_1970(year, month, day);
    // A month or a day out of range is another date.
    let date = date_of_day(u64::try_from(days).ok()?);
    let stated =
        Date { year: year.cast_unsigned(), month: month.cast_unsigned(), day: day.cast_unsigned() };
    // The sixtieth is a leap second.
    if date != stated || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let minutes = (days * 24 + hour) * 60 + minute;
    let seconds = minutes.checked_sub(offset_minutes)? * 60 + second;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Takes one of these bytes.
fn take_one_of(rest: &mut &[u8], one_of: &[u8]) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    one_of.contains(first).then(|| *rest = tail)
}

/// Takes this number of digits.
fn take_digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    head.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// Takes one or more digits as nanoseconds; digits after the ninth are dropped.
fn take_fraction(rest: &mut &[u8]) -> Option<u64> {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    let nanos = head
        .iter()
        .map(|byte| u64::from(byte - b'0'))
        .chain(std::iter::repeat(0))
        .take(9)
        .fold(0, |value, digit| value * 10 + digit);
    (count > 0).then_some(nanos)
}

/// Minutes east of UTC: `Z`, `+01:00`, `-0530`, or nothing.
fn offset_minutes(mut rest: &[u8]) -> Option<i64> {
    if matches!(rest, b"Z" | b"z" | b"") {
        return Some(0);
    }
    let sign = if take_one_of(&mut rest, b"+").is_some() {
        1
    } else {
        take_one_of(&mut rest, b"-")?;
        -1
    };
    let hours = take_digits(&mut rest, 2)?;
    let _colon = take_one_of(&mut rest, b":");
    let minutes = take_digits(&mut rest, 2)?;
    (rest.is_empty() && hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

/// Days of the proleptic Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Counted from March, so that the leap day is the last of its year.
    let shifted_year = if month > 2 { year } else { year - 1 };
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let leap_days = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    365 * shifted_year + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_times_and_aws_variants_are_parsed_to_the_nanosecond() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse(text).map(rfc3339_nanos).as_deref(), Some(expected), "{text}");
        };
        check("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000000Z");
        check("2000-02-29T00:00:00.000000001Z", "2000-02-29T00:00:00.000000001Z");
        check("2026-09-21T16:13:20.5+02:00", "2026-09-21T14:13:20.500000000Z");
        check("2026-09-21t08:43:20-05:30", "2026-09-21T14:13:20.000000000Z");
        check("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000000Z");
        check("2554-07-21T23:34:33.709551615Z", "2554-07-21T23:34:33.709551615Z");
        check("2022-08-02T12:01:23:521Z", "2022-08-02T12:01:23.521000000Z");
        check("2024-03-01T00:00:00.123456789123Z", "2024-03-01T00:00:00.123456789Z");
        check(" 2000-12-31 23:59:59", "2000-12-31T23:59:59.000000000Z");
        check("2022-10-11T18:30:15,5-0530", "2022-10-12T00:00:15.500000000Z");
        assert_eq!(parse("2026-09-21T14:13:20Z"), Some(1_790_000_000_000_000_000));
    }

    #[test]
    fn invalid_times_are_rejected() {
        for text in [
            "",
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
            "2554-07-21T23:34:33.709551616Z",
            "+026-09-21T14:13:20Z",
            "2022-1ö-12T00:00:15Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_on_every_day_round_trips() {
        for day in 0..80_000u64 {
            let unix_nano = day * 86_400_000_000_000 + 123_456_789;
            assert_eq!(parse(&rfc3339_nanos(unix_nano)), Some(unix_nano));
            assert_eq!(parse(&rfc3339_millis(unix_nano)), Some(unix_nano / 1_000_000 * 1_000_000));
        }
    }
}
