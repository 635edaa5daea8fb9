//! Does nothing. A build that includes an example selects the features of all dev-dependencies, as `cargo test` does.
//! `cargo demo` and the tests build with it, so that cargo compiles each dependency once.

fn main() {}
