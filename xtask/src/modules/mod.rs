//! Checks what other tools deploy the stack by. It is made of `stack/template.yaml` by `cargo xtask stack --write`, and
//! `cargo xtask stack` says whether it still is.

mod terraform;

use crate::checks::{self, Tally};

pub(crate) fn run() -> anyhow::Result<()> {
    let root = checks::root()?;
    let mut tally = Tally::default();
    terraform::check(&root, &mut tally);
    tally.finish()
}
