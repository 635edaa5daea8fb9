//! Reads the times that Lambda writes into its events.

/// Unix time in nanoseconds of an RFC 3339 text, with what AWS makes of it: any number of
/// fraction digits, an offset, and a colon before the milliseconds
/// (`2022-08-02T12:01:23:521Z` in the Telemetry API's schema reference).
///
/// `None` for other text and for times before 1970 or after 2553.
pub(crate) fn unix_nano(text: &str) -> Option<u64> {
    let mut rest = text.trim().as_bytes();
    let year = digits(&mut rest, 4)?;
    let month = after(&mut rest, b"-").and_then(|()| digits(&mut rest, 2))?;
    let day = after(&mut rest, b"-").and_then(|()| digits(&mut rest, 2))?;
    after(&mut rest, b"Tt ")?;
    let hour = digits(&mut rest, 2)?;
    let minute = after(&mut rest, b":").and_then(|()| digits(&mut rest, 2))?;
    let second = after(&mut rest, b":").and_then(|()| digits(&mut rest, 2))?;
    let nanos = match after(&mut rest, b".:,") {
        Some(()) => fraction(&mut rest)?,
        None => 0,
    };
    let offset_minutes = offset(rest)?;
    let in_range = (1970..=2553).contains(&year)
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

/// The last millisecond that [`of_millis`] reads: the end of 2553.
pub(crate) const MAX_MS: f64 = 18_429_206_399_999.0;

/// Unix time in nanoseconds of milliseconds from 0 to [`MAX_MS`], to the microsecond.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts from float saturate, and the value is bounded"
)]
pub(crate) fn of_millis(ms: f64) -> u64 {
    // A float holds microseconds since 1970 exactly, but not nanoseconds.
    ((ms.clamp(0.0, MAX_MS) * 1000.0).round() as u64) * 1000
}

/// Takes one of these bytes.
fn after(rest: &mut &[u8], one_of: &[u8]) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    one_of.contains(first).then(|| *rest = tail)
}

/// Takes exactly so many digits.
fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    head.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// Takes one digit or more, as nanoseconds; what is beyond the ninth is dropped.
fn fraction(rest: &mut &[u8]) -> Option<u64> {
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

/// Minutes east of UTC: `Z`, `+01:00`, `-0530`; without any it is UTC.
fn offset(mut rest: &[u8]) -> Option<i64> {
    if rest.is_empty() || matches!(rest, b"Z" | b"z") {
        return Some(0);
    }
    let sign = if after(&mut rest, b"+").is_some() {
        1
    } else {
        after(&mut rest, b"-")?;
        -1
    };
    let hours = digits(&mut rest, 2)?;
    let _ = after(&mut rest, b":");
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
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(unix_nano(text).map(wire::timestamp::rfc3339_millis).as_deref(), expected);
    }

    #[test]
    fn both_spellings_of_aws_are_read() {
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
        assert_eq!(unix_nano("1970-01-01T00:00:01.000000007Z"), Some(1_000_000_007));
    }

    #[test]
    fn other_text_is_no_time() {
        for text in [
            "",
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
            "2022-1ö-12T00:00:15Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn every_day_is_read_back() {
        for day in 0..80_000u64 {
            let nanos = day * 86_400_000_000_000 + 123_000_000;
            assert_eq!(unix_nano(&wire::timestamp::rfc3339_millis(nanos)), Some(nanos));
        }
    }
}
