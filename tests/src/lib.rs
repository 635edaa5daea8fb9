//! Shared parts of the end-to-end tests: binaries, fixtures, and simulations of a function with the extension.

#[expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a failure of the local Lambda fails the test"
)]
pub mod simulation;

use local_lambda::binaries::{self, BuildError};
use local_lambda::{FunctionSpec, Invocation, Lambda, free_port};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use test_support::openobserve::FakeOpenObserve;

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file below `tests/fixtures`.
///
/// # Panics
/// When it cannot be read.
#[expect(clippy::panic, reason = "a test without its fixture has to fail")]
pub fn fixture(path: &str) -> Vec<u8> {
    let path = workspace().join("tests/fixtures").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A binary of the workspace, built once for all tests of a process.
///
/// # Panics
/// When it cannot be built.
#[expect(clippy::panic, reason = "a test without its binary has to fail")]
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<Result<std::collections::HashMap<String, PathBuf>, BuildError>> =
        OnceLock::new();
    let built = BUILT.get_or_init(|| binaries::build(&workspace(), &binaries::OF_TESTS));
    match built {
        Ok(built) => binaries::find(built, name).unwrap_or_else(|error| panic!("{error}")),
        Err(error) => panic!("{error}"),
    }
}

/// Makes a layer with the extension below this folder, and returns it.
///
/// # Panics
/// When the extension cannot be built, or the folder not be made.
#[expect(clippy::unwrap_used, reason = "a test without its layer has to fail")]
pub fn layer(folder: &Path) -> PathBuf {
    binaries::layer(folder, &binary(binaries::EXTENSION)).unwrap()
}

/// Invokes a function `orders` with the layer, and sends its log through the forwarder to a backend. Returns both.
///
/// # Panics
/// When a part cannot be built or started.
#[expect(clippy::unwrap_used, reason = "a test without its function has to fail")]
pub async fn forwarded(
    folder: &Path,
    bootstrap: PathBuf,
    timeout: Duration,
    events: &[&str],
) -> (FakeOpenObserve, Vec<Invocation>) {
    let fake = FakeOpenObserve::builder().no_window().start().await.unwrap();
    let lambda = Lambda::start().await.unwrap();
    let forwarder = FunctionSpec::new("forwarder", binary("lambda-otlp-forwarder"))
        .timeout(Duration::from_mins(1))
        .env("LAMBDA_OTLP_ENDPOINT", fake.base());
    lambda.create_function(forwarder).unwrap();
    let port = free_port();
    let orders = FunctionSpec::new("orders", bootstrap)
        .timeout(timeout)
        .layer(layer(folder))
        .env("OTEL_LAMBDA_RECEIVER_PORT", port.to_string())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://localhost:{port}"));
    lambda.create_function(orders).unwrap();
    lambda.subscribe("/aws/lambda/orders", "forwarder").unwrap();
    let mut invocations = Vec::new();
    for event in events {
        invocations.push(lambda.invoke("orders", format!("{event:?}")).await.unwrap());
    }
    lambda.recycle("orders").await.unwrap();
    lambda.flush_subscriptions().await;
    lambda.wait_for_async_invocations().await;
    lambda.shut_down().await;
    (fake, invocations)
}
