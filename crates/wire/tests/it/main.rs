//! Requests and lines: samples of other exporters, tables of cases, and properties of generated telemetry.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod compact;
mod headers;
mod json_cases;
mod lines;
mod properties;
mod rejoin;

use expect_test::ExpectFile;
use lambda_otlp_wire::protobuf::Writer;
use lambda_otlp_wire::{Limits, LineReading, Traces, read_line};
use std::path::PathBuf;

fn fixture(name: &str) -> String {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/lines").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares a table with what `read` makes of each row. `UPDATE_EXPECT=1` writes the results after `=>`.
fn check_table(table: &ExpectFile, read: impl Fn(&str) -> String) {
    let mut now = String::new();
    for row in table.data().lines().filter(|row| !row.starts_with("=>")) {
        now.extend([row, "\n"]);
        if !row.is_empty() && !row.starts_with('#') {
            now.extend([format!("=> {}", read(row)).trim_end(), "\n"]);
        }
    }
    table.assert_eq(&now);
}

/// The bytes of a request with one scope, whose items `write` appends as its field 2.
fn in_scope(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| container.message(2, write));
    bytes
}

/// The spans of a sample line, as bare OTLP/JSON.
fn bare(name: &str) -> String {
    let spans = read(&fixture(name)).decoded.remove(0).decode::<Traces>();
    serde_json::to_string(&spans.unwrap().unwrap()).unwrap()
}

fn read(line: &str) -> LineReading {
    read_line(line, &Limits::default()).unwrap_or_default()
}
