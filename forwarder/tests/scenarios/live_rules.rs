//! Live rules of the deployed forwarder.

use crate::support::{handler, invoke};
use lambda_otlp_forwarder::InvocationError;
use serde_json::Value;
use std::path::Path;
use test_support::openobserve::FakeOpenObserve;

/// Drops lines that contain `secret`.
const GOOD: &str =
    "[[rule]]\nname = \"secret\"\nmatch.body = { contains = \"secret\" }\ndrop = true\n";
const WRONG: &str = "[[rule]]\nname = \"secret\"\ndorp = true\n";

#[tokio::test]
async fn nothing_is_sent_until_there_are_valid_rules() {
    let wrong_twice = WRONG.repeat(2);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("live-rules.toml");
    for (first, expected) in [
        (None, "cannot read the file"),
        (Some(WRONG), "3:1: rule: unknown field `dorp`"),
        (Some(wrong_twice.as_str()), "; 6:1: rule: unknown field `dorp`"),
    ] {
        let backend = FakeOpenObserve::start().await.unwrap();
        match first {
            Some(rules) => std::fs::write(&path, rules).unwrap(),
            None => drop(std::fs::remove_file(&path)),
        }
        let handler = handler(&backend, &[("LAMBDA_OTLP_RULES", path.to_str().unwrap())]);
        for _ in 0..2 {
            let answer = invoke(&handler, &["hello", "a secret"]).await;
            let Err(error @ InvocationError::Rules { .. }) = answer else { panic!("{answer:?}") };
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(backend.requests().is_empty());
        std::fs::write(&path, GOOD).unwrap();
        for _ in 0..2 {
            assert_eq!(invoke(&handler, &["hello", "a secret"]).await.unwrap(), Value::Null);
        }
        assert_eq!(backend.log_records().len(), 2);
    }
}

#[tokio::test]
async fn credentials_of_one_destination_do_not_reach_another() {
    let [default, audit] =
        [FakeOpenObserve::start().await.unwrap(), FakeOpenObserve::start().await.unwrap()];
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("destinations.toml");
    let rules = format!(
        "[destination.audit]\nendpoint = \"{}\"\nheaders = {{ \"x-tenant\" = \"audit\" }}\n[[route]]\nto = [\"audit\", \"default\"]\n",
        audit.base()
    );
    std::fs::write(&path, rules).unwrap();
    let headers = ("LAMBDA_OTLP_HEADERS", "authorization=Basic Zm9v");
    let handler = handler(&default, &[headers, ("LAMBDA_OTLP_RULES", path.to_str().unwrap())]);
    assert_eq!(invoke(&handler, &["hello"]).await.unwrap(), Value::Null);
    for (backend, expected) in
        [(default, [Some("Basic Zm9v"), None]), (audit, [None, Some("audit")])]
    {
        let requests = backend.requests();
        assert!(!requests.is_empty());
        for request in requests {
            let seen = ["authorization", "x-tenant"]
                .map(|name| request.headers.get(name).map(|value| value.to_str().unwrap()));
            assert_eq!(seen, expected);
        }
    }
}
