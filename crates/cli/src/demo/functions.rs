//! The demo's functions: "orders" in Rust, "shop" in Python, which invokes it, "stock" in Python, which knows nothing of
//! OpenTelemetry, and in Rust "checkout", which puts parcels into the queue of "parcels"; all with the extension beside them.

use super::warehouse::{NEVER_COUNTED, SOLD_OUT};
use crate::layer;
use serde_json::{Value, json};
use simulator::FunctionSpec;
use simulator::packages::{self, InstallError, MIN_PYTHON};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const ORDERS: &str = "orders";
pub(super) const SHOP: &str = "shop";
pub(super) const STOCK: &str = "stock";
pub(super) const CHECKOUT: &str = "checkout";
pub(super) const PARCELS: &str = "parcels";

/// Short, since one invocation runs into it.
const ORDERS_TIMEOUT: Duration = Duration::from_secs(2);
/// The same. What starts in Python is slower.
const STOCK_TIMEOUT: Duration = Duration::from_secs(4);
/// Long enough for every machine: nothing is expected to take it up.
const AMPLE: Duration = Duration::from_mins(1);

/// What "orders" is told, in order.
pub(super) const ORDERS_STORY: [(&str, &str); 7] = [
    ("cold, success", "ok"),
    ("warm, success", "ok"),
    ("handler error", "error"),
    ("warm, success", "ok"),
    ("panic", "panic"),
    ("timeout", "timeout"),
    ("after the timeout", "ok"),
];

/// What "shop" is told to have "orders" do.
pub(super) const SHOP_STORY: [(&str, &str); 3] =
    [("cold, calls orders", "ok"), ("warm, calls orders", "ok"), ("its orders fails", "error")];

/// Which item "stock" is asked for.
pub(super) const STOCK_STORY: [(&str, u32); 4] = [
    ("cold, unchanged", 24_000),
    ("warm, unchanged", 24_001),
    ("fails, unchanged", SOLD_OUT),
    ("timeout, unchanged", NEVER_COUNTED),
];

/// How many parcels "checkout" sends.
const CHECKED_OUT: u32 = 3;
pub(super) const CHECKOUT_LABEL: &str = "axum, 3 parcels";
/// What becomes of the queue's deliveries to "parcels", in order.
pub(super) const PARCELS_STORY: [&str; 2] = ["batch, one fails", "the one again"];

/// The label of an invocation of "orders" that "shop" made.
pub(super) const CALLED: &str = "called by shop";

/// What all functions are made with.
pub(super) struct Surroundings<'a> {
    /// A directory as Lambda mounts it at `/opt`, with the extension.
    pub(super) layer: &'a Path,
    /// Where the functions write what they made.
    pub(super) ledger: &'a Path,
}

impl Surroundings<'_> {
    fn spec(&self, name: &str, program: &Path) -> FunctionSpec {
        FunctionSpec::new(name, program)
            .layer(self.layer)
            .env("DEMO_LEDGER", self.ledger.to_string_lossy())
    }

    /// The Rust function.
    pub(super) fn orders(&self, program: &Path) -> anyhow::Result<FunctionSpec> {
        Ok(self.beside_others(ORDERS, program)?.timeout(ORDERS_TIMEOUT))
    }

    /// The Rust functions on both sides of the queue.
    pub(super) fn checkout(&self, program: &Path, queue_url: &str) -> anyhow::Result<FunctionSpec> {
        Ok(self.beside_others(CHECKOUT, program)?.env("PARCELS_QUEUE_URL", queue_url))
    }

    pub(super) fn parcels(&self, program: &Path) -> anyhow::Result<FunctionSpec> {
        self.beside_others(PARCELS, program)
    }

    /// In Lambda each environment has its own loopback; here the extensions share one.
    fn beside_others(&self, name: &str, program: &Path) -> anyhow::Result<FunctionSpec> {
        let spec = self.spec(name, program).timeout(AMPLE);
        Ok(spec.env("OTEL_LAMBDA_RECEIVER_PORT", layer::free_port()?.to_string()))
    }

    /// The Python function on AWS's own runtime client. Where the usual port is free, the SDK is told no address: that is how
    /// most will run it.
    pub(super) fn shop(
        &self,
        interpreter: &Path,
        sources: &Path,
        invoke_endpoint: &str,
    ) -> anyhow::Result<FunctionSpec> {
        let spec = on_runtime_client(self.spec(SHOP, interpreter), "shop.handler", sources)
            .env("AWS_ENDPOINT_URL_LAMBDA", invoke_endpoint)
            .env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta");
        if layer::is_usual_port_free() {
            return Ok(spec);
        }
        let address = format!("http://127.0.0.1:{}", layer::free_port()?);
        Ok(spec.env("OTEL_EXPORTER_OTLP_ENDPOINT", address))
    }

    /// The Python function that the layer's wrapper instruments. Its metrics would be numbers that nobody else has.
    pub(super) fn stock(
        &self,
        interpreter: &Path,
        sources: &Path,
        warehouse: &str,
    ) -> anyhow::Result<FunctionSpec> {
        let wrapped = self.spec(STOCK, &self.layer.join(layer::WRAPPER));
        let wrapped = wrapped.argument(interpreter.to_string_lossy());
        Ok(on_runtime_client(wrapped, "stock.handler", sources)
            .timeout(STOCK_TIMEOUT)
            // The smallest functions have the longest time to export what is open, and this machine may be busy.
            .memory_mb(128)
            .env("WAREHOUSE", warehouse)
            .env("OTEL_METRICS_EXPORTER", "none")
            .env("OTEL_LAMBDA_RECEIVER_PORT", layer::free_port()?.to_string()))
    }
}

/// The rest of a function whose interpreter is given: AWS's runtime client with this handler.
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

/// The interpreter with the packages that a folder of the demo's names, else why there is none.
pub(super) fn python(workspace: &Path, sources: &str) -> Result<PathBuf, String> {
    let Some(python) = packages::find_python() else {
        return Err(format!("there is no Python {MIN_PYTHON} or newer with venv on this machine"));
    };
    let requirements = workspace.join("demo").join(sources).join("requirements.txt");
    let install = || -> Result<PathBuf, InstallError> {
        let folder = packages::cache()?.join("demo").join(sources);
        packages::python_environment(&python, &folder, &[requirements])
    };
    install().map_err(|error| {
        let error = format!("{:#}", anyhow::Error::from(error));
        let last = error.lines().next_back().unwrap_or_default();
        format!("its packages cannot be installed from PyPI ({last})")
    })
}

/// What "orders" is invoked with. Each invocation has its own range of numbers.
pub(super) fn orders_event(index: u32, action: &str) -> Value {
    let first = (index + 1) * 1000;
    http_event(
        "orders/{id}",
        "orders/7",
        &json!({"action": action, "children": 2, "first_number": first}),
    )
}

/// What "shop" is invoked with; the numbers of "orders" follow its own.
pub(super) fn shop_event(index: u32, action: &str) -> Value {
    let first = (index + 6) * 2000;
    let body =
        json!({"action": action, "first_number": first, "orders_first_number": first + 1000});
    http_event("shop", "shop", &body)
}

/// What "checkout" is invoked with. API Gateway hands it everything, so that only its router knows the route.
pub(super) fn checkout_event() -> Value {
    let body = json!({"parcels": CHECKED_OUT, "first_number": 30_000});
    http_event("{proxy+}", "checkouts/7", &body)
}

/// An HTTP API event (payload format 2.0), as API Gateway sends it.
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
