//! OpenTelemetry's exporters over gRPC for Python and Node, unchanged, which send all three signals to the extension.

use super::functions::{node_function, python_spec, with_the_extension};
use super::packages::pinned;
use super::{Tally, Workshop};
use anyhow::Context as _;
use tokio::runtime::Runtime;

pub(super) fn check(workshop: &Workshop, tally: &mut Tally) -> anyhow::Result<()> {
    let runtime = Runtime::new().context("cannot start tokio")?;
    let root = &workshop.root;

    let package = "opentelemetry-exporter-otlp-proto-grpc";
    let version = pinned(root, "tests/interop/python/requirements.txt", package)?;
    let name = format!("extension: PyPI {package} {version}");
    tally.check(&name, || {
        let spec = python_spec(workshop, &workshop.packages.python)
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        runtime.block_on(with_the_extension(workshop, "python-grpc", spec))
    });

    let package = "@opentelemetry/exporter-trace-otlp-grpc";
    let version = pinned(root, "tests/interop/node/package.json", package)?;
    let name = format!("extension: npm {package} {version}");
    tally.note(&name, runtime.block_on(node_function(workshop, &workshop.packages.node, "grpc")));
    Ok(())
}
