//! Leaves the tables for unwinding out of the program that is released: it never unwinds (`src/takeover`), and they are a tenth of
//! it.

#![expect(clippy::disallowed_methods, reason = "these variables are cargo's")]

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=without_unwinding.ld");
    // The layer's targets, which Rust's own linker links. Tests unwind, and are no binary of this package.
    if var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "musl") {
        let folder = var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins={folder}/without_unwinding.ld");
        println!("cargo::rustc-link-arg-bins=--no-eh-frame-hdr");
    }
}
