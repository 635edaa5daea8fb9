//! Environments in less common ways: forty at once, restored from a snapshot, on a managed instance, with others on the usual
//! ports.

use crate::program;
use crate::stories::{complete, told};
use lambda_otlp_tests::stories::Story;
use lambda_otlp_tests::stories::states::{self, End};
use serde_json::json;

#[tokio::test]
async fn forty_environments_write_all_spans() {
    let payload = json!({"spans": [3, 2], "root": true});
    let story = Story::crowd(&program(), 40, &payload, |spec| spec).await;
    assert!(story.results().iter().all(|result| result == "\"done\""), "{:?}", story.results());
    let log = complete(story, End::Shutdown).await;
    assert_eq!((log.own.len(), log.acknowledged), (200, 200), "{log:?}");
    assert_eq!(log.spans(), vec!["internal ok".to_owned(); 40]);
}

#[tokio::test]
async fn otlp_is_received_on_another_port_if_defaults_are_busy() {
    let log = told(&states::busy_default_ports()).await;
    assert_eq!((log.own.len(), log.acknowledged), (6, 6), "{log:?}");
    assert_eq!(log.spans(), vec!["internal ok".to_owned(); 2]);
}

#[tokio::test]
async fn a_restored_environment_writes_all_spans() {
    let log = told(&states::snap_start()).await;
    assert_eq!((log.own.len(), log.acknowledged), (6, 6), "{log:?}");
    let mut spans = log.spans();
    spans.sort();
    assert_eq!(spans, ["internal ok", "internal ok", "server ok"]);
}

#[tokio::test]
async fn a_managed_instance_writes_all_spans_and_metrics() {
    let log = told(&states::managed_instance()).await;
    assert_eq!((log.own.len(), log.acknowledged), (6, 6), "{log:?}");
    let mut spans = log.spans();
    spans.sort();
    assert_eq!(spans, ["internal ok", "internal ok", "server ok"]);
    assert_eq!(log.points.get("aws.lambda.response_latency"), Some(&3), "{:?}", log.points);
}
