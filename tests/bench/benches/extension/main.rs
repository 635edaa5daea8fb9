//! The extension in the local Lambda: the function's cost in each state, and the extension's time to register.
//!
//! `cargo bench -p lambda-otlp-bench --bench extension` prints all tables; `-- states [STATE…]`, `-- register`, `-- held [BACKEND…]` and
//! `-- flood` print one. The states are those of `tests/src/simulation`, with the layer and without, in turns. The other tables
//! compare the layer's extension with djv3's and rotel's.

#![expect(clippy::print_stdout, reason = "the program prints its tables")]
#![expect(clippy::indexing_slicing, reason = "a failure of the local Lambda ends the program")]

mod held;
mod side;
mod states;

use anyhow::{bail, ensure};
use lambda_otlp_bench::harness::load;
use lambda_otlp_tests::simulation::{Program, run_in_lambda};

const FUNCTION: &[&str] = &["the-function"];

const TABLES: [&str; 4] = ["states", "register", "held", "flood"];
/// Pairs of environments, with the layer and without, in each state.
const PAIRS: u64 = 9;

fn main() -> anyhow::Result<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.iter().map(String::as_str).eq(FUNCTION.iter().copied()) {
        run_in_lambda();
        bail!("this is no Lambda");
    }
    // Parts of the names of states or backends may follow; all if there is none.
    let (table, names) = arguments.split_first().map_or((None, &[][..]), |(a, b)| (Some(a), b));
    let is_table = |name: &String| TABLES.contains(&name.as_str());
    ensure!(table.is_none_or(is_table), "unknown table, there are {TABLES:?}");
    let is_asked = |name: &str| table.is_none_or(|table| table == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("Load {} at the beginning.\n", load());
    if is_asked("states") {
        let ours = Program { extension: side::ours()?, function: FUNCTION };
        runtime.block_on(states::print(&ours, PAIRS, names))?;
    }
    // Only the other tables need the peers.
    if ["register", "held", "flood"].into_iter().any(is_asked) {
        let sides = side::all()?;
        if is_asked("register") {
            runtime.block_on(side::print_starts(&sides))?;
        }
        if is_asked("held") {
            runtime.block_on(held::print(&sides, names))?;
        }
        if is_asked("flood") {
            runtime.block_on(held::print_flood(&sides))?;
        }
    }
    println!("\nLoad {} at the end.", load());
    Ok(())
}
