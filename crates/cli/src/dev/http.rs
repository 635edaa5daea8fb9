//! The function over HTTP: a request becomes an event of a function URL (AWS Lambda "Invoking Lambda function URLs",
//! payload format 2.0), except on `POST /2015-03-31/functions/NAME/invocations`, Lambda's Invoke API.

use super::function::SessionFunction;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use console::time_arguments::now_unix_nano;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use local_lambda::{ClientContext, HttpServer, InvocationResult};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

/// The largest request (AWS Lambda quotas: 6 MB).
const MAX_BODY_BYTES: usize = 6 * 1024 * 1024;

/// AWS Lambda API reference, "Invoke".
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");

/// Answers requests on this port until it is dropped.
pub(super) async fn serve(port: u16, function: &Arc<SessionFunction>) -> io::Result<HttpServer> {
    let same = Arc::clone(function);
    let answer = move |request| {
        let function = Arc::clone(&same);
        async move { answer(request, &function).await }
    };
    let server = HttpServer::listen(port, answer).await?;
    function.output.say(format!("listening on http://{}; Ctrl-C ends", server.address()));
    Ok(server)
}

async fn answer(
    request: Request<Incoming>,
    function: &SessionFunction,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, incoming) = request.into_parts();
    if let Err(foreign) = check_origin(&parts.headers) {
        return Ok(plain(StatusCode::FORBIDDEN, foreign));
    }
    let Ok(collected) = Limited::new(incoming, MAX_BODY_BYTES).collect().await else {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 6 MB"));
    };
    let body = collected.to_bytes();
    if parts.uri.path().starts_with("/2015-03-31/functions/") {
        return Ok(invoke(&parts, &body, function).await);
    }
    let event = url_event(&parts, &body, now_unix_nano()).to_string();
    Ok(match function.invoke(event.as_bytes(), None).await {
        Some(InvocationResult::Response(body)) => url_response(&body),
        // Lambda gives callers no details.
        _ => plain(StatusCode::BAD_GATEWAY, "Internal Server Error"),
    })
}

/// Refuses requests of web pages elsewhere, which would invoke the function with the developer's credentials: those with another
/// `Host` (DNS rebinding) or `Origin`. A page of this machine, such as a frontend's development server, may call the function.
fn check_origin(headers: &HeaderMap) -> Result<(), &'static str> {
    let value = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_local = |authority: &str| {
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let name = match authority.rsplit_once(':') {
            Some((name, port)) if is_port(port) => name,
            _ => authority,
        };
        matches!(name, "127.0.0.1" | "localhost" | "[::1]")
    };
    if !value(http::header::HOST).is_some_and(is_local) {
        return Err("the function is at 127.0.0.1 or localhost only");
    }
    let is_local_page = |origin: &str| origin.split_once("://").is_some_and(|(_, at)| is_local(at));
    let origin = value(http::header::ORIGIN);
    // An image of another page has no origin. A link to the function may come from anywhere.
    let is_cross_site = value(HeaderName::from_static("sec-fetch-site")) == Some("cross-site");
    let is_navigation = value(HeaderName::from_static("sec-fetch-dest")) == Some("document");
    let is_part_of_another_page = origin.is_none() && is_cross_site && !is_navigation;
    if is_part_of_another_page || !origin.is_none_or(is_local_page) {
        return Err("a request of another page");
    }
    Ok(())
}

/// Answers Lambda's Invoke API.
async fn invoke(parts: &Parts, body: &Bytes, function: &SessionFunction) -> Response<Full<Bytes>> {
    // `aws lambda invoke` without a payload sends nothing.
    let event: &[u8] = if body.is_empty() { b"{}" } else { body };
    let header = parts.headers.get(ClientContext::HEADER);
    let decoded = header.map(|value| ClientContext::decode(value.as_bytes())).transpose();
    let Ok(client_context) = decoded else {
        let text = "the client context is not a JSON object in base64";
        return plain(StatusCode::BAD_REQUEST, text);
    };
    let failed_with = match function.invoke(event, client_context).await {
        Some(InvocationResult::Response(body)) => return json_body(StatusCode::OK, body),
        Some(InvocationResult::FunctionError { body, .. }) => body,
        _ => Bytes::from_static(b"{}"),
    };
    let mut response = json_body(StatusCode::OK, failed_with);
    response.headers_mut().insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
    response
}

/// Converts a request to the event of a function URL.
fn url_event(parts: &Parts, body: &Bytes, now_unix_nano: u64) -> Value {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let header = |name: &str| parts.headers.get(name).map(text).unwrap_or_default();
    let mut headers = Map::new();
    for name in parts.headers.keys().filter(|name| *name != http::header::COOKIE) {
        let values: Vec<String> = parts.headers.get_all(name).iter().map(text).collect();
        headers.insert(name.to_string(), values.join(",").into());
    }
    let cookies: Vec<String> = parts
        .headers
        .get_all(http::header::COOKIE)
        .iter()
        .flat_map(|value| {
            text(value).split(';').map(|part| part.trim().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let mut parameters: Map<String, Value> = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let joined = match parameters.get(&*name).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value.into_owned(),
        };
        parameters.insert(name.into_owned(), joined.into());
    }
    let method = parts.method.as_str();
    let host = header("host");
    let mut event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous", "apiId": "local", "domainName": host, "domainPrefix": "local",
            "requestId": format!("{now_unix_nano}"), "routeKey": "$default", "stage": "$default",
            "time": wire::timestamp::rfc3339_millis(now_unix_nano), "timeEpoch": now_unix_nano / 1_000_000,
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1", "userAgent": header("user-agent") },
        },
        "isBase64Encoded": false,
    });
    let Some(object) = event.as_object_mut() else { return event };
    if !cookies.is_empty() {
        object.insert("cookies".to_owned(), cookies.into());
    }
    if !parameters.is_empty() {
        object.insert("queryStringParameters".to_owned(), parameters.into());
    }
    match std::str::from_utf8(body) {
        Ok("") => {}
        Ok(text) => drop(object.insert("body".to_owned(), text.into())),
        Err(_) => {
            object.insert("body".to_owned(), STANDARD.encode(body).into());
            object.insert("isBase64Encoded".to_owned(), true.into());
        }
    }
    event
}

/// A handler's result for a function URL.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UrlResult {
    status_code: u16,
    // Go's types write empty fields as null.
    headers: Option<Map<String, Value>>,
    cookies: Option<Vec<Value>>,
    #[serde(default)]
    body: Value,
    is_base64_encoded: Option<bool>,
}

/// Converts the handler's result to a response. A result without a status is the body.
fn url_response(body: &Bytes) -> Response<Full<Bytes>> {
    let fields = serde_json::from_slice::<Map<String, Value>>(body).unwrap_or_default();
    if !fields.contains_key("statusCode") {
        return json_body(StatusCode::OK, body.clone());
    }
    described_response(fields.into())
        .unwrap_or_else(|| plain(StatusCode::BAD_GATEWAY, "Internal Server Error"))
}

/// Returns the response that a handler's result describes; `None` if it is invalid.
fn described_response(result: Value) -> Option<Response<Full<Bytes>>> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let result: UrlResult = serde_json::from_value(result).ok()?;
    let body = match &result.body {
        Value::Null => Bytes::new(),
        body if result.is_base64_encoded == Some(true) => STANDARD.decode(text(body)).ok()?.into(),
        body => text(body).into(),
    };
    let mut response = json_body(StatusCode::from_u16(result.status_code).ok()?, body);
    for (name, value) in result.headers.into_iter().flatten() {
        let header = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let header_value = HeaderValue::from_str(&text(&value)).ok()?;
        if header == http::header::CONTENT_TYPE {
            response.headers_mut().insert(header, header_value);
        } else if header != http::header::CONTENT_LENGTH {
            response.headers_mut().append(header, header_value);
        }
    }
    for cookie in result.cookies.into_iter().flatten() {
        let cookie_value = HeaderValue::from_str(&text(&cookie)).ok()?;
        response.headers_mut().append(http::header::SET_COOKIE, cookie_value);
    }
    Some(response)
}

fn json_body(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = plain(status, "");
    *response.body_mut() = Full::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn requests_of_pages_elsewhere_are_refused() {
        let check = |host: &str, origin: Option<&str>, is_allowed: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::HOST, host.parse().unwrap());
            let origin = origin.map(|origin| (http::header::ORIGIN, origin.parse().unwrap()));
            headers.extend(origin);
            assert_eq!(check_origin(&headers).is_ok(), is_allowed, "{headers:?}");
        };
        for host in ["127.0.0.1:9000", "localhost:9000", "localhost", "[::1]:9000"] {
            check(host, None, true);
            check(host, Some("http://localhost:3000"), true);
            check(host, Some("https://127.0.0.1"), true);
            for origin in ["http://attacker.example", "null", "http://localhost.attacker.example"] {
                check(host, Some(origin), false);
            }
        }
        for host in ["attacker.example:9000", "127.0.0.1.attacker.example", "x:127.0.0.1"] {
            check(host, None, false);
        }
        assert!(check_origin(&HeaderMap::new()).is_err());
        for (site, destination, is_allowed) in [
            ("cross-site", "image", false),
            ("cross-site", "iframe", false),
            ("cross-site", "document", true),
            ("same-site", "empty", true),
            ("none", "document", true),
        ] {
            let headers = [
                (http::header::HOST, "localhost:9000"),
                (HeaderName::from_static("sec-fetch-site"), site),
                (HeaderName::from_static("sec-fetch-dest"), destination),
            ];
            let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
            assert_eq!(check_origin(&HeaderMap::from_iter(headers)).is_ok(), is_allowed, "{site}");
        }
    }

    #[test]
    fn an_http_request_becomes_a_function_url_event() {
        let request = Request::builder()
            .method("POST")
            .uri("/orders/7?a=1&b=x%20y&a=2")
            .header("host", "127.0.0.1:9000")
            .header("x-two", "a")
            .header("x-two", "b")
            .header("cookie", "c=1; d=2")
            .header("user-agent", "curl/8");
        let parts = parts(request);
        let event =
            url_event(&parts, &Bytes::from_static(b"{\"item\":1}"), 1_790_000_000_000_000_000);
        for (pointer, expected) in [
            ("/body", json!("{\"item\":1}")),
            ("/cookies", json!(["c=1", "d=2"])),
            ("/headers/x-two", json!("a,b")),
            ("/headers/cookie", Value::Null),
            ("/isBase64Encoded", json!(false)),
            ("/queryStringParameters", json!({ "a": "1,2", "b": "x y" })),
            ("/rawPath", json!("/orders/7")),
            ("/rawQueryString", json!("a=1&b=x%20y&a=2")),
            ("/requestContext/http/method", json!("POST")),
            ("/requestContext/http/userAgent", json!("curl/8")),
            ("/requestContext/time", json!("2026-09-21T14:13:20.000Z")),
        ] {
            assert_eq!(event.pointer(pointer).cloned().unwrap_or_default(), expected, "{pointer}");
        }
    }

    #[test]
    fn a_binary_body_is_base64_encoded() {
        let parts = parts(Request::builder().uri("/"));
        let with = url_event(&parts, &Bytes::from_static(&[0xff, 0]), 0);
        assert_eq!(with["body"], "/wA=");
        assert_eq!(with["isBase64Encoded"], true);
        let without = url_event(&parts, &Bytes::new(), 0);
        assert!(without.get("body").is_none() && without.get("cookies").is_none(), "{without}");
    }

    #[tokio::test]
    async fn a_handler_result_becomes_an_http_response() {
        let check = async |body: &'static str, expected: &str| {
            let response = url_response(&Bytes::from_static(body.as_bytes()));
            let (parts, full) = response.into_parts();
            let bytes = full.collect().await.unwrap().to_bytes();
            let mut words = vec![parts.status.as_u16().to_string()];
            for (name, value) in &parts.headers {
                words.push(format!("{name}: {}", value.to_str().unwrap()));
            }
            words.push(format!("| {}", String::from_utf8_lossy(&bytes)));
            let found = words.join(" ");
            assert_eq!(found, expected);
        };
        check(r#""hello""#, "200 content-type: application/json | \"hello\"").await;
        check(r#"{"a":1}"#, "200 content-type: application/json | {\"a\":1}").await;
        check(
            r#"{"statusCode":201,"headers":{"content-type":"text/plain","x-n":1},"cookies":["a=1"],"body":"made"}"#,
            "201 content-type: text/plain x-n: 1 set-cookie: a=1 | made",
        )
        .await;
        check(
            r#"{"statusCode":404,"body":"bm8=","isBase64Encoded":true,"headers":null,"cookies":null}"#,
            "404 content-type: application/json | no",
        )
        .await;
        check(r#"{"statusCode":"no"}"#, "502 | Internal Server Error").await;
    }
}
