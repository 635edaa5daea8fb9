//! Replays the corpora of the fuzz targets on stable: whole, cut and changed.

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use settings::Source as _;
use std::path::PathBuf;
use test_support::hostile::{self, Place};

/// Changed inputs for each input of a corpus. `FUZZ_CHANGES=100000` replays longer.
const CHANGES: usize = 30;

#[track_caller]
fn replay(target: &str, run: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 5, "{}: {} inputs", folder.display(), inputs.len());
    let count = settings::Env.get("FUZZ_CHANGES").map_or(CHANGES, |count| count.parse().unwrap());
    let mut random = 1u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 33).unwrap()
    };
    for input in inputs {
        let whole = std::fs::read(&input).unwrap();
        run(&whole);
        for _ in 0..count {
            let mut changed = whole.clone();
            if changed.is_empty() {
                break;
            }
            for _ in 0..=next() % 3 {
                let at = next() % changed.len();
                // Bytes with a meaning in one of the decoders, and any other.
                changed[at] = match next() % 4 {
                    0 => b"{}[]\",:\\\n0"[next() % 10],
                    1 => changed[next() % changed.len()],
                    _ => u8::try_from(next() % 256).unwrap(),
                };
            }
            if next() % 4 == 0 {
                changed.truncate(next() % whole.len());
            }
            run(&changed);
        }
    }
}

#[test]
fn every_fuzz_target_passes_on_its_corpus() {
    std::thread::scope(|scope| {
        for (target, run) in targets::TARGETS {
            scope.spawn(move || replay(target, run));
        }
    });
}

/// An overflow of the stack would abort the process with the events of all tenants in it.
#[test]
fn every_family_of_hostile_content_is_read_with_a_small_stack() {
    const BYTES: usize = 64 * 1024;
    for family in hostile::families() {
        let text = family.content(BYTES);
        let readers: &[&str] = match family.place {
            Place::Head | Place::LogEvent => &["text", "redact", "line"],
            // Each line is short.
            Place::Heads | Place::LogEvents => &[],
            Place::SpanLine => &["spans"],
            Place::Telemetry => &["telemetry"],
            Place::OtlpJson(_) => &["json", "line"],
            Place::XRay => &["xray"],
        };
        for reader in readers {
            println!("{}: {reader}", family.name);
            targets::stack::read(reader, text.clone());
        }
    }
}
