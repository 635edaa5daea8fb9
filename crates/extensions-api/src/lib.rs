//! Requests and responses of Lambda's Extensions API, without I/O: the layer's extension waits for responses in a tokio runtime, the
//! extension inside a Rust function in a thread of its own.
//!
//! Source: Lambda Developer Guide, "Using the Lambda Extensions API" (2020-01-01) and "Lambda Telemetry API reference"
//! (2022-07-01).
//!
//! - `response` reads the responses, `bodies` the JSON in them.

mod bodies;
mod response;

pub use bodies::{Invoke, NextEvent, Registration, Shutdown};
pub use response::Response;

/// The size limit of a response. Lambda's are small: the largest is an INVOKE event, of less than 1 KiB.
pub const MAX_RESPONSE_BYTES: usize = 64 * 1024;

const IDENTIFIER: &str = "Lambda-Extension-Identifier";

/// Returns host and port of `AWS_LAMBDA_RUNTIME_API`: Lambda sets `HOST:PORT`, and cargo-lambda a URL with a path,
/// `http://127.0.0.1:9000/.rt`.
pub fn host(runtime_api: &str) -> &str {
    split(runtime_api).0
}

/// Splits the API's address into host and port, and the path before that of a call.
fn split(runtime_api: &str) -> (&str, &str) {
    let rest = runtime_api.strip_prefix("http://").unwrap_or(runtime_api).trim_end_matches('/');
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

/// Returns the HTTP request that registers an extension for events such as `INVOKE`. `runtime_api` is the text of
/// `AWS_LAMBDA_RUNTIME_API`; `name` is that of the file in `/opt/extensions`, or free for an extension inside the function.
pub fn register(runtime_api: &str, name: &str, events: &[&str]) -> String {
    let headers =
        [("Lambda-Extension-Name", name), ("Lambda-Extension-Accept-Feature", "accountId")];
    let events = events.iter().map(|event| ["\"", event, "\""].concat()).collect::<Vec<_>>();
    let body = ["{\"events\":[", &events.join(","), "]}"].concat();
    request(runtime_api, ["POST", "/2020-01-01/extension/register"], &headers, &body)
}

/// Returns the HTTP request for the next event, which tells Lambda that the extension is done with the previous one.
pub fn next(runtime_api: &str, identifier: &str) -> String {
    request(
        runtime_api,
        ["GET", "/2020-01-01/extension/event/next"],
        &[(IDENTIFIER, identifier)],
        "",
    )
}

/// Returns the HTTP request that subscribes to the Telemetry API. `body` is JSON.
pub fn subscribe(runtime_api: &str, identifier: &str, body: &str) -> String {
    request(runtime_api, ["PUT", "/2022-07-01/telemetry"], &[(IDENTIFIER, identifier)], body)
}

fn request(
    runtime_api: &str,
    [method, path]: [&str; 2],
    headers: &[(&str, &str)],
    body: &str,
) -> String {
    let (host, base) = split(runtime_api);
    let mut request = [method, " ", base, path, " HTTP/1.1\r\nHost: ", host].concat();
    request.push_str("\r\nContent-Type: application/json");
    for (name, value) in headers {
        request.push_str(&["\r\n", name, ": ", value].concat());
    }
    request.push_str(&["\r\nContent-Length: ", &body.len().to_string(), "\r\n\r\n", body].concat());
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_host_and_content_length_headers() {
        let request = register("127.0.0.1:9001", "otlp", &["INVOKE", "SHUTDOWN"]);
        expect_test::expect![[r#"
            POST /2020-01-01/extension/register HTTP/1.1
            Host: 127.0.0.1:9001
            Content-Type: application/json
            Lambda-Extension-Name: otlp
            Lambda-Extension-Accept-Feature: accountId
            Content-Length: 32

            {"events":["INVOKE","SHUTDOWN"]}"#]]
        .assert_eq(&request.replace('\r', ""));
    }

    #[test]
    fn the_address_may_be_a_url_with_a_path() {
        for (runtime_api, expected) in [
            ("127.0.0.1:9001", "GET /2020-01-01/extension/event/next 127.0.0.1:9001"),
            (
                "http://127.0.0.1:9000/.rt",
                "GET /.rt/2020-01-01/extension/event/next 127.0.0.1:9000",
            ),
            ("http://localhost:9000/", "GET /2020-01-01/extension/event/next localhost:9000"),
            ("localhost:9000/a/b/", "GET /a/b/2020-01-01/extension/event/next localhost:9000"),
        ] {
            let request = next(runtime_api, "id").replace(" HTTP/1.1\r\nHost:", "");
            assert_eq!(request.lines().next(), Some(expected));
            assert!(expected.ends_with(host(runtime_api)));
        }
    }
}
