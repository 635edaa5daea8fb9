//! The response of an AWS service, and its error text.

use serde_json::Value;

/// A response, successful or not.
#[derive(Debug)]
pub struct AwsResponse {
    pub status: u16,
    /// At most the request's limit of bytes.
    pub body: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// `AccessDeniedException`; empty if the response does not come from the service.
    pub(crate) code: String,
    /// May be empty.
    pub(crate) message: String,
}

impl AwsResponse {
    /// Code and message of an error response: `{"__type":"com.amazonaws…#AccessDeniedException","Message":"…"}`. The code may
    /// also be in `code`, the message in either case, and both may repeat (Smithy, "AWS JSON 1.0 protocol", "Operation error
    /// serialization").
    pub(crate) fn refusal(&self) -> Refusal {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let first = |names: [&str; 2]| {
            let mut texts = names.iter().filter_map(|name| body.get(name)?.as_str());
            texts.find(|text| !text.is_empty()).unwrap_or_default()
        };
        let code = first(["__type", "code"]);
        // A namespace precedes the code, and some responses append a URL.
        let code = code.rsplit('#').next().unwrap_or_default();
        let code = code.split(':').next().unwrap_or_default();
        Refusal { code: code.to_owned(), message: first(["message", "Message"]).to_owned() }
    }
}

/// A service's text on one line, cut to 300 characters.
pub(crate) fn excerpt(text: &str) -> String {
    const MOST_CHARS: usize = 300;
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    let head: String = line.chars().take(MOST_CHARS).collect();
    if head.len() < line.len() { format!("{head}…") } else { head }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_responses_are_parsed_in_every_spelling() {
        let check = |body: &str, code: &str, message: &str| {
            let refusal = AwsResponse { status: 400, body: body.into() }.refusal();
            assert_eq!(
                (refusal.code.as_str(), refusal.message.as_str()),
                (code, message),
                "{body}"
            );
        };
        check(r#"{"__type":"AccessDenied","Message":"no"}"#, "AccessDenied", "no");
        check(
            r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}"#,
            "QueueDoesNotExist",
            "no",
        );
        check(r#"{"__type":"Throttling:http://x/"}"#, "Throttling", "");
        check(r#"{"code":"x#Throttling","__type":null}"#, "Throttling", "");
        check(r#"{"__type":"a#A","code":"A","message":"no","Message":"no"}"#, "A", "no");
        check(r#"{"message":"Forbidden"}"#, "", "Forbidden");
        check("<html>", "", "");
        check(r#"{"__type":1}"#, "", "");
    }
}
