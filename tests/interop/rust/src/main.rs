//! The peers' crates at work: `span-exporter`, `lite` and `old-client` write lines, as `ours` does with our exporter, and `core`
//! reads lines from stdin.
//!
//! A writer's items go to the file INTEROP_MADE, one JSON object a line. `core` prints the items it read as
//! OTLP/JSON.

mod old_client;
mod ours;
mod reads;
mod span_exporter;

use serde_json::Value;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("span-exporter") => span_exporter::write(),
        Some("lite") => span_exporter::write_invocations().await,
        Some("old-client") => old_client::write().await,
        Some("ours") => ours::write(),
        Some("core") => reads::read(),
        other => Err(format!("no such peer: {other:?}").into()),
    }
}

fn note(item: &Value) {
    let path = std::env::var_os("INTEROP_MADE").expect("INTEROP_MADE is set");
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .expect("INTEROP_MADE can be written");
    file.write_all(format!("{item}\n").as_bytes()).expect("INTEROP_MADE can be written");
}
