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
        const MOST_BYTES: usize = 40;
        let is_exact =
            matches!(text.as_bytes().get("2026-09-21T14:13:20".len()), Some(b'.' | b','));
        let of = |text: &str| Some(Self { unix_nano: wire::timestamp::parse(text)?, is_exact });
        if text.as_bytes().get(4) != Some(&b'/') {
            return of(text);
        }
        let mut buffer = [0; MOST_BYTES];
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
        return Some(StatedTime { bytes: USUAL.len(), has_clock: true, time });
    }
    if let Some(bytes) = unix_time(bytes) {
        return Some(StatedTime { bytes, has_clock: true, time: None });
    }
    let date = date(bytes);
    let after_date = date.unwrap_or(0);
    let gap = if date.is_some() { gap(rest(bytes, after_date)) } else { 0 };
    let clock = clock(rest(bytes, after_date + gap), date.is_some());
    let clock_end = match (date, clock) {
        (None, None) => return None,
        (Some(date), None) => date,
        (_, Some(clock)) => after_date + gap + clock,
    };
    let has_clock = clock.is_some();
    let offset = if has_clock { offset(rest(bytes, clock_end)) } else { 0 };
    let offset_end = clock_end + offset;
    let time = text.get(..offset_end).filter(|_| has_clock).and_then(LineTime::of_text);
    let zone = if has_clock && offset == 0 { zone(rest(bytes, offset_end)) } else { 0 };
    let end = offset_end + zone;
    let is_apart = !rest(bytes, end).first().is_some_and(u8::is_ascii_alphanumeric);
    is_apart.then_some(StatedTime { bytes: end, has_clock, time })
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

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn begins_with_one_of(bytes: &[u8], words: &[&[u8; 3]]) -> bool {
    bytes.first_chunk::<3>().is_some_and(|first| words.contains(&first))
}

/// Length of a date: `2026-09-21`, `21/09/2026`, `21-Sep-2026`, `21 Sep 2026`, or with the month first, as syslog and Java do. A
/// weekday may precede it. `21.09.2026`, `09-21` and `20260921` are dates only before a time of day.
fn date(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'0'..=b'9' => numeric_date(bytes),
        b'A'..=b'Z' => match name(bytes, &WEEKDAYS) {
            Some(name) => {
                let date = rest(bytes, name);
                named_date(date).or_else(|| numeric_date(date)).map(|date| name + date)
            }
            None => named_date(bytes),
        },
        _ => None,
    }
}

/// Length of a weekday's or a month's name, short or long, and of what separates it from the rest of the date.
fn name(bytes: &[u8], names: &[&[u8; 3]]) -> Option<usize> {
    const LONGEST: usize = "September".len();
    if !begins_with_one_of(bytes, names) {
        return None;
    }
    let letters = bytes.iter().take(LONGEST).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let blanks =
        rest(bytes, letters).iter().take(2).take_while(|byte| b", ".contains(byte)).count();
    (blanks > 0).then_some(letters + blanks)
}

fn numeric_date(bytes: &[u8]) -> Option<usize> {
    let first = digits(bytes);
    let separator = *bytes.get(first)?;
    let is_before_clock = |end: usize| clock(rest(bytes, end + 1), true).is_some().then_some(end);
    if matches!((first, separator), (6 | 8, b' ' | b'T' | b'-')) {
        return is_before_clock(first);
    }
    if !matches!(first, 1 | 2 | 4) || !matches!(separator, b'-' | b'/' | b' ' | b'.') {
        return None;
    }
    let at = first + 1;
    let month = match digits(rest(bytes, at)) {
        0 if begins_with_one_of(rest(bytes, at), &MONTHS) => 3,
        count @ 1..=2 if separator != b' ' => count,
        _ => return None,
    };
    let at = at + month;
    let last = digits(rest(bytes, at + 1));
    match *bytes.get(at)? {
        b' ' if separator == b'-' && first == 2 => is_before_clock(at),
        _ if !matches!(last, 1 | 2 | 4) => None,
        b'.' if separator == b'.' => is_before_clock(at + 1 + last),
        other => (other == separator).then_some(at + 1 + last),
    }
}

/// `Sep 21`, `Sep 21, 2026`, `September 21, 2026`, `Sep 21 2026`.
fn named_date(bytes: &[u8]) -> Option<usize> {
    let month = name(bytes, &MONTHS)?;
    let day = digits(rest(bytes, month));
    if !(1..=2).contains(&day) {
        return None;
    }
    let at = month + day;
    // The time of day follows directly, or a year.
    let year = rest(bytes, at).strip_prefix(b", ").map(digits);
    let is_year_alone = || {
        let year = rest(bytes, at).strip_prefix(b" ").map(digits);
        year == Some(4) && clock(rest(bytes, at + 6), true).is_some()
    };
    Some(match year {
        Some(4) => at + 6,
        _ if is_year_alone() => at + 5,
        _ => at,
    })
}

fn gap(bytes: &[u8]) -> usize {
    match bytes {
        [b',', b' ', ..] => 2,
        [b'T' | b't' | b' ' | b'_' | b':', ..] => 1,
        _ => 0,
    }
}

/// Length of a time of day: `14:13:20`, with or without a fraction, or `2:13PM`. Behind a date also `14:13`.
fn clock(bytes: &[u8], has_date: bool) -> Option<usize> {
    let hours = digits(bytes);
    let minutes = rest(bytes, hours).strip_prefix(b":").map(digits)?;
    if !(1..=2).contains(&hours) || minutes != 2 {
        return None;
    }
    let mut at = hours + 3;
    let seconds = rest(bytes, at).strip_prefix(b":").map(digits);
    if seconds == Some(2) {
        at += 3;
        if let [b'.' | b',' | b':', fraction @ ..] = rest(bytes, at)
            && digits(fraction) > 0
        {
            at += 1 + digits(fraction);
        }
    }
    let half = rest(bytes, at);
    let blank = usize::from(half.first() == Some(&b' '));
    let is_half = half
        .get(blank..blank + 2)
        .is_some_and(|half| half.eq_ignore_ascii_case(b"AM") || half.eq_ignore_ascii_case(b"PM"));
    if is_half {
        at += blank + 2;
    }
    let is_whole = seconds == Some(2) || is_half || has_date && seconds.is_none();
    is_whole.then_some(at)
}

/// Length of a Unix time in this century's seconds, with or without a fraction, or in milliseconds or nanoseconds.
fn unix_time(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'1') {
        return None;
    }
    let seconds = digits(bytes);
    let is_apart = |end: usize| matches!(bytes.get(end), None | Some(b' ' | b'\t' | b']'));
    match rest(bytes, seconds) {
        [b'.', fraction @ ..] if seconds == 10 => {
            Some(seconds + 1 + digits(fraction)).filter(|end| is_apart(*end))
        }
        _ => matches!(seconds, 10 | 13 | 19).then_some(seconds).filter(|end| is_apart(*end)),
    }
}

/// Length of `Z`, `+02:00` or `+0200` directly after the time.
fn offset(bytes: &[u8]) -> usize {
    match bytes {
        [b'Z' | b'z', ..] => 1,
        [b'+' | b'-', offset @ ..] => match (digits(offset), offset.get(2)) {
            (4, _) => 5,
            (2, Some(b':')) if digits(rest(offset, 3)) == 2 => 6,
            _ => 0,
        },
        _ => 0,
    }
}

/// Length of ` UTC`, ` +0000`, or the year that Apache writes last.
fn zone(bytes: &[u8]) -> usize {
    let Some(zone) = bytes.strip_prefix(b" ") else { return 0 };
    let offset = if matches!(zone.first(), Some(b'+' | b'-')) { offset(zone) } else { 0 };
    let letters = zone.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let is_apart = |bytes: usize| matches!(zone.get(bytes), None | Some(b' ' | b'\t' | b']'));
    if offset > 0 {
        return 1 + offset;
    }
    if zone.get(..letters).is_some_and(|name| ZONES.contains(&name)) && is_apart(letters) {
        return 1 + letters;
    }
    if digits(zone) == 4 && zone.get(4) == Some(&b']') { 5 } else { 0 }
}
