//! Masks credentials in texts of a backend: some servers repeat a request in their error pages.

mod view;

use crate::destination::DestinationConfig;
use percent_encoding::percent_decode_str;
use settings::{Headers, Proxy, Secret};
use std::borrow::Cow;
use std::sync::Arc;
use url::{Url, form_urlencoded};
use view::View;

/// Shorter values are not masked. They are not credentials and occur in many texts.
const SHORTEST_BYTES: usize = 6;

/// Maximum number of header values that stay masked after a change. A header has at most four (itself, its credentials, and
/// their decoded forms), so this covers a day of hourly secret rotation.
const MAX_HEADER_VALUES: usize = 96;

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
        of_headers.truncate(newest.max(MAX_HEADER_VALUES));
        Self { of_urls: Arc::clone(&self.of_urls), of_headers: of_headers.into() }
    }

    /// Replaces each secret with `****`: as it is, or in base64, alone or within a longer text such as a whole header; each of them
    /// also with percent-encoding or in JSON; in any case, because some servers change it.
    pub(crate) fn apply<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        if text.len() < SHORTEST_BYTES {
            return text;
        }
        let secrets = self.of_urls.iter().chain(self.of_headers.iter());
        let needles: Vec<Needle> = secrets.flat_map(|secret| needles(secret.expose())).collect();
        let mut hidden = vec![false; text.len()];
        View::each(&text, &mut |view| {
            for Needle { text, before, after } in &needles {
                for place in view.find(text, *before, *after) {
                    hidden.get_mut(place).into_iter().flatten().for_each(|byte| *byte = true);
                }
            }
        });
        if !hidden.contains(&true) {
            return text;
        }
        let mut masked = String::with_capacity(text.len());
        let mut follows_hidden = false;
        for (at, character) in text.char_indices() {
            let is_hidden = hidden.get(at).is_some_and(|is_hidden| *is_hidden);
            if !is_hidden {
                masked.push(character);
            } else if !follows_hidden {
                masked.push_str("****");
            }
            follows_hidden = is_hidden;
        }
        masked.into()
    }
}

/// A text by which a secret is found, in lower case.
struct Needle {
    text: String,
    /// Bytes before and after it that also depend on the secret.
    before: usize,
    after: usize,
}

impl Needle {
    /// Finds this text, all of whose bytes depend on the secret.
    fn whole(text: &str) -> Self {
        Self { text: text.to_owned(), before: 0, after: 0 }
    }

    /// Returns the same base64 in the URL-safe alphabet (RFC 4648 §5); `None` if it is equal.
    fn to_url_safe(&self) -> Option<Self> {
        let text = self.text.replace('+', "-").replace('/', "_");
        (text != self.text).then_some(Self { text, ..*self })
    }
}

/// Returns the texts that show the secret: itself, an HTML form's spelling, base64, and its part of a longer text's base64. Base64
/// may lack its padding.
fn needles(secret: &str) -> Vec<Needle> {
    let form_value = secret.replace(' ', "+");
    let plain = [secret, secret.trim_end_matches('='), &form_value].map(Needle::whole);
    let mut in_base64 = vec![Needle::whole(&base64(secret.as_bytes()))];
    in_base64.extend((0..3).map(|bytes| within_base64(bytes, secret)));
    let mut needles: Vec<Needle> = plain.into();
    needles.extend(in_base64.iter().filter_map(Needle::to_url_safe));
    needles.extend(in_base64);
    needles.retain(|needle| needle.text.len() >= SHORTEST_BYTES);
    for needle in &mut needles {
        needle.text.make_ascii_lowercase();
    }
    needles.sort_unstable_by(|one, other| one.text.cmp(&other.text));
    needles.dedup_by(|one, other| one.text == other.text);
    needles
}

/// The part of the base64 of a longer text that depends only on the secret, which begins this number of bytes (modulo 3) after the
/// beginning of the text. The character before or after it may have bits of both.
fn within_base64(bytes: usize, secret: &str) -> Needle {
    let preceded = [vec![0; bytes], secret.as_bytes().to_vec()].concat();
    let bits = preceded.len() * 8;
    let encoded = base64(&preceded);
    let inner = (bytes * 8).div_ceil(6)..bits / 6;
    Needle {
        text: encoded.get(inner).unwrap_or_default().to_owned(),
        before: usize::from(bytes > 0),
        after: usize::from(!bits.is_multiple_of(6)),
    }
}

fn base64(bytes: &[u8]) -> String {
    let mut base64 = Vec::new();
    wire::push_base64(&mut base64, bytes);
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
    fn encoded_secrets_are_masked_and_the_text_around_them_stays() {
        // `root@example.com:p>?ä ~pass/word`
        let basic = "Basic cm9vdEBleGFtcGxlLmNvbTpwPj/DpCB+cGFzcy93b3Jk";
        let mask = mask("https://h/?token=Aa~~zZ??\u{1f511}", &[basic, "Bearer sk-Zo3/4+secret"]);
        let escaped = |format: fn(char) -> String| "sk-Zo3/4+secret".chars().map(format).collect();
        let percent: String = escaped(|c| format!("%{:02x}", u32::from(c)));
        let twice: String = escaped(|c| format!("%25{:02X}", u32::from(c)));
        let json: String = escaped(|c| format!("\\u{:04X}", u32::from(c)));
        let json_twice: String = escaped(|c| format!("\\\\u{:04x}", u32::from(c)));
        let percent_in_json: String = escaped(|c| format!("\\u0025{:02x}", u32::from(c)));
        for (text, expected) in [
            (format!("é%41{percent}%zz"), "é%41****%zz".to_owned()),
            (format!("é{twice}%"), "é****%".to_owned()),
            (
                format!(r#"{{"a":"\u0041{json}\n\uZZ\ud800"}}"#),
                r#"{"a":"\u0041****\n\uZZ\ud800"}"#.to_owned(),
            ),
            (format!("{json_twice}\\"), "****\\".to_owned()),
            (format!("{percent_in_json}\\u00"), "****\\u00".to_owned()),
            (
                "s%6B-Zo3\\/4%2Bsecret sk-zo3\\/4\\u002bsecre".to_owned(),
                "**** sk-zo3\\/4\\u002bsecre".to_owned(),
            ),
            (r"Aa~~zZ??\ud83d\udd11, aa~~zz??%F0%9F%94%91".to_owned(), "****, ****".to_owned()),
            (
                "p%3E%3F%C3%A4+~pass%2Fword p>?\\u00e4 ~pass\\/word".to_owned(),
                "**** ****".to_owned(),
            ),
        ] {
            assert_eq!(mask.apply(text.clone().into()), expected, "{text}");
        }
    }

    #[test]
    fn a_secret_within_the_base64_of_a_header_is_masked() {
        let secret = "Bearer sk~Zo3?4?secret\u{3bf}?";
        let mask = mask("https://h/", &[secret]);
        for (header, end) in ["", "a", "ab", "abc", "authorization"]
            .into_iter()
            .flat_map(|name| ["", "\r\n", "\r\nx", "\r\nhost: h"].map(|end| (name, end)))
        {
            let before = format!("{header}: ");
            let encoded = base64(format!("{before}{secret}{end}").as_bytes());
            // The characters with bits of the secret.
            let first = before.len() * 8 / 6;
            let last = ((before.len() + secret.len()) * 8).div_ceil(6);
            let (plain_before, _) = encoded.split_at(first);
            let (_, plain_after) = encoded.split_at(last);
            let expected = format!("{plain_before}****{plain_after}");
            let is_padding_masked = |text: &str| text.trim_end_matches('=').to_owned();
            for text in [
                encoded.clone(),
                encoded.replace('+', "-").replace('/', "_"),
                encoded.replace('/', "%2F").replace('+', "%2b"),
                encoded.replace('/', "\\/"),
            ] {
                let masked = mask.apply(text.clone().into());
                assert_eq!(is_padding_masked(&masked), is_padding_masked(&expected), "{text}");
            }
        }
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
