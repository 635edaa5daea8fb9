//! The Rust function of the matrix of endings (`tests/interop/test_endings.py`). Its event names the ending: `{"ends": "ok"}`.
//!
//! With `LIBRARY=false` it is a function without our library, with the runtime's default subscriber.

#![expect(clippy::disallowed_methods, reason = "the function's own variable")]
#![expect(clippy::print_stdout, reason = "a function prints")]

use exporter::{TelemetryConfig, TracedHandler, init};
use lambda_runtime::{Error, LambdaEvent};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use std::fmt;
use std::future::pending;
use std::time::Duration;

#[derive(Deserialize)]
struct Event {
    ends: String,
}

/// An error of the function's own.
#[derive(Debug)]
struct Declined(Option<std::num::ParseIntError>);

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("declined")
    }
}

impl std::error::Error for Declined {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_ref().map(|cause| cause as _)
    }
}

/// A response, which may not be serializable.
struct Reply(Option<Value>);

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(value) => value.serialize(serializer),
            None => Err(S::Error::custom("a reply without a form")),
        }
    }
}

/// More than Lambda accepts.
const TOO_LARGE: usize = 7 * 1024 * 1024;

async fn handle(event: LambdaEvent<Event>) -> Result<Reply, Error> {
    let id = event.context.request_id;
    let ends = event.payload.ends;
    tracing::info!("ending {ends} {id}");
    let reply = |value| Ok(Reply(Some(value)));
    match ends.as_str() {
        "null" => reply(Value::Null),
        "text" => reply(json!("done")),
        "status 404" => reply(json!({ "statusCode": 404 })),
        "status 500" => reply(json!({ "statusCode": 500 })),
        "failed messages" => reply(json!({ "batchItemFailures": [{ "itemIdentifier": "1" }] })),
        "error" => Err("no stock".into()),
        "error without text" => Err("".into()),
        "error of two lines" => Err("no stock\nfor order 7".into()),
        "error of its own type" => Err(Declined(None).into()),
        "error with a cause" => Err(Declined("x".parse::<u8>().err()).into()),
        "error in a task" => tokio::spawn(async { Err::<Reply, Error>("no stock".into()) }).await?,
        "error after a wait" => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err("no stock".into())
        }
        "late" => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            reply(json!({}))
        }
        "error after a logged one" => {
            tracing::error!("logged");
            Err("no stock".into())
        }
        "logged error" => {
            tracing::error!("logged");
            reply(json!({}))
        }
        "printed error of a runtime" | "printed and failed" => {
            println!(
                "ERROR Lambda runtime invoke{{requestId=\"{id}\"}}: lambda_runtime::layers::panic: \"printed\""
            );
            if ends == "printed and failed" { Err("no stock".into()) } else { reply(json!({})) }
        }
        "printed timeout" => {
            println!("2026-09-21T14:13:21.000Z {id} Task timed out after 3.00 seconds");
            reply(json!({}))
        }
        "printed exit" => {
            println!("RequestId: {id} Error: Runtime exited with error: exit status 1");
            reply(json!({}))
        }
        "panic" => panic!("on fire"),
        "panic in a task" => {
            // The handler does not fail.
            tokio::spawn(async { panic!("on fire") }).await.ok();
            reply(json!({}))
        }
        "caught error" => {
            drop("x".parse::<u8>());
            reply(json!({}))
        }
        "unserializable" => Ok(Reply(None)),
        "too large" => reply(json!("x".repeat(TOO_LARGE))),
        "exit 0" => std::process::exit(0),
        "exit 1" => std::process::exit(1),
        "abort" => std::process::abort(),
        "killed" => {
            std::process::Command::new("kill")
                .args(["-9", &std::process::id().to_string()])
                .status()?;
            pending().await
        }
        "waits for ever" => pending().await,
        "computes for ever" => loop {
            std::hint::spin_loop();
        },
        _ => reply(json!({ "statusCode": 200 })),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let has_library = std::env::var("LIBRARY").as_deref() != Ok("false");
    if !has_library {
        // As `lambda_runtime::tracing::init_default_subscriber`.
        tracing_subscriber::fmt().with_target(false).without_time().with_ansi(false).init();
        return lambda_runtime::run_concurrent(lambda_runtime::service_fn(handle)).await;
    }
    let completion_handler = init(TelemetryConfig::default());
    let handler = TracedHandler::new("shop", completion_handler, handle)
        .with_extractor(|_: &Event| exporter::trigger::SpanAttributes::default());
    lambda_runtime::run_concurrent(handler).await
}
