//! A value that is used but never printed.

use crate::error::Expected;
use std::fmt;

/// A credential. `Debug` and `Display` print `****`; only [`Secret::expose`] gives the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the only place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// The location of a secret's value.
///
/// The notation is the ARN of a secret in Secrets Manager, the ARN of a parameter in Systems Manager, or `ssm:NAME`. A key of a
/// JSON object follows as `#key`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretReference {
    pub store: SecretStore,
    /// Its ARN; for a parameter also its name, with `:version` or `:label` if given.
    pub id: String,
    /// The key of the value, if the secret is a JSON object.
    pub key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretStore {
    SecretsManager,
    /// AWS Systems Manager Parameter Store.
    ParameterStore,
}

pub(crate) const SECRET_REFERENCE: &str =
    "an ARN of Secrets Manager or Systems Manager, or ssm:NAME";

impl SecretReference {
    /// Reads a reference. The error states the expectation without the text, which may be the secret itself.
    pub fn parse(text: &str) -> Result<Self, Expected> {
        let (id, key) = match text.trim().split_once('#') {
            Some((id, key)) => (id, Some(key)),
            None => (text.trim(), None),
        };
        if key.is_some_and(|key| key.is_empty() || key.contains(char::is_control)) {
            return Err(Expected(SECRET_REFERENCE));
        }
        let without_key = Self::without_key(id).ok_or(Expected(SECRET_REFERENCE))?;
        Ok(Self { key: key.map(str::to_owned), ..without_key })
    }

    fn without_key(id: &str) -> Option<Self> {
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+=.@-:".contains(&byte)) {
            return None;
        }
        let of_store = |store, id: &str| Self { store, id: id.to_owned(), key: None };
        if let Some(name) = id.strip_prefix("ssm:") {
            return (!name.is_empty()).then(|| of_store(SecretStore::ParameterStore, name));
        }
        // arn:partition:service:region:account:resource
        match id.splitn(7, ':').collect::<Vec<_>>().as_slice() {
            ["arn", _, "ssm", _, _, _, ..] => Some(of_store(SecretStore::ParameterStore, id)),
            ["arn", _, "secretsmanager", _, _, "secret", name] if !name.contains(':') => {
                Some(of_store(SecretStore::SecretsManager, id))
            }
            _ => None,
        }
    }

    pub fn region(&self) -> Option<&str> {
        let part = self.id.strip_prefix("arn:").and(self.id.split(':').nth(3));
        part.filter(|part| !part.is_empty())
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_name = self.store == SecretStore::ParameterStore && !self.id.starts_with("arn:");
        f.write_str(if is_name { "ssm:" } else { "" })?;
        f.write_str(&self.id)?;
        self.key.iter().try_for_each(|key| write!(f, "#{key}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:#?}", Some(&secret)),
            "**** **** Some(\n    ****,\n)"
        );
        assert_eq!(secret.expose(), "hunter2");
    }

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:o2-AbCdEf";

    #[test]
    fn secret_references_are_parsed() {
        let check = |text: &str, store, id: &str, key: Option<&str>| {
            let reference = SecretReference::parse(text).unwrap();
            let expected =
                SecretReference { store, id: id.to_owned(), key: key.map(str::to_owned) };
            assert_eq!(reference, expected);
            assert_eq!(SecretReference::parse(&reference.to_string()), Ok(expected));
        };
        let manager = SecretStore::SecretsManager;
        check(ARN, manager, ARN, None);
        check(&format!(" {ARN}#auth "), manager, ARN, Some("auth"));
        check(&format!("{ARN}#a key"), manager, ARN, Some("a key"));
        let parameters = SecretStore::ParameterStore;
        let arn = "arn:aws-cn:ssm:cn-north-1:123456789012:parameter/o2";
        check(arn, parameters, arn, None);
        check(&format!("{arn}#auth"), parameters, arn, Some("auth"));
        check("ssm:/o2/auth", parameters, "/o2/auth", None);
        check("ssm:/o2/auth:3#auth", parameters, "/o2/auth:3", Some("auth"));
    }

    #[test]
    fn invalid_secret_references_are_rejected() {
        for wrong in [
            "",
            "ssm:",
            "ssm:#key",
            "ssm:Basic aHVudGVyMg==",
            "Basic aHVudGVyMg==",
            "arn:aws:s3:::bucket",
            "arn:aws:ssm",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret",
            &format!("{ARN}#"),
            &format!("{ARN}:key::"),
        ] {
            assert_eq!(SecretReference::parse(wrong), Err(Expected(SECRET_REFERENCE)), "{wrong}");
        }
    }

    #[test]
    fn the_region_comes_from_the_arn() {
        let check = |text: &str, expected| {
            assert_eq!(SecretReference::parse(text).unwrap().region(), expected, "{text}");
        };
        check(ARN, Some("eu-west-1"));
        check("arn:aws:ssm:::parameter/x", None);
        check("ssm:a:b:c:d", None);
    }
}
