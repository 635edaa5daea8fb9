//! The bodies of Lambda's responses to register and `next`.
//!
//! Source: Lambda Developer Guide, "Using the Lambda Extensions API" (2020-01-01).

use serde::Deserialize;

/// Facts about the function in Lambda's response to register.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Registration {
    pub function_name: String,
    /// `$LATEST` or a number.
    pub function_version: String,
    /// The AWS account, twelve digits, if Lambda supports the feature.
    pub account_id: Option<String>,
}

/// An event of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextEvent {
    Invoke(Invoke),
    Shutdown(Shutdown),
    /// An unknown event.
    Other,
}

/// The beginning of an invocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invoke {
    pub request_id: String,
    /// The end of the invocation's timeout as Unix time in milliseconds.
    pub deadline_ms: u64,
    /// The ARN of the call, which may end in a version or an alias.
    pub invoked_function_arn: String,
}

/// The end of the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// `spindown`, `timeout` or `failure`, in either case.
    pub shutdown_reason: String,
    /// The time Lambda kills the process, as Unix time in milliseconds.
    pub deadline_ms: u64,
}

impl NextEvent {
    /// Parses the body of a response to `next`. An unreadable one counts as unknown.
    pub fn parse(body: &[u8]) -> Self {
        // A flat structure, because serde's code for tagged enums is large.
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Body {
            event_type: String,
            request_id: String,
            deadline_ms: u64,
            invoked_function_arn: String,
            shutdown_reason: String,
        }
        let Body { event_type, request_id, deadline_ms, invoked_function_arn, shutdown_reason } =
            serde_json::from_slice(body).unwrap_or_default();
        match event_type.as_str() {
            "INVOKE" => NextEvent::Invoke(Invoke { request_id, deadline_ms, invoked_function_arn }),
            "SHUTDOWN" => NextEvent::Shutdown(Shutdown { shutdown_reason, deadline_ms }),
            _ => NextEvent::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_leniently() {
        let check = |body: &str, expected| {
            assert_eq!(NextEvent::parse(body.as_bytes()), expected, "{body}");
        };
        let request_id = "3da1f2dc-3222-475e-9205-e2e6c6318895".to_owned();
        check(
            r#"{"eventType":"INVOKE","deadlineMs":1733312345678,"requestId":"3da1f2dc-3222-475e-9205-e2e6c6318895","invokedFunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:ExtensionTest","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"},"new":[1]}"#,
            NextEvent::Invoke(Invoke {
                request_id: request_id.clone(),
                deadline_ms: 1_733_312_345_678,
                invoked_function_arn:
                    "arn:aws:lambda:us-east-1:123456789012:function:ExtensionTest".to_owned(),
            }),
        );
        check(
            r#"{"requestId":"3da1f2dc-3222-475e-9205-e2e6c6318895","eventType":"INVOKE"}"#,
            NextEvent::Invoke(Invoke { request_id, ..Invoke::default() }),
        );
        check(
            r#"{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":1733312347678}"#,
            NextEvent::Shutdown(Shutdown {
                shutdown_reason: "spindown".to_owned(),
                deadline_ms: 1_733_312_347_678,
            }),
        );
        check(r#"{"eventType":"SHUTDOWN"}"#, NextEvent::Shutdown(Shutdown::default()));
        check(r#"{"eventType":"HIBERNATE","deadlineMs":1}"#, NextEvent::Other);
        check("{}", NextEvent::Other);
        check("", NextEvent::Other);
    }
}
