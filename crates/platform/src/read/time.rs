//! Reads the times that loggers put before a message.

/// The time that a line states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineTime {
    /// Unix time in nanoseconds.
    pub(crate) unix_nano: u64,
    /// `false` if the line states whole seconds.
    pub(crate) is_exact: bool,
}

impl LineTime {
    /// Reads `2026-09-21 14:13:20,123` and its variants.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        const MAX_BYTES: usize = 40;
        let is_exact =
            matches!(text.as_bytes().get("2026-09-21T14:13:20".len()), Some(b'.' | b','));
        let of = |text: &str| Some(Self { unix_nano: wire::timestamp::parse(text)?, is_exact });
        if text.as_bytes().get(4) != Some(&b'/') {
            return of(text);
        }
        let mut buffer = [0; MAX_BYTES];
        let dashed = buffer.get_mut(..text.len())?;
        dashed.copy_from_slice(text.as_bytes());
        for at in [4, 7] {
            *dashed.get_mut(at)? = b'-';
        }
        of(std::str::from_utf8(dashed).ok()?)
    }
}

/// A time at the beginning of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StatedTime {
    pub(crate) bytes: usize,
    /// `true` if it states a time of day, so that it is no mere date.
    pub(crate) has_clock: bool,
    /// `true` for the exact form of JavaScript's `toISOString` and of Lambda's runtimes.
    pub(crate) is_iso: bool,
    /// The time, if year, month and day stand in this order. UTC without a zone.
    pub(crate) time: Option<LineTime>,
}

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const WEEKDAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const ZONES: [&[u8]; 12] = [
    b"UTC", b"GMT", b"CET", b"CEST", b"EST", b"EDT", b"CST", b"CDT", b"MST", b"PST", b"PDT", b"JST",
];

/// Reads a date, a time of day, or both.
pub(crate) fn stated_time(text: &str) -> Option<StatedTime> {
    let bytes = text.as_bytes();
    if let Some(time) = text.get(..USUAL.len()).filter(|_| has_usual_form(bytes)) {
        let time = LineTime::of_text(time);
        return Some(StatedTime { bytes: USUAL.len(), has_clock: true, is_iso: true, time });
    }
    if let Some(bytes) = unix_time_len(bytes) {
        return Some(StatedTime { bytes, has_clock: true, ..StatedTime::default() });
    }
    let date = date_len(bytes);
    let clock_at = match date {
        Some(date) => date + gap_len(rest(bytes, date)),
        None => 0,
    };
    let Some(clock) = clock_len(rest(bytes, clock_at), date.is_some()) else {
        return StatedTime { bytes: date?, ..StatedTime::default() }.set_apart(bytes);
    };
    let clock_end = clock_at + clock;
    let offset = offset_len(rest(bytes, clock_end));
    let offset_end = clock_end + offset;
    let time = text.get(..offset_end).and_then(LineTime::of_text);
    let zone = if offset == 0 { zone_len(rest(bytes, offset_end)) } else { 0 };
    StatedTime { bytes: offset_end + zone, has_clock: true, is_iso: false, time }.set_apart(bytes)
}

impl StatedTime {
    /// Returns the time unless a letter or a digit follows.
    fn set_apart(self, text: &[u8]) -> Option<Self> {
        let is_apart = !rest(text, self.bytes).first().is_some_and(u8::is_ascii_alphanumeric);
        is_apart.then_some(self)
    }
}

/// The form of Lambda's runtimes, which most lines have.
const USUAL: &[u8; 24] = b"0000-00-00T00:00:00.000Z";

fn has_usual_form(bytes: &[u8]) -> bool {
    let fits =
        |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    bytes.first_chunk::<24>().is_some_and(|time| time.iter().zip(USUAL).all(fits))
        && !bytes.get(USUAL.len()).is_some_and(u8::is_ascii_alphanumeric)
}

/// Splits `2024-03-04T17:22:38.033Z` and a space from the text after it, as Lambda begins some of its own lines.
pub(crate) fn split_utc_time(text: &str) -> Option<(&str, &str)> {
    let is_part = |byte: u8| byte.is_ascii_digit() || b"-:.TZ".contains(&byte);
    let end = text.bytes().position(|byte| !is_part(byte))?;
    let (time, rest) = text.split_at_checked(end)?;
    Some((time, rest.strip_prefix(' ')?)).filter(|_| time.ends_with('Z'))
}

fn rest(bytes: &[u8], from: usize) -> &[u8] {
    bytes.get(from..).unwrap_or_default()
}

/// Number of digits at the beginning.
fn count_digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn begins_with_one_of(bytes: &[u8], words: &[&[u8; 3]]) -> bool {
    // Levels in capitals are far more frequent than names.
    let Some(first @ [_, b'a'..=b'z', _]) = bytes.first_chunk::<3>() else { return false };
    words.contains(&first)
}

/// Length of a date: `2026-09-21`, `21/09/2026`, `21-Sep-2026`, `21 Sep 2026`, or with the month first, as syslog and Java do. A
/// weekday may precede it. `21.09.2026`, `09-21` and `20260921` are dates only before a time of day.
fn date_len(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'0'..=b'9' => numeric_date_len(bytes),
        b'A'..=b'Z' => match name_len(bytes, &WEEKDAYS) {
            Some(weekday) => {
                let after_weekday = rest(bytes, weekday);
                let named = named_date_len(after_weekday);
                let date = named.or_else(|| numeric_date_len(after_weekday))?;
                Some(weekday + date)
            }
            None => named_date_len(bytes),
        },
        _ => None,
    }
}

/// Length of a weekday's or a month's name, short or long, and of the separator after it.
fn name_len(bytes: &[u8], names: &[&[u8; 3]]) -> Option<usize> {
    const LONGEST: usize = "September".len();
    if !begins_with_one_of(bytes, names) {
        return None;
    }
    let letters = bytes.iter().take(LONGEST).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let blanks =
        rest(bytes, letters).iter().take(2).take_while(|byte| b", ".contains(byte)).count();
    (blanks > 0).then_some(letters + blanks)
}

fn numeric_date_len(bytes: &[u8]) -> Option<usize> {
    let first = count_digits(bytes);
    let separator = *bytes.get(first)?;
    let is_before_clock =
        |end: usize| clock_len(rest(bytes, end + 1), true).is_some().then_some(end);
    if matches!((first, separator), (6 | 8, b' ' | b'T' | b'-')) {
        return is_before_clock(first);
    }
    if !matches!(first, 1 | 2 | 4) || !matches!(separator, b'-' | b'/' | b' ' | b'.') {
        return None;
    }
    let month_at = first + 1;
    let month = match count_digits(rest(bytes, month_at)) {
        0 if begins_with_one_of(rest(bytes, month_at), &MONTHS) => 3,
        count @ 1..=2 if separator != b' ' => count,
        _ => return None,
    };
    let month_end = month_at + month;
    let last = count_digits(rest(bytes, month_end + 1));
    let last_end = month_end + 1 + last;
    match *bytes.get(month_end)? {
        b' ' if separator == b'-' && first == 2 => is_before_clock(month_end),
        _ if !matches!(last, 1 | 2 | 4) => None,
        b'.' if separator == b'.' => is_before_clock(last_end),
        other => (other == separator).then_some(last_end),
    }
}

/// `Sep 21`, `Sep 21, 2026`, `September 21, 2026`, `Sep 21 2026`.
fn named_date_len(bytes: &[u8]) -> Option<usize> {
    let month = name_len(bytes, &MONTHS)?;
    let day = count_digits(rest(bytes, month));
    if !(1..=2).contains(&day) {
        return None;
    }
    let day_end = month + day;
    // The time of day follows directly, or a year.
    let has_year_after = |separator: &[u8]| {
        rest(bytes, day_end).strip_prefix(separator).map(count_digits) == Some(4)
    };
    let has_clock_at = |at: usize| clock_len(rest(bytes, at), true).is_some();
    Some(if has_year_after(b", ") {
        day_end + ", 2026".len()
    } else if has_year_after(b" ") && has_clock_at(day_end + " 2026 ".len()) {
        day_end + " 2026".len()
    } else {
        day_end
    })
}

/// Length of the separator between a date and a time of day.
fn gap_len(bytes: &[u8]) -> usize {
    match bytes {
        [b',', b' ', ..] => 2,
        [b'T' | b't' | b' ' | b'_' | b':', ..] => 1,
        _ => 0,
    }
}

/// Length of a time of day: `14:13:20`, with or without a fraction, or `2:13PM`. After a date also `14:13`.
fn clock_len(bytes: &[u8], has_date: bool) -> Option<usize> {
    let hours = count_digits(bytes);
    let minutes = rest(bytes, hours).strip_prefix(b":").map(count_digits)?;
    if !(1..=2).contains(&hours) || minutes != 2 {
        return None;
    }
    let mut at = hours + 3;
    // structlog's documentation has `14:13.20`.
    let seconds = match rest(bytes, at) {
        [b':', seconds @ ..] => Some(count_digits(seconds)),
        [b'.', seconds @ ..] if has_date => Some(count_digits(seconds)),
        _ => None,
    };
    if seconds == Some(2) {
        at += 3;
        if let [b'.' | b',' | b':', fraction @ ..] = rest(bytes, at)
            && count_digits(fraction) > 0
        {
            at += 1 + count_digits(fraction);
            // Python's `%(asctime)s.%(msecs)03d` has the milliseconds twice.
            if let [b'.', again @ ..] = rest(bytes, at)
                && count_digits(again) == 3
            {
                at += 4;
            }
        }
    }
    let after = rest(bytes, at);
    let blank = usize::from(after.first() == Some(&b' '));
    let has_am_or_pm = after
        .get(blank..blank + 2)
        .is_some_and(|half| half.eq_ignore_ascii_case(b"AM") || half.eq_ignore_ascii_case(b"PM"));
    if has_am_or_pm {
        at += blank + 2;
    }
    let is_whole = seconds == Some(2) || has_am_or_pm || has_date && seconds.is_none();
    is_whole.then_some(at)
}

/// Length of a Unix time in this century's seconds, with or without a fraction, or in milliseconds or nanoseconds.
fn unix_time_len(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'1') {
        return None;
    }
    let seconds = count_digits(bytes);
    let is_apart = |end: usize| matches!(bytes.get(end), None | Some(b' ' | b'\t' | b']'));
    match rest(bytes, seconds) {
        [b'.', fraction @ ..] if seconds == 10 => {
            Some(seconds + 1 + count_digits(fraction)).filter(|end| is_apart(*end))
        }
        _ => matches!(seconds, 10 | 13 | 19).then_some(seconds).filter(|end| is_apart(*end)),
    }
}

/// Length of `Z`, `+02:00`, `+0200` or `+02` directly after the time.
fn offset_len(bytes: &[u8]) -> usize {
    match bytes {
        [b'Z' | b'z', ..] => 1,
        [b'+' | b'-', offset @ ..] => match (count_digits(offset), offset.get(2)) {
            (4, _) => 5,
            (2, None | Some(b' ' | b'\t' | b']')) => 3,
            (2, Some(b':')) if count_digits(rest(offset, 3)) == 2 => 6,
            _ => 0,
        },
        _ => 0,
    }
}

/// Length of ` UTC`, ` +0000`, or the year that Apache writes last.
fn zone_len(bytes: &[u8]) -> usize {
    let Some(zone) = bytes.strip_prefix(b" ") else { return 0 };
    let offset = if matches!(zone.first(), Some(b'+' | b'-')) { offset_len(zone) } else { 0 };
    let letters = zone.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let is_apart = |bytes: usize| matches!(zone.get(bytes), None | Some(b' ' | b'\t' | b']'));
    if offset > 0 {
        return 1 + offset;
    }
    if zone.get(..letters).is_some_and(|name| ZONES.contains(&name)) && is_apart(letters) {
        return 1 + letters;
    }
    if count_digits(zone) == 4 && zone.get(4) == Some(&b']') { 5 } else { 0 }
}
