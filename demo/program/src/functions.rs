//! The demo's functions, each with the extension: "orders", "checkout" and "parcels" in Rust, and "shop" and "stock" in
//! Python. "shop" invokes "orders"; "checkout" sends parcels to the queue of "parcels"; "stock" contains no
//! OpenTelemetry code, but Powertools' Tracer.

use console::layer;
use http::{Request, Response};
use local_lambda::packages::{self, InstallError, MIN_PYTHON};
use local_lambda::{FunctionSpec, HttpServer, lock};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const ORDERS: &str = "orders";
pub(crate) const SHOP: &str = "shop";
pub(crate) const STOCK: &str = "stock";
pub(crate) const CHECKOUT: &str = "checkout";
pub(crate) const PARCELS: &str = "parcels";

/// Short, because one invocation times out.
const ORDERS_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than for "orders", because Python starts more slowly.
const STOCK_TIMEOUT: Duration = Duration::from_secs(4);
/// A timeout that no invocation should reach, even on a slow machine.
const AMPLE: Duration = Duration::from_mins(1);

/// The invocations of "orders": label and action.
pub(crate) const ORDERS_INVOCATIONS: [(&str, &str); 7] = [
    ("cold, success", "ok"),
    ("warm, success", "ok"),
    ("handler error", "error"),
    ("warm, success", "ok"),
    ("panic", "panic"),
    ("timeout", "timeout"),
    ("after the timeout", "ok"),
];

/// The invocations of "shop": label, and action of "orders".
pub(crate) const SHOP_INVOCATIONS: [(&str, &str); 3] =
    [("cold, calls orders", "ok"), ("warm, calls orders", "ok"), ("its orders fails", "error")];

/// The invocations of "stock": label and item.
pub(crate) const STOCK_INVOCATIONS: [(&str, u32); 4] = [
    ("cold, unchanged", 24_000),
    ("warm, unchanged", 24_001),
    ("fails, unchanged", SOLD_OUT),
    ("timeout, unchanged", NEVER_COUNTED),
];

const CHECKED_OUT: u32 = 3;
pub(crate) const CHECKOUT_LABEL: &str = "axum, 3 parcels";
/// The deliveries from the queue to "parcels".
pub(crate) const PARCELS_DELIVERIES: [&str; 2] = ["batch, one fails", "the one again"];

/// The label of the invocations of "orders" by "shop".
pub(crate) const CALLED: &str = "called by shop";

pub(crate) struct Surroundings<'a> {
    /// A directory as Lambda mounts it at `/opt`, with the extension.
    pub(crate) layer: &'a Path,
    pub(crate) ledger: &'a Path,
    pub(crate) line_format: &'a str,
}

impl Surroundings<'_> {
    fn spec(&self, name: &str, program: &Path) -> FunctionSpec {
        FunctionSpec::new(name, program)
            .layer(self.layer)
            .env("DEMO_LEDGER", self.ledger.to_string_lossy())
            .env("LAMBDA_OTLP_LINE", self.line_format)
    }

    pub(crate) fn orders(&self, program: &Path) -> FunctionSpec {
        self.beside_others(ORDERS, program).timeout(ORDERS_TIMEOUT)
    }

    pub(crate) fn checkout(&self, program: &Path, queue_url: &str) -> FunctionSpec {
        self.beside_others(CHECKOUT, program).env("PARCELS_QUEUE_URL", queue_url)
    }

    pub(crate) fn parcels(&self, program: &Path) -> FunctionSpec {
        self.beside_others(PARCELS, program)
    }

    /// Gives the extension a port of its own. In Lambda each environment has its own loopback; here the extensions
    /// share one.
    fn beside_others(&self, name: &str, program: &Path) -> FunctionSpec {
        let spec = self.spec(name, program).timeout(AMPLE);
        spec.env("OTEL_LAMBDA_RECEIVER_PORT", local_lambda::free_port().to_string())
    }

    /// A Python function on AWS's runtime client. If no other process has the default port, the SDK gets no address, as in most
    /// deployments.
    pub(crate) fn shop(
        &self,
        interpreter: &Path,
        sources: &Path,
        invoke_endpoint: &str,
    ) -> FunctionSpec {
        let spec = on_runtime_client(self.spec(SHOP, interpreter), "shop.handler", sources)
            .env("AWS_ENDPOINT_URL_LAMBDA", invoke_endpoint)
            .env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta");
        if layer::claim_default_port() {
            return spec;
        }
        let address = format!("http://127.0.0.1:{}", local_lambda::free_port());
        spec.env("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    }

    /// A Python function that the layer's wrapper instruments, sampled for X-Ray. It exports no metrics, because they
    /// would have no numbers.
    pub(crate) fn stock(
        &self,
        interpreter: &Path,
        sources: &Path,
        warehouse: &str,
    ) -> FunctionSpec {
        let wrapped = self
            .spec(STOCK, &self.layer.join(layer::WRAPPER))
            .argument(interpreter.to_string_lossy());
        on_runtime_client(wrapped, "stock.handler", sources)
            .timeout(STOCK_TIMEOUT)
            .active_tracing()
            // The extension gives functions with little memory the longest time to export partial spans, and this
            // machine may be busy.
            .memory_mb(128)
            .env("WAREHOUSE", warehouse)
            .env("OTEL_METRICS_EXPORTER", "none")
            .env("OTEL_LAMBDA_RECEIVER_PORT", local_lambda::free_port().to_string())
    }
}

/// AWS's runtime client with this handler, as arguments of the interpreter.
fn on_runtime_client(spec: FunctionSpec, handler: &str, sources: &Path) -> FunctionSpec {
    spec.argument("-m")
        .argument("awslambdaric")
        .argument(handler)
        .handler(handler)
        .directory(sources)
        .timeout(AMPLE)
        .init_timeout(AMPLE)
        .memory_mb(256)
        .env("PYTHONDONTWRITEBYTECODE", "1")
}

/// The reason why a Python function does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPython {
    #[error("there is no Python {MIN_PYTHON} or newer with venv on this machine")]
    Interpreter,
    #[error("its packages cannot be installed from PyPI ({0})")]
    Packages(String),
    #[error("its installation panicked")]
    Panic,
}

/// A Python interpreter with the packages of this folder's `requirements.txt`.
pub(crate) fn python(workspace: &Path, sources: &str) -> Result<PathBuf, NoPython> {
    let Some(python) = packages::find_python() else { return Err(NoPython::Interpreter) };
    let requirements = workspace.join("demo").join(sources).join("requirements.txt");
    let install = || -> Result<PathBuf, InstallError> {
        let folder = packages::cache()?.join("demo").join(sources);
        packages::python_environment(&python, &folder, &[requirements])
    };
    install().map_err(|error| {
        let text = format!("{:#}", anyhow::Error::from(error));
        NoPython::Packages(text.lines().next_back().unwrap_or_default().to_owned())
    })
}

// The numbers of the demo's items must not collide: "orders" has 1,000 to 7,999, "shop" and the invocations of "orders" by it
// 12,000 to 17,999, "stock" 24,000 to 26,000, and "checkout" and "parcels" 30,000 and more.

/// The event of an invocation of "orders". Each invocation has its own range of numbers.
pub(crate) fn orders_event(index: u32, action: &str) -> Value {
    let first = (index + 1) * 1000;
    http_event(
        "orders/{id}",
        "orders/7",
        &json!({"action": action, "children": 2, "first_number": first}),
    )
}

/// The event of an invocation of "shop". It includes the range of numbers for "orders".
pub(crate) fn shop_event(index: u32, action: &str) -> Value {
    let first = (index + 6) * 2000;
    let body =
        json!({"action": action, "first_number": first, "orders_first_number": first + 1000});
    http_event("shop", "shop", &body)
}

/// The event for "checkout". Its route is a catch-all, so that the span's name has to come from axum's router.
pub(crate) fn checkout_event() -> Value {
    let body = json!({"parcels": CHECKED_OUT, "first_number": 30_000});
    http_event("{proxy+}", "checkouts/7", &body)
}

/// An HTTP API event (payload format 2.0).
fn http_event(route: &str, path: &str, body: &Value) -> Value {
    json!({
        "version": "2.0",
        "routeKey": format!("POST /{route}"),
        "rawPath": format!("/{path}"),
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "shop.example.com",
            "user-agent": "lambda-otlp demo", "x-forwarded-proto": "https"},
        "requestContext": {
            "accountId": "123456789012", "apiId": "demo", "domainName": "shop.example.com",
            "domainPrefix": "shop", "requestId": "demo", "routeKey": format!("POST /{route}"), "stage": "$default",
            "time": "21/Sep/2026:14:13:20 +0000", "timeEpoch": 1_790_000_000_000_u64,
            "http": {"method": "POST", "path": format!("/{path}"), "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.9", "userAgent": "lambda-otlp demo"}
        },
        "body": body.to_string(),
        "isBase64Encoded": false
    })
}

/// The item with a stock of 0.
pub(crate) const SOLD_OUT: u32 = 25_000;
/// The item whose requests get no answer.
pub(crate) const NEVER_COUNTED: u32 = 26_000;

pub(crate) struct Warehouse {
    server: HttpServer,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Warehouse {
    pub(crate) async fn open() -> io::Result<Self> {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let notes = Arc::clone(&asked);
        let answer = move |request: Request<_>| {
            let path = request.uri().path().to_owned();
            lock(&notes).push(path.clone());
            async move {
                if is_never_answered(&path) {
                    std::future::pending::<()>().await;
                }
                let count = if path.ends_with(&SOLD_OUT.to_string()) { "0" } else { "3" };
                Response::new(count.into())
            }
        };
        Ok(Self { server: HttpServer::start(answer).await?, asked })
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.server.address())
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }
}

/// Returns `true` if a request with this path gets no answer.
pub(crate) fn is_never_answered(path: &str) -> bool {
    path.ends_with(&NEVER_COUNTED.to_string())
}
