//! Events from the tests of other systems, read as in those systems or with the difference stated.

use std::ops::RangeInclusive;
use std::path::Path;

use super::*;

/// The folder of other systems' test events, read in place. The test is skipped if they are absent.
fn peers() -> Option<std::path::PathBuf> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/samples/peers");
    peers.is_dir().then_some(peers)
}

/// Differences between this crate and the event's original system: file, lines, and the difference. All other lines are read
/// alike.
const DIFFERENCES: &[(&str, RangeInclusive<usize>, &str)] = &[
    (
        "aws-lambda-rust-runtime",
        2..=2,
        "a record that is no text needs a type of the user's there, or fails its POST; here it is its JSON text",
    ),
    ("aws-lambda-rust-runtime", 4..=4, "as line 2"),
    ("aws-lambda-rust-runtime", 14..=14, "as line 2"),
    ("aws-lambda-rust-runtime", 16..=16, "as line 2"),
    (
        "aws-lambda-rust-runtime",
        25..=32,
        "a second set of types for the Logs API there, where a type of the one fails a POST of the other; here one model",
    ),
    (
        "elastic",
        3..=5,
        "faults are passed over there, and an end without request id ends nothing; here a fault is an error that is counted",
    ),
    (
        "opentelemetry-lambda-receiver",
        1..=1,
        "the whole POST is given up there for one time that cannot be read; here the event is kept, without a time",
    ),
    ("opentelemetry-lambda-receiver", 25..=25, "as line 1"),
    (
        "opentelemetry-lambda-receiver",
        26..=30,
        "figures that are missing or none cost themselves here, and neither the others nor the event",
    ),
    (
        "opentelemetry-lambda",
        2..=2,
        "no span there where a time cannot be read; here the event is kept, without a time",
    ),
];

#[test]
fn telemetry_samples_of_other_projects_are_parsed() {
    let Some(peers) = peers() else { return };
    let mut shown_all = String::new();
    let mut stated = 0;
    let mut files: Vec<_> = std::fs::read_dir(peers.join("telemetry-events"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    for path in files {
        use std::fmt::Write as _;
        writeln!(shown_all, "{}", path.file_name().unwrap().to_str().unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        for (number, line) in (1..).zip(std::fs::read_to_string(&path).unwrap().lines()) {
            let shown_line = shown(line);
            let is_platform =
                !shown_line.contains("Function: ") && !shown_line.contains("Extension: ");
            let outcome: String =
                shown_line.chars().take(if is_platform { 220 } else { 50 }).collect();
            writeln!(shown_all, "  {}", outcome.replace('\n', "\\n")).unwrap();
            for (file, lines, what) in DIFFERENCES {
                if *file == name && *lines.end() == number {
                    let (first, last) = (lines.start(), lines.end());
                    writeln!(shown_all, "    ^ {first} to {last}: {what}").unwrap();
                    stated += 1;
                }
            }
        }
    }
    assert_eq!(stated, DIFFERENCES.len(), "each belongs to a line");
    expect_test::expect_file!["../../../../fixtures/peers-telemetry.txt"].assert_eq(&shown_all);
}
