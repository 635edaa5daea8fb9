//! Converts a secret to the value of an authorization header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use settings::Secret;

/// Returns the authorization header for this secret.
///
/// The secret is text or a JSON object. `key` selects a member of the object; the default is `authorization`, or else `username`
/// with `password`. The text is `Basic …` or `Bearer …` (any scheme, followed by a space), `email:password`, or the latter in
/// base64.
///
/// The error states the expected forms, without any part of the secret.
pub(super) fn authorization(secret: &Secret, key: Option<&str>) -> Result<Secret, String> {
    let text = secret.expose().trim();
    let object = match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    };
    let member = |name: &str| object.as_ref()?.get(name)?.as_str();
    match (key, &object) {
        (Some(key), None) => Err(format!("it is not a JSON object, so it has no key {key:?}")),
        (Some(key), Some(_)) => match member(key) {
            Some(text) => of_text(text),
            None => Err(format!("it is a JSON object without a text under {key:?}")),
        },
        (None, None) => of_text(text),
        (None, Some(_)) => {
            match (member("authorization"), member("username"), member("password")) {
                (Some(text), _, _) => of_text(text),
                (None, Some(username), Some(password)) => basic(username, password),
                _ => Err("it is a JSON object without authorization, or username and password; \
                     name the key that is meant after its ARN, #key"
                    .to_owned()),
            }
        }
    }
}

fn of_text(text: &str) -> Result<Secret, String> {
    const EXPECTED: &str =
        "expected `Basic …`, `Bearer …`, email:password, or the base64 of email:password";
    let text = text.trim();
    let has_scheme = text.split_once(' ').is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    if has_scheme {
        return header(text.to_owned());
    }
    if let Some((username, password)) = text.split_once(':') {
        return basic(username, password);
    }
    let is_basic = STANDARD.decode(text).is_ok_and(|decoded| decoded.contains(&b':'));
    if is_basic { header(format!("Basic {text}")) } else { Err(EXPECTED.to_owned()) }
}

/// RFC 7617.
fn basic(username: &str, password: &str) -> Result<Secret, String> {
    header(format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
}

fn header(value: String) -> Result<Secret, String> {
    let is_printable = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_printable {
        Ok(Secret::new(value))
    } else {
        Err("it contains characters that a header cannot".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(secret: &str, key: Option<&str>, expected: Result<&str, &str>) {
        let value = authorization(&Secret::new(secret), key);
        let value = value.as_ref().map(Secret::expose).map_err(String::as_str);
        assert_eq!(value, expected, "{secret}");
    }

    const BASIC: Result<&str, &str> = Ok("Basic bWVAaDpwdw==");

    #[test]
    fn text_secrets_become_authorization_headers() {
        check("Basic bWVAaDpwdw==", None, BASIC);
        check(" Bearer abc\n", None, Ok("Bearer abc"));
        check("bWVAaDpwdw==", None, BASIC);
        check("me@h:pw", None, BASIC);
        check("me@h:a b:c", None, Ok("Basic bWVAaDphIGI6Yw=="));
        let expected =
            "expected `Basic …`, `Bearer …`, email:password, or the base64 of email:password";
        check("", None, Err(expected));
        check("token", None, Err(expected));
        check("dG9rZW4=", None, Err(expected));
        check("[1]", None, Err(expected));
        check("Bearer a\nb", None, Err("it contains characters that a header cannot"));
        check("Bearer é", None, Err("it contains characters that a header cannot"));
    }

    #[test]
    fn json_secrets_become_authorization_headers() {
        check(r#"{"authorization":"Bearer a"}"#, None, Ok("Bearer a"));
        check(r#"{"authorization":"me@h:pw","username":"x","password":"y"}"#, None, BASIC);
        check(r#"{"username":"me@h","password":"pw","engine":"x"}"#, None, BASIC);
        check(r#"{"o2":"bWVAaDpwdw==","n":1}"#, Some("o2"), BASIC);
        let without = "it is a JSON object without authorization, or username and password; name the key that is meant after \
                       its ARN, #key";
        check(r#"{"o2":"me@h:pw"}"#, None, Err(without));
        check(r#"{"username":"me@h"}"#, None, Err(without));
        check(r#"{"n":1}"#, Some("n"), Err("it is a JSON object without a text under \"n\""));
        check("{}", Some("o2"), Err("it is a JSON object without a text under \"o2\""));
        check("me@h:pw", Some("o2"), Err("it is not a JSON object, so it has no key \"o2\""));
    }
}
