//! Fuzzes the target that `FUZZ_TARGET` names.

#![no_main]

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let asked = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        let found = targets::TARGETS.iter().find(|(name, _)| *name == asked);
        found.unwrap_or_else(|| panic!("there is no target {asked}")).1
    });
    target(data);
});
