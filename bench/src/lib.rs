//! Comparisons with the peers' published crates.
