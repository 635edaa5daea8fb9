//! Masks credentials in texts of a backend: some servers repeat a request in their error pages.

use crate::destination::DestinationConfig;
use percent_encoding::percent_decode_str;
use settings::{Headers, Proxy, Secret};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use url::{Url, form_urlencoded};

/// Shorter values are not masked. They are not credentials and occur in many texts.
const SHORTEST_BYTES: usize = 6;

/// Maximum number of header texts that stay masked after a change. A value has at most four (itself, its credentials, and their
/// decoded forms), so this covers a day of hourly secret rotation.
const MOST_HEADER_TEXTS: usize = 96;

#[derive(Debug, Clone, Default)]
pub(crate) struct Mask {
    of_urls: Arc<[Secret]>,
    /// Texts from current and former headers, newest first.
    of_headers: Arc<[Secret]>,
}

impl Mask {
    /// Masks the destination's header values (for `Basic …` also the credentials alone, encoded and decoded), and the passwords
    /// and query values in the URLs of endpoints and proxies.
    pub(crate) fn of(destination: &DestinationConfig) -> Self {
        let mut of_urls = Vec::new();
        let proxies = destination.proxy.iter().flat_map(Proxy::iter);
        for url in destination.endpoints.iter().chain(proxies) {
            add_texts_of(url, &mut of_urls);
        }
        Self { of_urls: of_urls.into_iter().map(Secret::new).collect(), ..Self::default() }
            .and(&destination.headers)
    }

    pub(crate) fn and(&self, headers: &Headers) -> Self {
        let mut of_headers = Vec::new();
        for (_, value) in headers.iter() {
            let value = value.expose().trim();
            of_headers.push(Secret::new(value));
            of_headers.extend(value.rsplit(' ').next().map(Secret::new));
            of_headers.extend(basic_texts(value).into_iter().flatten());
        }
        let newest = of_headers.len();
        let older = self.of_headers.iter().filter(|text| !of_headers.contains(text));
        let older: Vec<Secret> = older.cloned().collect();
        of_headers.extend(older);
        of_headers.truncate(newest.max(MOST_HEADER_TEXTS));
        Self { of_urls: Arc::clone(&self.of_urls), of_headers: of_headers.into() }
    }

    /// Replaces each secret with `****` in any spelling a server may use: percent-encoded, base64url, other case, JSON or HTML
    /// escapes (also one in the other), or folded into several lines.
    pub(crate) fn apply<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        let mut found = self.places(&text);
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

    /// The places of secrets in a text, compared without and with its escapes decoded: a percent sign before a secret that begins
    /// with two digits is no escape.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let spellings = spellings(text);
        for secret in self.of_urls.iter().chain(self.of_headers.iter()) {
            for (letters, secret) in spellings.iter().zip(self::spellings(secret.expose())) {
                let mut secret: Vec<u8> = secret.into_iter().map(|letter| letter.byte).collect();
                if secret.len() < SHORTEST_BYTES {
                    continue;
                }
                // Base64 may lack its padding.
                for _ in 0..2 {
                    secret.pop_if(|last| *last == b'=');
                }
                let is_secret =
                    |part: &[Letter]| part.iter().map(|letter| &letter.byte).eq(&secret);
                let windows = letters.windows(secret.len()).enumerate();
                for (begin, _) in windows.filter(|(_, part)| is_secret(part)) {
                    let padding = letters.iter().skip(begin + secret.len()).take(2);
                    let padding = padding.take_while(|letter| letter.byte == b'=').count();
                    let last = begin + secret.len() + padding - 1;
                    if let (Some(first), Some(last)) = (letters.get(begin), letters.get(last)) {
                        found.push(first.place.start..last.place.end);
                    }
                }
            }
        }
        found
    }
}

/// A byte of a text, perhaps decoded from an escape at this place.
struct Letter {
    byte: u8,
    place: Range<usize>,
}

/// A text as it is, and with its escapes decoded once and twice; each in lower case, in the standard alphabet of base64, and
/// without white space.
fn spellings(text: &str) -> [Vec<Letter>; 3] {
    let as_it_is: Vec<Letter> =
        text.bytes().enumerate().map(|(at, byte)| Letter { byte, place: at..at + 1 }).collect();
    let once = decoded(&as_it_is);
    let twice = decoded(&once);
    [as_it_is, once, twice].map(|mut letters| {
        letters.retain(|letter| !letter.byte.is_ascii_whitespace());
        for Letter { byte, .. } in &mut letters {
            *byte = match *byte {
                b'-' => b'+',
                b'_' => b'/',
                byte => byte.to_ascii_lowercase(),
            };
        }
        letters
    })
}

/// Decodes the escapes of URLs, JSON and HTML.
fn decoded(letters: &[Letter]) -> Vec<Letter> {
    let bytes: Vec<u8> = letters.iter().map(|letter| letter.byte).collect();
    let mut result = Vec::with_capacity(letters.len());
    let mut rest = (bytes.as_slice(), letters);
    while let (Some(first), [Letter { place, .. }, ..]) = (rest.0.first(), rest.1) {
        let mut utf8 = [0; 4];
        let (decoded, len): (&[u8], usize) = match escape(rest.0) {
            Some((Escaped::Byte(byte), len)) => {
                utf8[0] = byte;
                (&utf8[..1], len)
            }
            Some((Escaped::Char(char), len)) => (char.encode_utf8(&mut utf8).as_bytes(), len),
            Some((Escaped::Nothing, len)) => (&[], len),
            None => (std::slice::from_ref(first), 1),
        };
        let end = rest.1.get(len - 1).map_or(place.end, |last| last.place.end);
        result.extend(decoded.iter().map(|byte| Letter { byte: *byte, place: place.start..end }));
        rest = (rest.0.get(len..).unwrap_or_default(), rest.1.get(len..).unwrap_or_default());
    }
    result
}

enum Escaped {
    Byte(u8),
    Char(char),
    /// White space, or a backslash before a letter that needs none.
    Nothing,
}

/// The escape at the beginning of a text, and its length.
fn escape(text: &[u8]) -> Option<(Escaped, usize)> {
    match text {
        [b'%', high, low, ..] => Some((Escaped::Byte(hex(*high, *low)?), 3)),
        [b'\\', b'u', ..] => Some(match json_char(text) {
            Some((char, len)) => (Escaped::Char(char), len),
            None => (Escaped::Nothing, 1),
        }),
        [b'\\', b'n' | b'r' | b't', ..] => Some((Escaped::Nothing, 2)),
        [b'\\', ..] => Some((Escaped::Nothing, 1)),
        [b'&', reference @ ..] => {
            let len = reference.iter().take(10).position(|byte| *byte == b';')?;
            let char = html_char(std::str::from_utf8(reference.get(..len)?).ok()?)?;
            Some((Escaped::Char(char), len + 2))
        }
        _ => None,
    }
}

/// The character of `\u` and four digits, or of a surrogate pair of two such escapes (RFC 8259 §7), and the length.
fn json_char(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let [b'\\', b'u', a, b, c, d] = *text.get(at..at + 6)? else { return None };
        Some(u16::from_be_bytes([hex(a, b)?, hex(c, d)?]))
    };
    let units = [unit(0), unit(6)].into_iter().map_while(|unit| unit);
    let char = char::decode_utf16(units).next()?.ok()?;
    Some((char, 6 * char.len_utf16()))
}

/// The character of an HTML reference, without `&` and `;`. The names are those of the characters of base64 and of HTML's syntax.
fn html_char(reference: &str) -> Option<char> {
    let number = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
    match reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "plus" => Some('+'),
        "sol" => Some('/'),
        "equals" => Some('='),
        _ => {
            let digits = reference.strip_prefix('#')?;
            match digits.strip_prefix(['x', 'X']) {
                Some(digits) => number(digits, 16),
                None => number(digits, 10),
            }
        }
    }
}

/// The byte of two hexadecimal digits.
fn hex(high: u8, low: u8) -> Option<u8> {
    let digit =
        |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// `user:password` and the password alone, as a server decodes them from `Basic …` (RFC 7617 §2). Base64 may lack its padding.
fn basic_texts(value: &str) -> Option<[Secret; 2]> {
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

/// Adds the password and the query values, as written and decoded, and the password as it appears in a header.
fn add_texts_of(url: &Url, texts: &mut Vec<String>) {
    if let Some(password) = url.password() {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let mut basic = Vec::new();
        wire::push_base64(
            &mut basic,
            format!("{}:{}", decoded(url.username()), decoded(password)).as_bytes(),
        );
        texts.extend(String::from_utf8(basic));
        texts.extend([password.to_owned(), decoded(password)]);
    }
    let query = url.query().unwrap_or_default();
    texts.extend(query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())));
    texts.extend(form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_queries_and_passwords_are_masked() {
        let base = "https://user:pass-word@h/x?token=s3%2Bcret&v=1&flag";
        let mut destination = DestinationConfig::new(&Url::parse(base).unwrap());
        destination.headers.push("authorization", "Basic c2VjcmV0").unwrap();
        destination.headers.push("x-key", "c2VjcmV0-and-more").unwrap();
        let mask = Mask::of(&destination);
        let check = |text: &str, expected| assert_eq!(mask.apply(text.into()), expected);
        check("got Basic c2VjcmV0, c2VjcmV0", "got ****, ****");
        check("got c2VjcmV0-and-more", "got ****");
        check("GET /x?token=s3%2Bcret&v=1", "GET /x?token=****&v=1");
        check("token s3+cret", "token ****");
        check("pass-word", "****");
        check("nothing of it", "nothing of it");
        assert!(!format!("{mask:?}").contains("c2V"));
    }

    #[test]
    fn a_credential_is_masked_in_every_encoding() {
        let mut destination = DestinationConfig::new(&Url::parse("http://h/").unwrap());
        // `root@example.com:p>?ä ~pass/word`
        let basic = "cm9vdEBleGFtcGxlLmNvbTpwPj/DpCB+cGFzcy93b3Jk";
        destination.headers.push("authorization", format!("Basic {basic}")).unwrap();
        destination.headers.push("x-key", "ab+/cd+/ef+/gh==").unwrap();
        let mask = Mask::of(&destination);
        let check = |text: &str, expected| assert_eq!(mask.apply(text.into()), expected, "{text}");
        let percent = |text: &str| {
            text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat()
        };
        check(&format!("got Basic {basic}."), "got ****.");
        check(&format!("got {}.", percent(basic)), "got ****.");
        check(&format!("got {}.", percent(basic).to_uppercase()), "got ****.");
        check("got ab%2B%2Fcd%2B%2Fef%2B%2Fgh%3D%3D&x=1", "got ****&x=1");
        check("got ab-_cd-_ef-_gh&x=1", "got ****&x=1");
        check("got ab-_cd-_ef-_gh==", "got ****");
        check(&format!("AUTHORIZATION: BASIC {}", basic.to_uppercase()), "AUTHORIZATION: ****");
        check(&format!("{} end", basic.replace("xl", "x\r\n l")), "**** end");
        check(r#"{"key":"ab+\/cd+\/ef\u002b\/\r\ngh=="}"#, r#"{"key":"****"}"#);
        check("password p>?ä ~pass/word!", "password ****!");
        check("password p%3E%3F%C3%A4%20~pass%2Fword!", "password ****!");
        check("password p&gt;?&#228; ~pass&#x2F;word!", "password ****!");
        check("ab&#43;/cd&plus;/ef+&sol;gh&#x3D;&equals;<br>", "****<br>");
        check(r"password p>?\u00e4 ~pass/word!", "password ****!");
        // JSON of Go in HTML, and HTML in JSON of Go.
        check(r"password p\u0026gt;?ä ~pass/word!", "password ****!");
        check(r"password p&gt;?&#92;u00e4 ~pass/word!", "password ****!");
        check("password p%253E?%25C3%25A4 ~pass/word!", "password ****!");
        check("100% of ab+/cd, %zz \\ é", "100% of ab+/cd, %zz \\ é");
        check("100%ab+/cd+/ef+/gh==, \\u00ab+/cd+/ef+/gh", "100%****, \\u00****");
    }

    #[test]
    fn values_with_a_short_decoded_form_are_not_masked() {
        let mut destination = DestinationConfig::new(&Url::parse("http://h/?a=======").unwrap());
        destination.headers.push("x-key", "%61%62%63").unwrap();
        assert_eq!(Mask::of(&destination).apply("abc = = x".into()), "abc = = x");
    }

    #[test]
    fn proxy_credentials_are_masked() {
        let mut destination = DestinationConfig::new(&Url::parse("http://h/").unwrap());
        // `me:hunt er22`
        let proxy = Url::parse("http://me:hunt%20er22@proxy:3128").unwrap();
        destination.proxy = Some(Proxy::new(&proxy));
        let mask = Mask::of(&destination);
        for text in ["Basic bWU6aHVudCBlcjIy", "Basic hunt%20er22", "Basic hunt er22"] {
            assert_eq!(mask.apply(text.into()), "Basic ****", "{text}");
        }
    }

    #[test]
    fn decoded_basic_credentials_are_masked() {
        let mask_of = |value: &str| {
            let mut destination = DestinationConfig::new(&Url::parse("http://h/").unwrap());
            destination.headers.push("authorization", value).unwrap();
            Mask::of(&destination)
        };
        let check = |value: &str, text: &str, expected| {
            assert_eq!(mask_of(value).apply(text.into()), expected);
        };
        // `root@example.com:pass:word`, with and without its padding.
        for value in [
            "Basic cm9vdEBleGFtcGxlLmNvbTpwYXNzOndvcmQ=",
            "basic  cm9vdEBleGFtcGxlLmNvbTpwYXNzOndvcmQ",
        ] {
            check(
                value,
                "user root@example.com, password pass:word",
                "user root@example.com, password ****",
            );
            check(value, "root@example.com:pass:word", "****");
        }
        // `user:abcdef`, and a value that is not a `Basic` header.
        check("Basic dXNlcjphYmNkZWY=", "wrong password abcdef", "wrong password ****");
        check("Bearer dXNlcjphYmNkZWY=", "wrong password abcdef", "wrong password abcdef");
        check("Basic dTo=", "nothing is masked", "nothing is masked");
        check("Basic !!!!", "nothing is masked", "nothing is masked");
    }

    #[test]
    fn recently_replaced_credentials_stay_masked() {
        let headers = |number: usize| {
            let mut headers = Headers::new();
            headers.push("authorization", format!("Basic secret-{number:03}")).unwrap();
            headers
        };
        let mut mask =
            Mask::of(&DestinationConfig::new(&Url::parse("http://u:pass-word@h/").unwrap()));
        for number in 0..100 {
            mask = mask.and(&headers(number));
        }
        let check = |text: &str, expected| assert_eq!(mask.apply(text.into()), expected);
        check("secret-099 secret-098 secret-053", "**** **** ****");
        check("secret-051", "secret-051");
        check("pass-word", "****");
    }
}
