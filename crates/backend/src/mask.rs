//! Masks credentials in texts of a backend: some servers repeat a request in their error pages.

use crate::destination::DestinationConfig;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use settings::{Headers, Proxy, Secret};
use std::borrow::Cow;
use std::sync::Arc;
use url::{Url, form_urlencoded};

/// Shorter values are not masked. They are not credentials and occur in many texts.
const SHORTEST_BYTES: usize = 6;

/// Maximum number of header values that stay masked after a change. A header has at most four (itself, its credentials, and
/// their decoded forms), so this covers a day of hourly secret rotation.
const MOST_HEADER_VALUES: usize = 96;

/// All but the unreserved characters (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Debug, Clone, Default)]
pub(crate) struct Mask {
    of_urls: Arc<[Secret]>,
    /// Values of current and former headers, newest first.
    of_headers: Arc<[Secret]>,
}

impl Mask {
    /// Masks the destination's header values (for `Basic …` also the credentials alone, encoded and decoded), and the passwords
    /// and query values in the URLs of endpoints and proxies.
    pub(crate) fn of(destination: &DestinationConfig) -> Self {
        let proxies = destination.proxy.iter().flat_map(Proxy::iter);
        let of_urls = destination.endpoints.iter().chain(proxies).flat_map(values_of_url);
        Self { of_urls: of_urls.map(Secret::new).collect(), ..Self::default() }
            .and(&destination.headers)
    }

    /// Masks the values of these headers too.
    pub(crate) fn and(&self, headers: &Headers) -> Self {
        let mut of_headers = Vec::new();
        for (_, value) in headers.iter() {
            let value = value.expose().trim();
            of_headers.push(Secret::new(value));
            of_headers.extend(value.rsplit(' ').next().map(Secret::new));
            of_headers.extend(basic_values(value).into_iter().flatten());
        }
        let newest = of_headers.len();
        of_headers.extend(self.of_headers.iter().cloned());
        of_headers.truncate(newest.max(MOST_HEADER_VALUES));
        Self { of_urls: Arc::clone(&self.of_urls), of_headers: of_headers.into() }
    }

    /// Replaces each secret with `****`: as it is, in base64, and percent-encoded; in any case, because some servers change it.
    pub(crate) fn apply<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        let lower = text.to_ascii_lowercase();
        let secrets = self.of_urls.iter().chain(self.of_headers.iter());
        let forms = secrets.flat_map(|secret| forms(secret.expose()));
        let mut found: Vec<_> = forms
            .filter(|form| form.len() >= SHORTEST_BYTES)
            .flat_map(|form| {
                lower.match_indices(&form).map(|(at, _)| at..at + form.len()).collect::<Vec<_>>()
            })
            .collect();
        if found.is_empty() {
            return text;
        }
        found.sort_unstable_by_key(|place| place.start);
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for place in found {
            if place.start >= end {
                masked.push_str(text.get(end..place.start).unwrap_or_default());
                masked.push_str("****");
            }
            end = end.max(place.end);
        }
        masked.push_str(text.get(end..).unwrap_or_default());
        masked.into()
    }
}

/// The forms of a secret in a text, in lower case: as it is, in base64, and both percent-encoded or in JSON. Base64 may lack its
/// padding, and some writers of JSON escape `/`.
fn forms(secret: &str) -> impl Iterator<Item = String> {
    let base64 = base64(secret);
    let plain = [secret, secret.trim_end_matches('='), &base64, base64.trim_end_matches('=')];
    let encoded = plain.map(|text| utf8_percent_encode(text, RESERVED).to_string());
    let json = plain.map(|text| serde_json::Value::from(text).to_string());
    let json = json.map(|text| text.trim_matches('"').to_owned());
    let escaped = json.clone().map(|text| text.replace('/', "\\/"));
    let forms = plain.map(str::to_owned).into_iter().chain(encoded).chain(json).chain(escaped);
    forms.map(|form| form.to_ascii_lowercase()).collect::<Vec<_>>().into_iter()
}

fn base64(text: &str) -> String {
    let mut base64 = Vec::new();
    wire::push_base64(&mut base64, text.as_bytes());
    String::from_utf8(base64).unwrap_or_default()
}

/// `user:password` and the password alone, as a server decodes them from `Basic …` (RFC 7617 §2). Base64 may lack its padding.
fn basic_values(value: &str) -> Option<[Secret; 2]> {
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let unpadded = credentials.trim().trim_end_matches('=');
    let padded_len = unpadded.len().next_multiple_of(4);
    let decoded = wire::decode_base64(format!("{unpadded:=<padded_len$}").as_bytes())?;
    let text = String::from_utf8(decoded).ok()?;
    let (_, password) = text.split_once(':')?;
    Some([Secret::new(password), Secret::new(&text)])
}

/// The password, alone and with its user as in a header, and the values of the query; as written and decoded.
fn values_of_url(url: &Url) -> Vec<String> {
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut values = Vec::new();
    if let Some(password) = url.password() {
        let both = format!("{}:{}", decoded(url.username()), decoded(password));
        values.extend([password.to_owned(), decoded(password), both]);
    }
    let query = url.query().unwrap_or_default();
    values.extend(query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())));
    values.extend(form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned()));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(url: &str, headers: &[&str]) -> Mask {
        let mut destination = DestinationConfig::new(&Url::parse(url).unwrap());
        for value in headers {
            destination.headers.push("x-key", *value).unwrap();
        }
        // `me:hunt er22`
        let proxy = Url::parse("http://me:hunt%20er22@proxy:3128").unwrap();
        destination.proxy = Some(Proxy::new(&proxy));
        Mask::of(&destination)
    }

    #[test]
    fn configured_secrets_are_masked_in_plain_base64_and_percent_form() {
        // `root@example.com:p>?ä ~pass/word`
        let basic = "Basic cm9vdEBleGFtcGxlLmNvbTpwPj/DpCB+cGFzcy93b3Jk";
        let url = "https://user:pass-word@h/x?token=s3%2Bcret&v=1&a=======&flag";
        let mask = mask(url, &[basic, "ab+/cd+/ef+/gh==", "%61%62%63"]);
        for (text, expected) in [
            ("nothing of it, v=1, abc = =, %zz, é", "nothing of it, v=1, abc = =, %zz, é"),
            ("got pass-word, PASS-WORD", "got ****, ****"),
            ("GET /x?token=s3%2Bcret&v=1 s3+cret", "GET /x?token=****&v=1 ****"),
            ("got Basic cm9vdEBleGFtcGxlLmNvbTpwPj/DpCB+cGFzcy93b3Jk.", "got ****."),
            ("got cm9vdEBleGFtcGxlLmNvbTpwPj/DpCB+cGFzcy93b3Jk.", "got ****."),
            ("got cm9vdEBleGFtcGxlLmNvbTpwPj%2fDpCB%2bcGFzcy93b3Jk.", "got ****."),
            ("root@example.com:p>?ä ~pass/word", "****"),
            ("user root@example.com, p>?ä ~pass/word!", "user root@example.com, ****!"),
            ("password p%3E%3F%C3%A4%20~pass%2Fword!", "password ****!"),
            ("password cD4/w6QgfnBhc3Mvd29yZA==!", "password ****!"),
            ("ab+/cd+/ef+/gh== ab+/cd+/ef+/gh ab%2B%2Fcd%2B%2Fef%2B%2Fgh%3D%3D", "**** **** ****"),
            (r#"{"got":"ab+\/cd+\/ef+\/gh=="}"#, r#"{"got":"****"}"#),
            ("Basic bWU6aHVudCBlcjIy, hunt%20er22, hunt er22", "Basic ****, ****, ****"),
        ] {
            assert_eq!(mask.apply(text.into()), expected);
        }
        assert!(!format!("{mask:?}").contains("pass"));
    }

    #[test]
    fn only_basic_credentials_are_decoded() {
        // `user:abcdef`
        for (header, expected) in [
            ("basic  dXNlcjphYmNkZWY", "wrong ****"),
            ("Bearer dXNlcjphYmNkZWY=", "wrong abcdef"),
            ("Basic dTo=", "wrong abcdef"),
            ("Basic !!!!", "wrong abcdef"),
        ] {
            assert_eq!(mask("http://h/", &[header]).apply("wrong abcdef".into()), expected);
        }
    }

    #[test]
    fn recently_replaced_credentials_stay_masked() {
        let headers = |number: usize| {
            let mut headers = Headers::new();
            headers.push("authorization", format!("Basic secret-{number:03}")).unwrap();
            headers
        };
        let mut mask = mask("http://u:pass-word@h/", &[]);
        for number in 0..100 {
            mask = mask.and(&headers(number));
        }
        for (text, expected) in [
            ("secret-099 secret-053", "**** ****"),
            ("secret-051", "secret-051"),
            ("pass-word", "****"),
        ] {
            assert_eq!(mask.apply(text.into()), expected);
        }
    }
}
