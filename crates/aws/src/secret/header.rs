//! Converts a secret to the header that carries it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use settings::{Secret, is_token_byte};

/// The header that carries a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHeader {
    /// In lower case.
    pub name: String,
    pub value: Secret,
}

impl SecretHeader {
    /// The header without the secret: `authorization: Basic …`.
    pub fn outline(&self) -> String {
        let is_scheme = |scheme: &&str| self.value.expose().starts_with(scheme);
        let scheme = ["Basic ", "Bearer "].into_iter().find(is_scheme).unwrap_or_default();
        format!("{}: {scheme}…", self.name)
    }
}

/// The reason why a secret gives no header. Contains no part of the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnusableSecret {
    #[error("it is not a JSON object, so it has no key {0:?}")]
    NoObject(String),
    #[error("it is a JSON object without a text under {0:?}")]
    WithoutKey(String),
    #[error(
        "it is a JSON object without authorization, or username and password; store the header as text, `api-key: KEY`, or name the key that has such a text after its ARN, #key"
    )]
    WithoutCredentials,
    #[error(
        "expected `Basic …`, `Bearer …`, email:password, the base64 of email:password, or a header such as `api-key: KEY`"
    )]
    Text,
    #[error("the text under {0:?} cannot be used: {1}")]
    Member(String, Box<Self>),
    #[error("it is in quotes; store it without them")]
    Quoted,
    #[error("it begins like JSON, but is not a JSON object")]
    NoJson,
    #[error(
        "it may be a header, or a user and a password; write a header with a space after the colon, `api-key: KEY`, and a user with a password as `Basic` and the base64 of both"
    )]
    Ambiguous,
    #[error(
        "it has `=` after the header's name, as OTEL_EXPORTER_OTLP_HEADERS; write `api-key: KEY`, and %20 as a space"
    )]
    EqualsSign,
    #[error("it has no colon after the header's name; write `api-key: KEY`")]
    NoColon,
    #[error(
        "Basic or Bearer is followed by a sign; write `Bearer TOKEN`, or `Basic` and the base64 of user:password"
    )]
    SignAfterScheme,
    #[error(
        "after Basic comes the base64 of user:password; store user:password alone, and it is encoded"
    )]
    NotEncoded,
    #[error("it contains characters that a header cannot")]
    Characters,
}

/// Returns the header for this secret.
///
/// The secret is text or a JSON object. `key` selects a member of the object; the default is `authorization`, or else `username`
/// with `password`. `docs/deploy.md` lists the forms of the text.
pub(super) fn read_header(
    secret: &Secret,
    key: Option<&str>,
) -> Result<SecretHeader, UnusableSecret> {
    let text = secret.expose().trim();
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        let without = |key: &str| Err(UnusableSecret::NoObject(key.to_owned()));
        return key.map_or_else(|| read_text(text), without);
    };
    let member = |name: &str| object.get(name)?.as_str();
    let read_member = |name: &str, text| {
        read_text(text)
            .map_err(|problem| UnusableSecret::Member(name.to_owned(), Box::new(problem)))
    };
    if let Some(key) = key {
        let text = member(key).ok_or_else(|| UnusableSecret::WithoutKey(key.to_owned()))?;
        return read_member(key, text);
    }
    if let Some(text) = member(AUTHORIZATION) {
        return read_member(AUTHORIZATION, text);
    }
    match (member("username"), member("password")) {
        (Some(username), Some(password)) => encode_basic(username, password),
        _ => Err(UnusableSecret::WithoutCredentials),
    }
}

const AUTHORIZATION: &str = "authorization";

fn read_text(given: &str) -> Result<SecretHeader, UnusableSecret> {
    let text = given.trim();
    if text.len() > 1 && text.starts_with(['"', '\'']) && text.ends_with(['"', '\'']) {
        return Err(UnusableSecret::Quoted);
    }
    if text.starts_with(['{', '[']) {
        return Err(UnusableSecret::NoJson);
    }
    let is_basic = STANDARD.decode(text).is_ok_and(|decoded| decoded.contains(&b':'));
    if is_basic {
        return header(AUTHORIZATION, &format!("Basic {text}"));
    }
    let end = text.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(text.len());
    let (token, rest) = text.split_at(end);
    let is_scheme = ["basic", "bearer"].iter().any(|it| token.eq_ignore_ascii_case(it));
    match rest.chars().next() {
        Some(':' | '=') if is_scheme => Err(UnusableSecret::SignAfterScheme),
        // At its end, the sign fills up base64.
        Some('=') if !rest.chars().all(|sign| sign == '=') => Err(UnusableSecret::EqualsSign),
        Some(' ') if token.contains('-') => Err(UnusableSecret::NoColon),
        Some(' ') => header(AUTHORIZATION, text),
        _ => match text.split_once(':') {
            Some((name, value)) => read_pair(name, value),
            None => Err(UnusableSecret::Text),
        },
    }
}

/// Reads the name of a header or a user, and what comes after the colon.
fn read_pair(name: &str, value: &str) -> Result<SecretHeader, UnusableSecret> {
    if name.is_empty() || value.is_empty() || value.starts_with("//") {
        return Err(UnusableSecret::Text);
    }
    let is_token = name.bytes().all(is_token_byte);
    let lower = name.to_ascii_lowercase();
    if !is_token || value.starts_with(INGESTION_TOKEN) {
        encode_basic(name, value)
    } else if value.starts_with(' ')
        || lower == AUTHORIZATION
        || lower.starts_with("x-")
        || lower.ends_with("-key")
        || lower.ends_with("-token")
    {
        header(name, value.trim())
    } else if name.contains('-') || CREDENTIALS.iter().any(|part| lower.contains(part)) {
        Err(UnusableSecret::Ambiguous)
    } else {
        encode_basic(name, value)
    }
}

/// Parts of the names of headers with credentials. A user may have such a name too.
const CREDENTIALS: [&str; 4] = ["key", "token", "auth", "secret"];

/// The beginning of OpenObserve's ingestion tokens. The user is an organization, whose name may have any form.
const INGESTION_TOKEN: &str = "o2oi_";

/// RFC 7617.
fn encode_basic(username: &str, password: &str) -> Result<SecretHeader, UnusableSecret> {
    let encoded = STANDARD.encode(format!("{username}:{password}"));
    header(AUTHORIZATION, &format!("Basic {encoded}"))
}

fn header(name: &str, value: &str) -> Result<SecretHeader, UnusableSecret> {
    let is_printable = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !is_printable {
        return Err(UnusableSecret::Characters);
    }
    let name = name.to_ascii_lowercase();
    let scheme = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    if name == AUTHORIZATION && scheme.is_some_and(|(_, encoded)| encoded.contains(':')) {
        return Err(UnusableSecret::NotEncoded);
    }
    Ok(SecretHeader { name, value: Secret::new(value) })
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

    /// The forms of a text, among them those that the backends' own pages show.
    #[test]
    fn text_secrets_become_headers() {
        for (text, expected) in [
            ("Basic bWVAaDpwdw==", BASIC),
            (" Bearer abc\n", "Bearer abc"),
            ("ApiKey abc", "ApiKey abc"),
            ("bWVAaDpwdw==", BASIC),
            ("Authorization: Bearer a", "Bearer a"),
            ("authorization:Bearer a", "Bearer a"),
            ("authorization: a", "a"),
            // Users with their passwords.
            ("me@h:pw", BASIC),
            ("me@h:a b:c", "Basic bWVAaDphIGI6Yw=="),
            ("me@h: pw", "Basic bWVAaDogcHc="),
            ("me@h:a=b", "Basic bWVAaDphPWI="),
            ("admin:pw", "Basic YWRtaW46cHc="),
            ("123456:glc_key", "Basic MTIzNDU2OmdsY19rZXk="),
            ("my-org:o2oi_1", "Basic bXktb3JnOm8yb2lfMQ=="),
            ("my-key: o2oi_1", "my-key: o2oi_1"),
            // Other headers.
            ("X-Honeycomb-Team: key", "x-honeycomb-team: key"),
            ("x-honeycomb-team:key", "x-honeycomb-team: key"),
            ("api-key: k", "api-key: k"),
            ("api-key:k", "api-key: k"),
            ("DD-API-KEY:k", "dd-api-key: k"),
            ("signoz-ingestion-key:k", "signoz-ingestion-key: k"),
            ("x_api_key: k", "x_api_key: k"),
            ("tenant: k:v", "tenant: k:v"),
        ] {
            check(text, None, expected);
        }
    }

    #[test]
    fn a_text_that_would_have_to_be_guessed_is_refused() {
        use UnusableSecret as Problem;
        for (text, expected) in [
            ("", Problem::Text),
            ("token", Problem::Text),
            ("auth_token", Problem::Text),
            ("dG9rZW4=", Problem::Text),
            ("Basic", Problem::Text),
            ("api-key:", Problem::Text),
            (":pw", Problem::Text),
            ("https://me:pw@o2.example.com", Problem::Text),
            ("my-org:pw", Problem::Ambiguous),
            ("apikey:k", Problem::Ambiguous),
            ("my_token:k", Problem::Ambiguous),
            ("api-key=k", Problem::EqualsSign),
            ("api-key=a:b", Problem::EqualsSign),
            ("Authorization=Basic bWVAaDpwdw==", Problem::EqualsSign),
            ("Authorization=Basic%20bWVAaDpwdw==", Problem::EqualsSign),
            ("api-key k", Problem::NoColon),
            ("Bearer: a", Problem::SignAfterScheme),
            ("bearer:a", Problem::SignAfterScheme),
            ("Basic me@h:pw", Problem::NotEncoded),
            ("authorization: Basic me:pw", Problem::NotEncoded),
            ("\"api-key: k\"", Problem::Quoted),
            ("'me@h:pw'", Problem::Quoted),
            ("[1]", Problem::NoJson),
            (r#"{"username":"me","password":"pw""#, Problem::NoJson),
            ("Bearer a\nb", Problem::Characters),
            ("Bearer é", Problem::Characters),
            ("api-key: é", Problem::Characters),
        ] {
            assert_eq!(read_header(&Secret::new(text), None), Err(expected), "{text}");
        }
    }

    #[test]
    fn json_secrets_become_headers() {
        check(r#"{"authorization":"Bearer a"}"#, None, "Bearer a");
        check(r#"{"authorization":"me@h:pw","username":"x","password":"y"}"#, None, BASIC);
        check(r#"{"username":"me@h","password":"pw","engine":"x"}"#, None, BASIC);
        check(r#"{"o2":"bWVAaDpwdw==","n":1}"#, Some("o2"), BASIC);
        check(r#"{"team":"api-key: k"}"#, Some("team"), "api-key: k");
        let without = "it is a JSON object without authorization, or username and password; store the header as text, \
                       `api-key: KEY`, or name the key that has such a text after its ARN, #key";
        check_problem(r#"{"o2":"me@h:pw"}"#, None, without);
        check_problem(r#"{"username":"me@h"}"#, None, without);
        check_problem(r#"{"n":1}"#, Some("n"), "it is a JSON object without a text under \"n\"");
        check_problem("{}", Some("o2"), "it is a JSON object without a text under \"o2\"");
        check_problem("me@h:pw", Some("o2"), "it is not a JSON object, so it has no key \"o2\"");
        check_problem(
            r#"{"api-key":"k"}"#,
            Some("api-key"),
            "the text under \"api-key\" cannot be used: expected `Basic …`, `Bearer …`, email:password, the base64 of \
             email:password, or a header such as `api-key: KEY`",
        );
    }
}
