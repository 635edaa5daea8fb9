//! Reads RFC 3339, as OpenObserve does in the records of JSON streams.
//!
//! `wire::timestamp` reads it too. The simulator shares no code with the code under test, so a mistake in one of them
//! shows.

/// Days from 1970-01-01 to this date of the Gregorian calendar (Howard Hinnant's formula).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// `2026-08-21T10:11:12.345Z`, or with an offset such as `+02:00`. Times before 1970 are `None`.
pub(super) fn parse_rfc3339_nano(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at_checked(zone)?;
    let offset_minutes = match zone {
        "Z" | "z" => 0,
        zone => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if zone.starts_with('-') { -minutes } else { minutes }
        }
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range || !(1970..=9999).contains(&year) || fraction.len() > 9 {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse::<u64>().ok()?;
    let minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute - offset_minutes;
    u64::try_from(minutes * 60 + second).ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_timestamps_are_parsed_to_nanoseconds() {
        let check =
            |text, expect: Option<u64>| assert_eq!(parse_rfc3339_nano(text), expect, "{text}");
        check("1994-11-06T08:49:37Z", Some(784_111_777_000_000_000));
        check("1994-11-06T08:49:37.25Z", Some(784_111_777_250_000_000));
        check("1994-11-06T10:49:37+02:00", Some(784_111_777_000_000_000));
        check("1994-11-06T03:49:37-05:00", Some(784_111_777_000_000_000));
        check("1994-13-06T08:49:37Z", None);
        check("1994-11-06", None);
        check("1994-11-06T08:49:37", None);
        check("1960-11-06T08:49:37Z", None);
        check("é", None);
    }
}
