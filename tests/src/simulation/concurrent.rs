//! A function with the Rust library that runs many invocations, several at a time, as on a managed instance.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a function prints")]

use exporter::{TelemetryConfig, TracedHandler, init};
use lambda_runtime::{Context, Error, LambdaEvent, Service as _};
use serde_json::{Value, json};
use settings::{Env, Source as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Builder;

/// The variable with the number of invocations.
pub const INVOCATIONS: &str = "CONCURRENT_INVOCATIONS";
/// The invocations at a time.
const AT_A_TIME: usize = 8;
/// The time of a handler, in which the others run.
const PAUSE: Duration = Duration::from_millis(1);

/// Returns the request id of the invocation with this number.
pub fn request_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let request_id = &event.context.request_id;
    println!("{}", json!({"level": "INFO", "message": "printed", "requestId": request_id}));
    tracing::info!("traced");
    thread::sleep(PAUSE);
    Ok(Value::Null)
}

/// Runs the invocations if the process is such a function, and ends it; elsewhere does nothing. A line of stderr tells each start
/// and each end.
pub fn run_concurrently() {
    let Some(text) = Env.get(INVOCATIONS) else { return };
    let invocations: u64 = text.parse().unwrap();
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let completion = init(TelemetryConfig::default());
    let handler = TracedHandler::new("orders", completion, handle);
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            let mut handler = handler.clone();
            let next = &next;
            scope.spawn(move || {
                let runtime = runtime();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= invocations {
                        return;
                    }
                    let context = context(number);
                    let request_id = context.request_id.clone();
                    eprintln!("start {request_id}");
                    let event = LambdaEvent::new(json!({}), context);
                    runtime.block_on(handler.call(event)).unwrap();
                    eprintln!("report {request_id}");
                }
            });
        }
    });
    std::process::exit(0);
}

#[expect(clippy::disallowed_methods, reason = "a deadline is a point on the wall clock")]
fn context(number: u64) -> Context {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut context = Context::default();
    context.request_id = request_id(number);
    context.deadline = u64::try_from(now.as_millis()).unwrap() + 60_000;
    context
}
