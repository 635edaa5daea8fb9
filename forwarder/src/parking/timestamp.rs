//! Points in time as text that a person can read in a queue, exact to the nanosecond.

/// `2026-09-21T14:13:20.123456789Z` for nanoseconds since the Unix epoch.
pub(crate) fn rfc3339_nanos(unix_nano: u64) -> String {
    let millis = wire::timestamp::rfc3339_millis(unix_nano);
    let second = millis.get(..19).unwrap_or_default();
    format!("{second}.{:09}Z", unix_nano % 1_000_000_000)
}

/// The reverse; any number of fraction digits up to nine, UTC only. `None` for anything else, and for times before 1970
/// or after 2553.
pub(super) fn unix_nano(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let (year, month_day) = date.split_once('-')?;
    let (month, day) = month_day.split_once('-')?;
    let (hour, minute_second) = time.split_once(':')?;
    let (minute, second) = minute_second.split_once(':')?;
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    let in_range = (1970..=2553).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 59;
    if !in_range || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let nanos = digits(&format!("{fraction:0<9}"), 9)?;
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

fn digits(text: &str, count: usize) -> Option<u64> {
    let is_number = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Days of the Gregorian calendar, counted in years that begin in March, so that the leap day is the last of its year.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    days.saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_to_the_nanosecond() {
        let check = |nanos: u64, text: &str| {
            assert_eq!(rfc3339_nanos(nanos), text);
            assert_eq!(unix_nano(text), Some(nanos), "{text}");
        };
        check(0, "1970-01-01T00:00:00.000000000Z");
        check(951_782_399_999_999_999, "2000-02-28T23:59:59.999999999Z");
        check(951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z");
        check(951_868_800_000_000_000, "2000-03-01T00:00:00.000000000Z");
        check(1_790_000_000_123_456_789, "2026-09-21T14:13:20.123456789Z");
        check(4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z");
        assert_eq!(unix_nano("2026-09-21T14:13:20.5Z"), Some(1_790_000_000_500_000_000));
        assert_eq!(unix_nano("2026-09-21T14:13:20Z"), Some(1_790_000_000_000_000_000));
    }

    #[test]
    fn other_text_is_no_time() {
        let none = [
            "",
            "Z",
            "2026-09-21",
            "2026-09-21T14:13:20",
            "2026-09-21T14:13:20+02:00",
            "2026-13-21T14:13:20Z",
            "2026-09-21T24:13:20Z",
            "2026-09-21T14:13:20.Z",
            "2026-09-21T14:13:20.1234567890Z",
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
            "+026-09-21T14:13:20Z",
            "ääää-09-21T14:13:20Z",
        ];
        for text in none {
            assert_eq!(unix_nano(text), None, "{text}");
        }
    }
}
