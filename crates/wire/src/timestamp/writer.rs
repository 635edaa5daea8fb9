//! Writes RFC 3339 times in UTC.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_as_rfc_3339() {
        let check = |seconds: u64, nanos: u64, expected: &str| {
            let unix_nano = seconds * 1_000_000_000 + nanos;
            assert_eq!(rfc3339_nanos(unix_nano), expected);
            let to_the_millisecond = expected.get(..23).unwrap();
            assert_eq!(rfc3339_millis(unix_nano), format!("{to_the_millisecond}Z"));
        };
        check(0, 0, "1970-01-01T00:00:00.000000000Z");
        check(951_782_399, 999_999_999, "2000-02-28T23:59:59.999999999Z");
        check(951_782_400, 1, "2000-02-29T00:00:00.000000001Z");
        check(951_868_800, 0, "2000-03-01T00:00:00.000000000Z");
        check(1_790_000_000, 123_456_789, "2026-09-21T14:13:20.123456789Z");
        check(4_107_542_399, 0, "2100-02-28T23:59:59.000000000Z");
        check(4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z");
    }
}
