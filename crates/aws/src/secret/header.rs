//! Converts a secret to the header that carries it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use settings::Secret;

/// The header that carries a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHeader {
    /// In lower case.
    pub name: String,
    pub value: Secret,
}

/// The reason why a secret gives no header. Contains no part of the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnusableSecret {
    #[error("it is not a JSON object, so it has no key {0:?}")]
    NoObject(String),
    #[error("it is a JSON object without a text under {0:?}")]
    WithoutKey(String),
    #[error(
        "it is a JSON object without authorization, or username and password; name the key that is meant after its ARN, #key"
    )]
    WithoutCredentials,
    #[error(
        "expected `Basic …`, `Bearer …`, email:password, the base64 of email:password, or a header such as `api-key: KEY`"
    )]
    Text,
    #[error("it contains characters that a header cannot")]
    Characters,
}

/// Returns the header for this secret.
///
/// The secret is text or a JSON object. `key` selects a member of the object; the default is `authorization`, or else `username`
/// with `password`. The text is a whole header (`api-key: KEY`), or the value of `authorization`: `Basic …` or `Bearer …` (any
/// scheme, followed by a space), `email:password`, or the latter in base64.
pub(super) fn read_header(
    secret: &Secret,
    key: Option<&str>,
) -> Result<SecretHeader, UnusableSecret> {
    let text = secret.expose().trim();
    let object = match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    };
    let member = |name: &str| object.as_ref()?.get(name)?.as_str();
    match (key, &object) {
        (Some(key), None) => Err(UnusableSecret::NoObject(key.to_owned())),
        (Some(key), Some(_)) => match member(key) {
            Some(text) => read_text(text),
            None => Err(UnusableSecret::WithoutKey(key.to_owned())),
        },
        (None, None) => read_text(text),
        (None, Some(_)) => {
            match (member("authorization"), member("username"), member("password")) {
                (Some(text), _, _) => read_text(text),
                (None, Some(username), Some(password)) => basic(username, password),
                _ => Err(UnusableSecret::WithoutCredentials),
            }
        }
    }
}

fn read_text(given: &str) -> Result<SecretHeader, UnusableSecret> {
    let text = given.trim();
    // An email address has a sign that a header's name here has not.
    if let Some((name, value)) = text.split_once(": ").filter(|(name, _)| is_word(name)) {
        return header(name, value.trim().to_owned());
    }
    let has_scheme = text.split_once(' ').is_some_and(|(scheme, _)| is_word(scheme));
    if has_scheme {
        return header(AUTHORIZATION, text.to_owned());
    }
    if let Some((username, password)) = text.split_once(':') {
        return basic(username, password);
    }
    let is_basic = STANDARD.decode(text).is_ok_and(|decoded| decoded.contains(&b':'));
    if is_basic {
        header(AUTHORIZATION, format!("Basic {text}"))
    } else {
        Err(UnusableSecret::Text)
    }
}

const AUTHORIZATION: &str = "authorization";

/// Returns `true` for letters, digits and dashes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// RFC 7617.
fn basic(username: &str, password: &str) -> Result<SecretHeader, UnusableSecret> {
    let encoded = STANDARD.encode(format!("{username}:{password}"));
    header(AUTHORIZATION, format!("Basic {encoded}"))
}

fn header(name: &str, value: String) -> Result<SecretHeader, UnusableSecret> {
    let is_printable = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !is_printable {
        return Err(UnusableSecret::Characters);
    }
    Ok(SecretHeader { name: name.to_ascii_lowercase(), value: Secret::new(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(secret: &str, key: Option<&str>, expected: &str) {
        let SecretHeader { name, value } = read_header(&Secret::new(secret), key).unwrap();
        let shown = match name.as_str() {
            AUTHORIZATION => value.expose().to_owned(),
            _ => format!("{name}: {}", value.expose()),
        };
        assert_eq!(shown, expected, "{secret}");
    }

    #[track_caller]
    fn check_problem(secret: &str, key: Option<&str>, expected: &str) {
        let problem = read_header(&Secret::new(secret), key).unwrap_err();
        assert_eq!(problem.to_string(), expected, "{secret}");
    }

    const BASIC: &str = "Basic bWVAaDpwdw==";

    #[test]
    fn text_secrets_become_headers() {
        check("Basic bWVAaDpwdw==", None, BASIC);
        check(" Bearer abc\n", None, "Bearer abc");
        check("bWVAaDpwdw==", None, BASIC);
        check("me@h:pw", None, BASIC);
        check("me@h:a b:c", None, "Basic bWVAaDphIGI6Yw==");
        check("me@h: pw", None, "Basic bWVAaDogcHc=");
        check("123456:glc_key", None, "Basic MTIzNDU2OmdsY19rZXk=");
        check("X-Honeycomb-Team: key", None, "x-honeycomb-team: key");
        check("Authorization: Bearer a", None, "Bearer a");
        check_problem("api-key: é", None, "it contains characters that a header cannot");
        let expected = "expected `Basic …`, `Bearer …`, email:password, the base64 of email:password, or a header such as \
                        `api-key: KEY`";
        check_problem("", None, expected);
        check_problem("token", None, expected);
        check_problem("dG9rZW4=", None, expected);
        check_problem("[1]", None, expected);
        check_problem("Bearer a\nb", None, "it contains characters that a header cannot");
        check_problem("Bearer é", None, "it contains characters that a header cannot");
    }

    #[test]
    fn json_secrets_become_headers() {
        check(r#"{"authorization":"Bearer a"}"#, None, "Bearer a");
        check(r#"{"authorization":"me@h:pw","username":"x","password":"y"}"#, None, BASIC);
        check(r#"{"username":"me@h","password":"pw","engine":"x"}"#, None, BASIC);
        check(r#"{"o2":"bWVAaDpwdw==","n":1}"#, Some("o2"), BASIC);
        check(r#"{"team":"api-key: k"}"#, Some("team"), "api-key: k");
        let without = "it is a JSON object without authorization, or username and password; name the key that is meant after \
                       its ARN, #key";
        check_problem(r#"{"o2":"me@h:pw"}"#, None, without);
        check_problem(r#"{"username":"me@h"}"#, None, without);
        check_problem(r#"{"n":1}"#, Some("n"), "it is a JSON object without a text under \"n\"");
        check_problem("{}", Some("o2"), "it is a JSON object without a text under \"o2\"");
        check_problem("me@h:pw", Some("o2"), "it is not a JSON object, so it has no key \"o2\"");
    }
}
