//! A function and an extension whose processes only write the address of their API to a file. The test makes their calls.

use lambda_otlp_local_lambda::{ApiClient, ApiResponse, FunctionSpec, Lambda};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub(crate) const FUNCTION: &str = "f";
pub(crate) const EXTENSION: &str = "puppet";
/// Long enough for every machine.
pub(crate) const AMPLE: Duration = Duration::from_mins(1);

/// Writes the address, and sleeps.
const WRITES_ITS_ADDRESS: &str = "#!/bin/sh\n\
    echo \"$AWS_LAMBDA_RUNTIME_API\" > \"$ADDRESS.new\"\n\
    mv \"$ADDRESS.new\" \"$ADDRESS\"\n\
    exec sleep 1000\n";

pub(crate) struct Puppets {
    pub(crate) lambda: Lambda,
    directory: TempDir,
}

/// One process's side of the API.
#[derive(Clone)]
pub(crate) struct PuppetApi {
    address: String,
}

/// A layer with one extension. It is written once, before any test starts a process: a file that is open for writing in a forked
/// child cannot be executed.
fn layer() -> &'static Path {
    static LAYER: OnceLock<TempDir> = OnceLock::new();
    let layer = LAYER.get_or_init(|| {
        let layer = tempfile::tempdir().unwrap();
        let extensions = layer.path().join("extensions");
        std::fs::create_dir(&extensions).unwrap();
        let puppet = extensions.join(EXTENSION);
        std::fs::write(&puppet, WRITES_ITS_ADDRESS).unwrap();
        std::fs::set_permissions(&puppet, std::fs::Permissions::from_mode(0o755)).unwrap();
        layer
    });
    layer.path()
}

/// The specification of a function that runs this shell script.
pub(crate) fn function(script: &str) -> FunctionSpec {
    let layer = layer();
    FunctionSpec::new(FUNCTION, "/bin/sh")
        .argument("-c")
        .argument(script)
        .timeout(AMPLE)
        .init_timeout(AMPLE)
        .max_environments(1)
        .layer(layer)
}

impl Puppets {
    pub(crate) async fn of(spec: FunctionSpec) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = directory.path().join("address");
        let lambda = Lambda::start().await.unwrap();
        lambda.create_function(spec.env("ADDRESS", address.to_str().unwrap())).unwrap();
        Self { lambda, directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("address")
    }

    /// Waits for the API of the extension's next process.
    pub(crate) async fn api(&self) -> PuppetApi {
        loop {
            if let Ok(address) = std::fs::read_to_string(self.file()) {
                std::fs::remove_file(self.file()).unwrap();
                return PuppetApi { address: address.trim().to_owned() };
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets a function go on that waits for the file `$ADDRESS.go`.
    pub(crate) fn go(&self) {
        std::fs::write(self.directory.path().join("address.go"), "").unwrap();
    }

    pub(crate) async fn wait_for(&self, line: &str) {
        while self.lines(line) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The lines of the log that contain this text.
    pub(crate) fn lines(&self, part: &str) -> usize {
        let events = self.lambda.log_events(FUNCTION).into_iter();
        events.filter(|event| event.message.contains(part)).count()
    }
}

impl PuppetApi {
    /// Makes a call, and waits for the answer.
    pub(crate) async fn call(
        &self,
        method: &'static str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> ApiResponse {
        self.begin(method, path, headers, body).await.unwrap()
    }

    /// Makes a call that may wait.
    pub(crate) fn begin(
        &self,
        method: &'static str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> JoinHandle<ApiResponse> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers: Vec<(String, String)> = headers.iter().map(owned).collect();
        let address = self.address.clone();
        let path = path.to_owned();
        let body = body.to_owned();
        tokio::task::spawn_blocking(move || {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut client = ApiClient::connect(&address).unwrap();
            client.call(method, &path, &headers, body.as_bytes()).unwrap()
        })
    }

    /// Registers an extension, and returns its identifier.
    pub(crate) async fn register(&self, name: &str, events: &str) -> String {
        let body = format!(r#"{{"events":{events}}}"#);
        let path = "/2020-01-01/extension/register";
        let answer = self.call("POST", path, &[("Lambda-Extension-Name", name)], &body).await;
        assert_eq!(answer.status, 200, "{}", text(&answer));
        answer.header("lambda-extension-identifier").unwrap().to_owned()
    }

    pub(crate) fn extension_next(&self, identifier: &str) -> JoinHandle<ApiResponse> {
        let headers = [("Lambda-Extension-Identifier", identifier)];
        self.begin("GET", "/2020-01-01/extension/event/next", &headers, "")
    }

    pub(crate) async fn subscribe(&self, identifier: &str, body: &str) -> ApiResponse {
        let headers = [("Lambda-Extension-Identifier", identifier)];
        self.call("PUT", "/2022-07-01/telemetry", &headers, body).await
    }

    pub(crate) fn runtime_next(&self) -> JoinHandle<ApiResponse> {
        self.begin("GET", "/2018-06-01/runtime/invocation/next", &[], "")
    }

    pub(crate) async fn fail(&self, event: &ApiResponse) {
        let request_id = event.header("lambda-runtime-aws-request-id").unwrap();
        let path = format!("/2018-06-01/runtime/invocation/{request_id}/error");
        let kind = [("Lambda-Runtime-Function-Error-Type", "Function.Unhappy")];
        let answer = self.call("POST", &path, &kind, "{}").await;
        assert_eq!(answer.status, 202);
    }

    pub(crate) async fn respond(&self, event: &ApiResponse, body: &str) -> ApiResponse {
        let request_id = event.header("lambda-runtime-aws-request-id").unwrap();
        let path = format!("/2018-06-01/runtime/invocation/{request_id}/response");
        self.call("POST", &path, &[], body).await
    }
}

pub(crate) fn text(answer: &ApiResponse) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// The status of an answer, and its error type.
pub(crate) fn refusal(answer: &ApiResponse) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error_type = body["errorType"].as_str().unwrap_or_default();
    format!("{} {error_type}", answer.status).trim_end().to_owned()
}

/// The body of a subscription to a listener at this port.
pub(crate) fn subscription(port: u16) -> String {
    format!(
        r#"{{"schemaVersion":"2022-12-13","types":["platform"],"buffering":{{"maxItems":1000,"maxBytes":262144,"timeoutMs":25}},"destination":{{"protocol":"HTTP","URI":"http://sandbox.localdomain:{port}/agreed"}}}}"#
    )
}
