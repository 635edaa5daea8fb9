//! The error type of a failed call.

use aws_smithy_runtime_api::client::interceptors::context::Error;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::ConnectorError;
use serde_json::Value;

/// The value of `error.type`: AWS's error code, or else the stage of the failure.
pub(super) fn error_type(
    error: &OrchestratorError<Error>,
    response: Option<&HttpResponse>,
) -> String {
    let is_timeout = || error.as_connector_error().is_some_and(ConnectorError::is_timeout);
    if error.is_timeout_error() || is_timeout() {
        return "timeout".to_owned();
    }
    if let Some(response) = response.filter(|response| !response.status().is_success()) {
        let code = code_of(response).filter(|code| is_code(code));
        return code.unwrap_or_else(|| response.status().as_u16().to_string());
    }
    let other = match error {
        _ if error.is_connector_error() => "connection",
        _ if error.is_response_error() => "response",
        _ if error.is_interceptor_error() => "interceptor",
        _ => "_OTHER",
    };
    other.to_owned()
}

/// Each protocol has its own place for the code (Smithy, "AWS protocols"): a header, a member of a JSON object, an XML element.
fn code_of(response: &HttpResponse) -> Option<String> {
    let header = response.headers().get("x-amzn-errortype").map(str::to_owned);
    let code = header.or_else(|| {
        let body = std::str::from_utf8(response.body().bytes()?).ok()?;
        of_json(body).or_else(|| of_xml(body))
    })?;
    // `com.amazonaws.sqs#QueueDoesNotExist`, `ResourceNotFoundException:http://…`
    let code = code.rsplit('#').next()?;
    Some(code.split(':').next()?.to_owned())
}

fn of_json(body: &str) -> Option<String> {
    if !body.trim_start().starts_with('{') {
        return None;
    }
    let body: Value = serde_json::from_str(body).ok()?;
    ["__type", "code", "Code"]
        .into_iter()
        .find_map(|key| body.get(key)?.as_str().map(str::to_owned))
}

fn of_xml(body: &str) -> Option<String> {
    let (_, behind) = body.split_once("<Code>")?;
    Some(behind.split_once("</Code>")?.0.to_owned())
}

/// A proxy's answer does not come from AWS.
fn is_code(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.len() <= 128 && text.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_types::body::SdkBody;

    #[test]
    fn the_error_type_is_aws_error_code_or_http_status() {
        let check = |header: Option<&'static str>, body: &'static str, expected: &str| {
            let mut response = HttpResponse::new(400.try_into().unwrap(), SdkBody::from(body));
            if let Some(header) = header {
                response.headers_mut().insert("x-amzn-errortype", header);
            }
            let error = OrchestratorError::operation(Error::erase(std::fmt::Error));
            assert_eq!(error_type(&error, Some(&response)), expected, "{header:?} {body}");
        };
        check(None, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}"#, "QueueDoesNotExist");
        check(None, r#"{"code":"Throttling","message":"slow down"}"#, "Throttling");
        check(
            Some("ResourceNotFoundException:http://internal.amazon.com/coral/"),
            "",
            "ResourceNotFoundException",
        );
        check(
            None,
            "<ErrorResponse><Error><Code>NotFound</Code></Error></ErrorResponse>",
            "NotFound",
        );
        check(None, "<Error><Code>a secret of yours</Code></Error>", "400");
        check(None, "<html>", "400");
        check(None, r#"{"__type":7}"#, "400");
        check(None, "{", "400");
        check(None, "", "400");
    }
}
