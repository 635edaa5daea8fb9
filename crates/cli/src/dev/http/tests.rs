use super::*;
use expect_test::expect;

fn parts(request: http::request::Builder) -> Parts {
    request.body(()).unwrap().into_parts().0
}

#[test]
fn an_http_request_becomes_a_function_url_event() {
    let request = Request::builder().method("POST").uri("/orders/7?a=1&b=x%20y&a=2");
    let request =
        request.header("host", "127.0.0.1:9000").header("x-two", "a").header("x-two", "b");
    let parts = parts(request.header("cookie", "c=1; d=2").header("user-agent", "curl/8"));
    let event = event(&parts, &Bytes::from_static(b"{\"item\":1}"), 1_790_000_000_000_000_000);
    expect![[r#"
        {
          "body": "{\"item\":1}",
          "cookies": [
            "c=1",
            "d=2"
          ],
          "headers": {
            "host": "127.0.0.1:9000",
            "user-agent": "curl/8",
            "x-two": "a,b"
          },
          "isBase64Encoded": false,
          "queryStringParameters": {
            "a": "1,2",
            "b": "x y"
          },
          "rawPath": "/orders/7",
          "rawQueryString": "a=1&b=x%20y&a=2",
          "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": "127.0.0.1:9000",
            "domainPrefix": "local",
            "http": {
              "method": "POST",
              "path": "/orders/7",
              "protocol": "HTTP/1.1",
              "sourceIp": "127.0.0.1",
              "userAgent": "curl/8"
            },
            "requestId": "1790000000000000000",
            "routeKey": "$default",
            "stage": "$default",
            "time": "2026-09-21T14:13:20.000Z",
            "timeEpoch": 1790000000000
          },
          "routeKey": "$default",
          "version": "2.0"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&event).unwrap());
}

#[test]
fn a_binary_body_is_base64_encoded() {
    let parts = parts(Request::builder().uri("/"));
    let with = event(&parts, &Bytes::from_static(&[0xff, 0]), 0);
    assert_eq!((&with["body"], &with["isBase64Encoded"]), (&"/wA=".into(), &true.into()));
    let without = event(&parts, &Bytes::new(), 0);
    assert!(without.get("body").is_none() && without.get("cookies").is_none(), "{without}");
}

#[tokio::test]
async fn a_handler_result_becomes_an_http_response() {
    let check = async |body: &'static str, expected: &str| {
        let response = of_response(&Bytes::from_static(body.as_bytes()));
        let (parts, body) = response.into_parts();
        let headers = parts.headers.iter();
        let headers = headers.map(|(name, value)| format!(" {name}: {}", value.to_str().unwrap()));
        let body = body.collect().await.unwrap().to_bytes();
        let found = format!(
            "{}{} | {}",
            parts.status.as_u16(),
            headers.collect::<String>(),
            String::from_utf8_lossy(&body)
        );
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
        r#"{"statusCode":"404","body":"bm8=","isBase64Encoded":true}"#,
        "404 content-type: application/json | no",
    )
    .await;
    check(r#"{"statusCode":"no"}"#, "502 | Internal Server Error").await;
    check(r#"{"statusCode":70000}"#, "502 | Internal Server Error").await;
}
