//! Errors of AWS on one line, with a remedy.

use ::aws::ApiError;
use anyhow::anyhow;
use console::waterfall::draw::short;

const LACKS_PERMISSION: &str = "these credentials lack that permission";

/// The remedy of an error of AWS.
#[derive(Debug)]
struct Remedy {
    /// Words of the error, in lower case.
    words: &'static [&'static str],
    text: &'static str,
}

const REMEDIES: &[Remedy] = &[
    // Of a wrong clock, not of credentials.
    Remedy {
        words: &[
            "signature expired",
            "signature not yet current",
            "requestexpired",
            "requesttimetooskewed",
        ],
        text: "correct this machine's clock",
    },
    Remedy {
        words: &["expiredtoken", "is expired", "has expired"],
        text: "the credentials have expired: sign in again, for example with `aws sso login`",
    },
    Remedy {
        words: &[
            "invalidclienttokenid",
            "unrecognizedclient",
            "security token included in the request is invalid",
            "invalidaccesskeyid",
            "signaturedoesnotmatch",
            "incompletesignature",
        ],
        text: "AWS does not know these credentials: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or give --profile",
    },
    Remedy {
        words: &[
            "throttling",
            "rate exceeded",
            "toomanyrequests",
            "slowdown",
            "requestlimitexceeded",
        ],
        text: "AWS limits these requests: run the command again in a minute",
    },
    Remedy {
        words: &[
            "connection refused",
            "cannot reach",
            "dns error",
            "failed to lookup address",
            "connecterror",
            "timed out",
        ],
        text: "check the network, proxies, --region and AWS_ENDPOINT_URL",
    },
    Remedy {
        words: &["was not defined"],
        text: "`aws configure list-profiles` prints the profiles that exist",
    },
    Remedy {
        words: &["accessdenied", "not authorized", "unauthorizedoperation"],
        text: LACKS_PERMISSION,
    },
    Remedy {
        words: &[
            "notfound",
            "nonexistentqueue",
            "queuedoesnotexist",
            "invalidaddress",
            "nosuchbucket",
            "does not exist",
        ],
        text: "check its name, region and account",
    },
];

/// An error of AWS with its remedy.
#[derive(Debug, thiserror::Error)]
#[error("{text}: {}", .remedy.text)]
struct RemediableError {
    text: String,
    remedy: &'static Remedy,
}

/// Describes a call without success on one line, with a remedy.
pub(crate) fn explain<'e>(error: impl Into<&'e ApiError>) -> anyhow::Error {
    match error.into() {
        // These say what to do.
        stated @ (ApiError::NoCredentials(_) | ApiError::NotOfAws(_) | ApiError::Unreadable) => {
            anyhow!("{stated}")
        }
        error => explain_text(&error.to_string()),
    }
}

/// Puts a text of AWS, or of its SDK, on one line with a remedy.
pub(super) fn explain_text(text: &str) -> anyhow::Error {
    const MAX_CHARS: usize = 300;
    let text = short(&text.split_whitespace().collect::<Vec<_>>().join(" "), MAX_CHARS);
    let lower = text.to_ascii_lowercase();
    let applies = |remedy: &&Remedy| remedy.words.iter().any(|words| lower.contains(words));
    match REMEDIES.iter().find(applies) {
        Some(remedy) => RemediableError { text, remedy }.into(),
        None => anyhow!(text),
    }
}

/// Returns `true` if [`explain`] attributed the error to a missing permission.
pub(crate) fn is_denied(explained: &anyhow::Error) -> bool {
    let remedied = explained.downcast_ref::<RemediableError>();
    remedied.is_some_and(|error| error.remedy.text == LACKS_PERMISSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::aws::Refusal;

    #[test]
    fn an_error_of_aws_is_on_one_line_with_a_remedy() {
        let refusal = |code: &str, message: &str| {
            let (code, message) = (code.to_owned(), message.to_owned());
            ApiError::Refused(Refusal { status: 400, code, message })
        };
        let denied = explain(&refusal("AccessDenied", "not you\nnor your role"));
        assert!(is_denied(&denied));
        assert_eq!(
            denied.to_string(),
            "AccessDenied: not you nor your role: these credentials lack that permission"
        );
        let page = "HTTP 502 without an answer of AWS: check AWS_ENDPOINT_URL and proxies";
        assert_eq!(explain(&ApiError::NotOfAws(502)).to_string(), page);
        let odd = explain(&refusal("ValidationError", "no"));
        assert_eq!(odd.to_string(), "ValidationError: no");
    }
}
