//! Live rules of the deployed forwarder.

use crate::support::{handler, invoke};
use lambda_otlp_forwarder::{Handler, InvocationError, Response};
use std::path::PathBuf;
use test_support::openobserve::FakeOpenObserve;

/// Drops lines that contain `secret`.
const GOOD: &str =
    "[[rule]]\nname = \"secret\"\nmatch.body = { contains = \"secret\" }\ndrop = true\n";
const WRONG: &str = "[[rule]]\nname = \"secret\"\ndorp = true\n";

/// A rules file that the test can create and delete.
struct RulesFile(PathBuf);

impl RulesFile {
    fn new(name: &str) -> Self {
        let name = format!("lambda-otlp-live-rules-{name}-{}.toml", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn write(&self, rules: &str) {
        std::fs::write(&self.0, rules).unwrap();
    }

    fn handler(&self, backend: &FakeOpenObserve) -> Handler {
        handler(backend, &[("LAMBDA_OTLP_RULES", self.0.to_str().unwrap())])
    }
}

impl Drop for RulesFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[tokio::test]
async fn nothing_is_sent_until_there_are_valid_rules() {
    let wrong_twice = WRONG.repeat(2);
    for (first, expected) in [
        (None, "cannot read the file"),
        (Some(WRONG), "3:1: rule: unknown field `dorp`"),
        (Some(wrong_twice.as_str()), "; and 1 more"),
    ] {
        let (backend, rules) = (FakeOpenObserve::start().await.unwrap(), RulesFile::new("late"));
        first.into_iter().for_each(|text| rules.write(text));
        let handler = rules.handler(&backend);
        for _ in 0..2 {
            let answer = invoke(&handler, &["hello", "a secret"]).await;
            let Err(error @ InvocationError::Rules { .. }) = answer else { panic!("{answer:?}") };
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(backend.requests().is_empty());
        rules.write(GOOD);
        for _ in 0..2 {
            assert_eq!(invoke(&handler, &["hello", "a secret"]).await.unwrap(), Response::Done(()));
        }
        assert_eq!(backend.log_records().len(), 2);
    }
}
