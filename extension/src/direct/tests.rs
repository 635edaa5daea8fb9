use super::*;
use crate::invocations::identity::Identity;
use crate::lambda::answers::Registration;
use crate::test_spans::{Span, traces};
#[cfg(feature = "secrets")]
use simulator::secrets::{SecretAnswer, SecretServer};
use simulator::sink::{Faults, ScriptedResponse, Sink};
use std::collections::BTreeMap;

/// A sender to this sink, which does not wait long beside a handler.
fn direct(sink: &Sink) -> Direct {
    direct_with(sink, &[])
}

/// The same, with these variables.
fn direct_with(sink: &Sink, more: &[(&str, &str)]) -> Direct {
    let variables = [
        ("LAMBDA_OTLP_OUTPUT", "otlp"),
        ("LAMBDA_OTLP_ENDPOINT", sink.base()),
        ("O2_FLUSH_INTERVAL_MS", "1"),
    ];
    let variables = variables.iter().chain(more);
    let source: BTreeMap<String, String> =
        variables.map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let config = Config::from_source(&source);
    let counts = Arc::<Counts>::default();
    let output =
        LineOutput::start(&config.lines, "orders", std::io::sink(), false, Arc::clone(&counts))
            .unwrap();
    let buffer = buffer(&config);
    let function = Identity::of(&config, &Registration::default()).into_function();
    Direct::start(&config, function, buffer.as_ref(), &output, &counts).unwrap()
}

fn running(is_done: bool) -> Running {
    let now_ms = unix_millis();
    Running {
        invoked_ms: now_ms,
        deadline_ms: now_ms + 60_000,
        is_done,
        is_told_of_end: true,
        is_rare: false,
        last_failed: false,
        usual_handler: None,
    }
}

async fn slow_sink() -> Sink {
    let sink = Sink::builder().no_window().start().await.unwrap();
    let slow =
        ScriptedResponse::Delayed(Duration::from_millis(100), Box::new(ScriptedResponse::Ok));
    sink.inject(Faults::seeded(1, 1.0).among([slow]));
    sink
}

#[test]
fn whatever_waited_before_a_panic_has_room_in_the_queue() {
    // The largest buffer, 32 MiB.
    let request = traces(&vec![Span::default(); 4_000]);
    let requests = vec![request.clone(); (32 << 20) / request.bytes().len()];
    let merged = merge_for_queue(requests.clone());
    let items = |requests: &[Request]| requests.iter().map(Request::items).sum::<usize>();
    assert!(requests.len() > QUEUE && merged.len() <= QUEUE, "{}", merged.len());
    assert_eq!(items(&merged), items(&requests));
    let few = merge_for_queue(vec![request; 2]);
    assert!(few.iter().all(|request| request.bytes().len() <= SPILLED_BYTES), "as ever");
}

#[tokio::test]
async fn a_probe_outlasts_the_handler_and_closes_the_circuit() {
    let sink = slow_sink().await;
    let mut direct = direct(&sink);
    direct.invoked();
    for _ in 0..3 {
        direct.record.failed(None, unix_millis() - 20_000);
    }
    assert_eq!(direct.record.at(unix_millis()), Health::Open);
    direct.buffer.put(traces(&[Span::default()])).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!direct.act(Some(&running(false)), false), "the probe is under way");
    assert!(!direct.act(Some(&running(true)), false), "and keeps the environment awake");
    direct.flown().await;
    assert_eq!(direct.record.at(unix_millis()), Health::Good);
    assert_eq!((sink.spans().len(), direct.buffer.bytes()), (1, 0));
    assert!(direct.act(Some(&running(true)), false));
}

#[tokio::test]
async fn what_became_due_meanwhile_wakes_the_loop_at_once() {
    let sink = slow_sink().await;
    let mut direct = direct(&sink);
    direct.invoked();
    direct.act(Some(&running(false)), false);
    direct.buffer.put(traces(&[Span::default()])).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let now_ms = unix_millis();
    assert_eq!(direct.wake_at_ms(Some(&running(false)), false, now_ms), Some(now_ms));
}

#[cfg(feature = "secrets")]
#[tokio::test]
async fn credentials_are_read_at_once_and_what_has_none_yet_waits() {
    let sink = slow_sink().await;
    let secrets = SecretServer::start(SecretAnswer::Denied).await.unwrap();
    let mut direct = direct_with(
        &sink,
        &[
            ("LAMBDA_OTLP_SECRET", "ssm:/o2/auth"),
            ("AWS_ENDPOINT_URL", &secrets.endpoint()),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "simulated"),
        ],
    );
    let asked = async {
        while secrets.asked().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.expect("nothing is to be sent");
    direct.invoked();
    direct.buffer.put(traces(&[Span::default()])).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!direct.act(Some(&running(true)), false));
    direct.flown().await;
    assert_eq!((sink.requests().len(), direct.counts.get(Count::FailedFlushes)), (0, 1));
    assert!(direct.buffer.oldest().is_some(), "it is to be sent again");
}
