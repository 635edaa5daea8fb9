//! HTTP headers from `k1=v1,k2=v2`, with secret values.

use crate::error::InvalidValue;
use crate::secret::Secret;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::fmt;

/// Headers with secret values, in the order given.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    headers: Vec<HeaderField>,
}

#[derive(Clone, PartialEq, Eq)]
struct HeaderField {
    /// In lower case.
    name: String,
    value: Secret,
}

impl HeaderField {
    fn has_name(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl Headers {
    pub const fn new() -> Self {
        Self { headers: Vec::new() }
    }

    /// Reads `OTEL_EXPORTER_OTLP_HEADERS` and similar variables: splits at commas, then at the first `=`. A value is
    /// percent-decoded if it is valid percent-encoding, and otherwise used as given, including raw spaces and padding
    /// (`authorization=Basic cHJh==`).
    ///
    /// The error names the entry by its position or header name, never by its value.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let mut headers = Self::new();
        for (position, entry) in text.split(',').enumerate() {
            if entry.trim().is_empty() {
                continue;
            }
            let Some((name, value)) = entry.split_once('=') else {
                return Err(InvalidValue::new(format!(
                    "entry {} has no `=`, expected name=value,name=value",
                    position + 1
                )));
            };
            headers.push(name.trim(), percent_decoded(value.trim())).map_err(|problem| {
                InvalidValue::new(format!("entry {}: {problem}", position + 1))
            })?;
        }
        Ok(headers)
    }

    /// Appends a header, unless HTTP forbids it (RFC 9110 5.1, 5.5).
    pub fn push(&mut self, name: &str, value: impl Into<String>) -> Result<(), InvalidValue> {
        let value = value.into();
        if name.is_empty() {
            return Err(InvalidValue::new("a header has no name"));
        }
        if !name.bytes().all(is_token_byte) {
            return Err(InvalidValue::new(
                "a header name may contain only letters, digits and !#$%&'*+-.^_`|~",
            ));
        }
        if !value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)) {
            let problem = format!("the value of {name} contains a control character");
            return Err(InvalidValue::new(problem));
        }
        self.headers
            .push(HeaderField { name: name.to_ascii_lowercase(), value: Secret::new(value) });
        Ok(())
    }

    /// Replaces all headers of this name by one, unless HTTP forbids it, as in [`Self::push`].
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> Result<(), InvalidValue> {
        let mut added = Self::new();
        added.push(name, value)?;
        self.headers.retain(|header| !header.has_name(name));
        self.headers.append(&mut added.headers);
        Ok(())
    }

    /// The first value under this name, in any case.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.headers.iter().find(|header| header.has_name(name)).map(|header| &header.value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.headers.iter().map(|header| (header.name.as_str(), &header.value))
    }

    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// `tchar` of RFC 9110 5.6.2: the signs of a header's name, and of a scheme of `authorization`.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Decodes each `%XX` and keeps all other text. Returns the input unchanged if the result were not UTF-8.
pub fn percent_decoded(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_or_else(|_| text.to_owned(), Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let headers = Headers::parse(text).unwrap();
        let shown: Vec<_> = headers.iter().map(|(name, value)| (name, value.expose())).collect();
        assert_eq!(shown, expected, "{text}");
    }

    #[track_caller]
    fn check_problem(text: &str, expected: &str) {
        assert_eq!(Headers::parse(text).unwrap_err().to_string(), expected, "{text}");
    }

    #[test]
    fn headers_are_split_at_commas_and_the_first_equals_sign() {
        check("", &[]);
        check("a=1", &[("a", "1")]);
        check("a=1,b=2,", &[("a", "1"), ("b", "2")]);
        check(" A-Key = 1 , b=", &[("a-key", "1"), ("b", "")]);
        check("b=2,a=1,b=3", &[("b", "2"), ("a", "1"), ("b", "3")]);
        check("authorization=Basic cHJhYmhhdA==", &[("authorization", "Basic cHJhYmhhdA==")]);
        check("authorization=Basic%20cHJhYmhhdA%3D%3D", &[("authorization", "Basic cHJhYmhhdA==")]);
        check("x=a%2Cb", &[("x", "a,b")]);
        check("x=100%", &[("x", "100%")]);
        check("x=%zz%2", &[("x", "%zz%2")]);
        check("x=%ff", &[("x", "%ff")]);
        check("x=%c3%a9", &[("x", "é")]);
        check_problem("a", "entry 1 has no `=`, expected name=value,name=value");
        check_problem("a=1,Basic hunter2", "entry 2 has no `=`, expected name=value,name=value");
        check_problem("=1", "entry 1: a header has no name");
        check_problem(
            "a=1,b c=2",
            "entry 2: a header name may contain only letters, digits and !#$%&'*+-.^_`|~",
        );
        check_problem(
            "x=a%0d%0aHost: evil",
            "entry 1: the value of x contains a control character",
        );
        check_problem("x=%00", "entry 1: the value of x contains a control character");
    }

    #[test]
    fn setting_a_header_replaces_all_headers_of_that_name() {
        let mut headers = Headers::parse("b=1,authorization=old,B=2").unwrap();
        headers.set("Authorization", "new").unwrap();
        headers.set("b", "3").unwrap();
        assert!(headers.set("b", "line\nbreak").is_err());
        let shown: Vec<_> = headers.iter().map(|(name, value)| (name, value.expose())).collect();
        assert_eq!(shown, [("authorization", "new"), ("b", "3")]);
    }

    #[test]
    fn printed_header_values_are_masked() {
        let headers = Headers::parse("authorization=Basic hunter2,x=y").unwrap();
        assert_eq!(format!("{headers:?}"), r#"{"authorization": ****, "x": ****}"#);
        assert_eq!(headers.get("Authorization").unwrap().expose(), "Basic hunter2");
    }
}
