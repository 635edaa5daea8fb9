//! The arguments of `cargo demo`.

use std::path::PathBuf;

/// Runs functions, the extension, the forwarder and a backend on this machine, and compares every item that the functions made
/// with the items in the backend.
#[derive(clap::Parser, Default)]
#[command(
    name = "cargo demo",
    bin_name = "cargo demo",
    after_help = "\
Examples:
  cargo demo --html run.html
  cargo demo --endpoint https://o2.example.com/api/default --header 'authorization=Basic …'"
)]
pub(crate) struct Arguments {
    /// Make the demo's backend drop this many records although it answers 200; the demo reports them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) lose: u64,
    /// Store this many records before dropping the first.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "lose")]
    pub(crate) lose_after: u64,
    /// Also post to this OTLP endpoint; for OpenObserve the base URL with `/api/{org}`.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Header of the requests to --endpoint; may be repeated.
    #[arg(long = "header", value_name = "K=V", requires = "endpoint")]
    pub(crate) headers: Vec<String>,
    /// Also write the run as one HTML page: traces, logs, metrics and the accounting.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}
