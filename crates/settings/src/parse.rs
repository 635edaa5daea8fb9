//! Parsers for values, one function for each kind. Errors state the expectation and never repeat the value.

use crate::error::Expected;
#[cfg(feature = "url")]
use crate::error::InvalidValue;
use std::time::Duration;

const DURATION_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
pub(crate) const DURATION: &str = "a duration (5s, 500ms, or milliseconds)";

/// Parses `500ms`, `5s`, `1m`, `5h`, `2d`, or a bare number of milliseconds.
pub fn duration(text: &str) -> Result<Duration, Expected> {
    let millis = number_with_unit(text, DURATION_UNITS).ok_or(Expected(DURATION))?;
    Ok(Duration::from_millis(millis))
}

// Longer units first: `KiB` ends in `B` too.
const BYTE_UNITS: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];
pub(crate) const BYTES: &str = "a size (900KiB, 10MB, or bytes)";

/// `900KiB`, `10MB`, or a bare number of bytes.
pub(crate) fn bytes(text: &str) -> Result<usize, Expected> {
    let bytes = number_with_unit(text, BYTE_UNITS).ok_or(Expected(BYTES))?;
    usize::try_from(bytes).map_err(|_| Expected(BYTES))
}

fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), *factor)))
        .unwrap_or((text, 1));
    digits(number)?.checked_mul(factor)
}

/// Digits only: `str::parse` would take `+5` too.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

pub(crate) const COUNT: &str = "a whole number";

pub(crate) fn count(text: &str) -> Result<usize, Expected> {
    digits(text.trim()).and_then(|number| usize::try_from(number).ok()).ok_or(Expected(COUNT))
}

pub(crate) const RATIO: &str = "a number from 0 to 1";

pub(crate) fn ratio(text: &str) -> Result<f64, Expected> {
    text.trim().parse().ok().filter(|number| (0.0..=1.0).contains(number)).ok_or(Expected(RATIO))
}

pub(crate) const SWITCH: &str = "true or false";

pub(crate) fn switch(text: &str) -> Result<bool, Expected> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Expected(SWITCH)),
    }
}

/// An absolute `http` or `https` URL with a host and no credentials.
///
/// Credentials are refused because a URL is printed in logs and errors; a header is not.
#[cfg(feature = "url")]
pub(crate) fn url(text: &str) -> Result<url::Url, InvalidValue> {
    const EXPECTED: &str = "expected http:// or https://";
    let url = url::Url::parse(text.trim()).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => {
            InvalidValue::new(format!("not an absolute URL, {EXPECTED}"))
        }
        url::ParseError::IdnaError => InvalidValue::new(
            "the host is not a DNS name; write letters other than ASCII in Punycode (xn--…)",
        ),
        other => InvalidValue::new(format!("{other}, {EXPECTED}")),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        // Without `//`, as in `localhost:4318`, the host would be taken for the scheme.
        return Err(InvalidValue::new(format!("not an HTTP URL, {EXPECTED}")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidValue::new("contains credentials; give them in a header instead"));
    }
    Ok(url)
}

/// The URL of a proxy, with optional credentials; `host:port` alone means `http://host:port`, as in curl.
#[cfg(feature = "url")]
pub(crate) fn proxy(text: &str) -> Result<url::Url, InvalidValue> {
    const EXPECTED: &str = "expected http://host:port or https://host:port";
    let text = text.trim();
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = url::Url::parse(&with_scheme)
        .map_err(|error| InvalidValue::new(format!("{error}, {EXPECTED}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(InvalidValue::new(format!("unsupported kind of proxy, {EXPECTED}")));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_with_and_without_units() {
        let check = |text, millis: Option<u64>| {
            assert_eq!(duration(text).ok(), millis.map(Duration::from_millis), "{text}");
        };
        check("500", Some(500));
        check("500ms", Some(500));
        check("5s", Some(5000));
        check(" 5 s ", Some(5000));
        check("1m", Some(60_000));
        check("5h", Some(18_000_000));
        check("2d", Some(172_800_000));
        check("0", Some(0));
        check("ten", None);
        check("", None);
        check("s", None);
        check("-5s", None);
        check("+5s", None);
        check("1.5s", None);
        check("5 minutes", None);
        check("18446744073709551615h", None);
        check("18446744073709551616", None);
    }

    #[test]
    fn sizes_are_parsed_with_and_without_units() {
        let check =
            |text, expected: Option<usize>| assert_eq!(bytes(text).ok(), expected, "{text}");
        check("4194304", Some(4 << 20));
        check("900KiB", Some(900 << 10));
        check("10MB", Some(10_000_000));
        check("1 MiB", Some(1 << 20));
        check("2GiB", Some(2 << 30));
        check("12B", Some(12));
        check("10kB", Some(10_000));
        check("10 apples", None);
        check("-1", None);
        check("99999999999GiB", None);
    }

    #[test]
    fn counts_ratios_and_switches_are_parsed() {
        let no_count = Err(Expected(COUNT));
        assert_eq!(["7", "-7", "7.0"].map(count), [Ok(7), no_count, no_count]);
        assert_eq!(["0.25", "1", "0"].map(ratio), [Ok(0.25), Ok(1.0), Ok(0.0)]);
        assert_eq!(["1.01", "NaN", "-0.1"].map(ratio), [Err(Expected(RATIO)); 3]);
        assert_eq!(["TRUE", "0", "on"].map(switch), [Ok(true), Ok(false), Err(Expected(SWITCH))]);
    }

    #[cfg(feature = "url")]
    #[test]
    fn urls_must_be_absolute_http_without_credentials() {
        let check = |text, expected: &str| assert_eq!(url(text).unwrap().as_str(), expected);
        let check_problem = |text, expected: &str| {
            assert_eq!(url(text).unwrap_err().to_string(), expected, "{text}");
        };
        check("http://localhost:5080/api/default", "http://localhost:5080/api/default");
        check("https://[::1]:443/x", "https://[::1]/x");
        check_problem("api.openobserve.ai", "not an absolute URL, expected http:// or https://");
        check_problem("/api/default", "not an absolute URL, expected http:// or https://");
        check_problem("localhost:4318", "not an HTTP URL, expected http:// or https://");
        check_problem("ftp://host/", "not an HTTP URL, expected http:// or https://");
        check_problem("http://", "empty host, expected http:// or https://");
        check("https://xn--bcher-kva.example/x", "https://xn--bcher-kva.example/x");
        let letters =
            "the host is not a DNS name; write letters other than ASCII in Punycode (xn--…)";
        for text in ["https://bücher.example/x", "https://b%C3%BCcher.example/", "https://a%20b/"]
        {
            check_problem(text, letters);
        }
        check_problem("http://host:99999/", "invalid port number, expected http:// or https://");
        check_problem(
            "https://me:hunter2@host/",
            "contains credentials; give them in a header instead",
        );
    }

    #[cfg(feature = "url")]
    #[test]
    fn proxy_urls_may_have_credentials_and_need_no_scheme() {
        let check = |text, expected: &str| assert_eq!(proxy(text).unwrap().as_str(), expected);
        let check_problem = |text, expected: &str| {
            assert_eq!(proxy(text).unwrap_err().to_string(), expected, "{text}");
        };
        check("http://proxy:3128", "http://proxy:3128/");
        check("https://me:hunter2@proxy", "https://me:hunter2@proxy/");
        check("proxy:3128", "http://proxy:3128/");
        check("me:hunter2@proxy:3128", "http://me:hunter2@proxy:3128/");
        check_problem(
            "socks5://proxy",
            "unsupported kind of proxy, expected http://host:port or https://host:port",
        );
        check_problem("http://", "empty host, expected http://host:port or https://host:port");
    }
}
