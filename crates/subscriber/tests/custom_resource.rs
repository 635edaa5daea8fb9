//! CloudFormation gets an answer in every case: it waits for an hour for a missing one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use lambda_otlp_subscriber::{Config, Service};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;

/// The behaviour of CloudWatch Logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logs {
    HasNoGroups,
    Refuses,
    Fails,
    IsSilent,
}

/// A fake of CloudWatch Logs, and of the bucket for CloudFormation's answer.
#[derive(Debug)]
struct Aws {
    logs: Logs,
    /// Number of answers refused before the first accepted one.
    answers_not_taken: Mutex<usize>,
    answers: Mutex<Vec<(Option<String>, Value)>>,
    url: Mutex<String>,
}

impl Aws {
    async fn start(logs: Logs, answers_not_taken: usize) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Mutex::new(format!("http://{}/", listener.local_addr().unwrap()));
        let answers_not_taken = Mutex::new(answers_not_taken);
        let aws = Arc::new(Self { logs, answers_not_taken, answers: Mutex::default(), url });
        let serving = Arc::clone(&aws);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let aws = Arc::clone(&serving);
                let service = hyper::service::service_fn(move |request| {
                    let aws = Arc::clone(&aws);
                    async move { aws.answer(request).await }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        aws
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let (status, text) = if head.method == Method::PUT {
            assert_eq!(head.uri.query(), Some("X-Amz-Signature=secret"));
            let content_type = head.headers.get("content-type");
            let content_type = content_type.map(|value| value.to_str().unwrap().to_owned());
            let mut left = self.answers_not_taken.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                (503, "slow down")
            } else {
                let answer = (content_type, serde_json::from_slice(&body).unwrap());
                self.answers.lock().unwrap().push(answer);
                (200, "")
            }
        } else {
            match self.logs {
                Logs::HasNoGroups => (200, r#"{"logGroups":[]}"#),
                Logs::Refuses => {
                    (400, r#"{"__type":"AccessDeniedException","message":"not\nyou"}"#)
                }
                Logs::Fails => (500, "{}"),
                Logs::IsSilent => std::future::pending().await,
            }
        };
        Ok(Response::builder().status(status).body(Full::from(text)).unwrap())
    }

    fn url(&self) -> String {
        self.url.lock().unwrap().clone()
    }

    fn request(&self, kind: &str) -> Value {
        json!({
            "RequestType": kind, "ResponseURL": format!("{}answer?X-Amz-Signature=secret", self.url()),
            "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/o2/7a1c",
            "RequestId": "request", "LogicalResourceId": "Subscriptions",
            "PhysicalResourceId": "o2-Subscriptions",
            "ResourceProperties": { "Include": "/aws/lambda/*" },
        })
    }

    /// The only answer: status and reason.
    fn answered(&self) -> (String, String) {
        let answers = self.answers.lock().unwrap();
        let [(content_type, answer)] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(content_type.as_deref(), None, "it is not part of the signature");
        assert_eq!(answer["PhysicalResourceId"], "o2-Subscriptions");
        assert_eq!(answer["RequestId"], "request");
        assert_eq!(answer["LogicalResourceId"], "Subscriptions");
        assert!(answer["StackId"].as_str().unwrap().ends_with("stack/o2/7a1c"));
        assert!(answer.to_string().len() < 4096);
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        assert!(!text("Reason").contains('\n'));
        (text("Status"), text("Reason"))
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of the tests")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn service(url: &str, include: &str, clock: fn() -> SystemTime) -> Service {
    let variables = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_ENDPOINT_URL", url),
        ("LAMBDA_OTLP_INCLUDE", include),
        ("LAMBDA_OTLP_DESTINATION", "arn:aws:lambda:eu-west-1:123456789012:function:fwd"),
    ];
    let variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let config = Config::from_source(&variables).0;
    Service::new(config.map_err(|error| error.to_string()), clock)
}

/// Long enough to report the failure, short enough for a test.
const TIME: Duration = Duration::from_secs(8);

#[tokio::test]
async fn each_request_is_answered_and_a_failure_blocks_no_deletion() {
    let refused = "DescribeLogGroups of /aws/lambda/ was refused with AccessDeniedException: not you; allow logs:DescribeLogGroups";
    for (logs, kind, status, reason) in [
        (Logs::HasNoGroups, "Create", "SUCCESS", ""),
        (Logs::HasNoGroups, "Update", "SUCCESS", ""),
        (Logs::HasNoGroups, "Delete", "SUCCESS", ""),
        (Logs::Refuses, "Create", "FAILED", refused),
        (Logs::Refuses, "Update", "FAILED", refused),
        (Logs::Refuses, "Delete", "SUCCESS", refused),
        (Logs::Fails, "Create", "FAILED", "status 500"),
    ] {
        let aws = Aws::start(logs, 0).await;
        let service = service(&aws.url(), "/aws/lambda/*", now);
        service.handle(&aws.request(kind), now() + TIME).await.unwrap();
        let (found, said) = aws.answered();
        assert!(found == status && said.contains(reason), "{logs:?} {kind}: {found} {said}");
    }
}

#[tokio::test]
async fn an_unresponsive_aws_api_is_answered_before_the_timeout() {
    for (kind, expected) in [("Create", "FAILED"), ("Delete", "SUCCESS")] {
        let aws = Aws::start(Logs::IsSilent, 0).await;
        let service = service(&aws.url(), "/aws/lambda/*", now);
        let ends = now() + Duration::from_secs(4);
        service.handle(&aws.request(kind), ends).await.unwrap();
        assert!(now() < ends);
        assert_eq!(aws.answered().0, expected, "{kind}");
    }
}

#[tokio::test]
async fn invalid_settings_are_reported_to_cloudformation() {
    for (kind, expected) in [("Create", "FAILED"), ("Delete", "SUCCESS")] {
        let aws = Aws::start(Logs::HasNoGroups, 0).await;
        let service = service(&aws.url(), "/aws/{lambda}", now);
        service.handle(&aws.request(kind), now() + TIME).await.unwrap();
        let (status, reason) = aws.answered();
        assert_eq!(status, expected, "{kind}");
        assert!(
            reason.starts_with("invalid settings, no log group was checked: LAMBDA_OTLP_INCLUDE")
        );
        let error = service.handle(&json!({}), now() + TIME).await.unwrap_err();
        assert!(error.to_string().contains("LAMBDA_OTLP_INCLUDE"), "{error}");
    }
}

#[tokio::test]
async fn a_panic_is_reported_to_cloudformation() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn clock() -> SystemTime {
        // The first call precedes any action.
        assert!(CALLS.fetch_add(1, Ordering::Relaxed) == 0, "the clock is broken");
        now()
    }
    let aws = Aws::start(Logs::HasNoGroups, 0).await;
    let service = service(&aws.url(), "/aws/lambda/*", clock);
    service.handle(&aws.request("Create"), now() + TIME).await.unwrap();
    let (status, reason) = aws.answered();
    assert_eq!(status, "FAILED");
    assert!(reason.starts_with("the subscriber panicked"), "{reason}");
}

#[tokio::test]
async fn a_response_rejected_by_cloudformation_is_retried() {
    let aws = Aws::start(Logs::HasNoGroups, 2).await;
    let service = service(&aws.url(), "/aws/lambda/*", now);
    service.handle(&aws.request("Create"), now() + TIME).await.unwrap();
    assert_eq!(aws.answered().0, "SUCCESS");
}

#[tokio::test]
async fn an_undeliverable_response_fails_the_invocation() {
    let aws = Aws::start(Logs::HasNoGroups, usize::MAX).await;
    let service = service(&aws.url(), "/aws/lambda/*", now);
    let ends = now() + Duration::from_secs(3);
    let error = service.handle(&aws.request("Delete"), ends).await.unwrap_err();
    assert_eq!(error.to_string(), "CloudFormation did not accept the answer: status 503");
    assert!(now() < ends);
}
