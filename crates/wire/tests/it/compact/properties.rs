//! Exact round trips of the sample lines, and damaged lines, whose number `PROPTEST_CASES` raises.

use super::{TELEMETRY, request_of, requests, text};
use lambda_otlp_wire::{Limits, Request, read_line};
use proptest::prelude::ProptestConfig;

#[test]
fn sample_lines_round_trip_in_fewer_bytes() {
    const OVERHEAD: usize = 26;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/lines");
    let mut lines = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let sample = std::fs::read_to_string(file.path()).unwrap_or_default();
        for line in sample.lines() {
            let reading = read_line(line, &Limits::default()).unwrap_or_default();
            let decoded: Vec<Request> = reading.decoded;
            let content = text(&decoded.iter().collect::<Vec<_>>());
            assert_eq!(requests(&content).as_ref(), Ok(&decoded));
            let spans: usize = decoded.iter().map(Request::items).sum();
            if spans > 0 && line.contains("gzip") {
                let standard = line.len() + 1 + OVERHEAD;
                let compact = content.len() + r#"{"_otelc":""}"#.len() + 1 + OVERHEAD;
                println!("{:?}, {spans} spans: {compact} of {standard}", file.file_name());
                assert!(compact < standard, "{:?}: {compact} of {standard}", file.file_name());
                lines += 1;
            }
        }
    }
    assert!(lines > 20, "{lines}");
}

/// One changed, lost or inserted character is an error, except for the odds of a 2-byte checksum.
#[test]
fn damaged_lines_are_rejected_within_the_odds_of_the_checksum() {
    let cases = ProptestConfig::default().cases.max(20_000);
    let request = request_of(TELEMETRY);
    let text = text(&[&request]).into_bytes();
    let mut state = 7_u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % bound
    };
    let mut wrong = 0;
    for _ in 0..cases {
        let mut damaged = text.clone();
        let at = random(damaged.len());
        match random(4) {
            0 => drop(damaged.remove(at)),
            1 => damaged.insert(at, b'!' + u8::try_from(random(90)).unwrap()),
            2 => damaged.truncate(at),
            _ => damaged[at] = b'!' + u8::try_from(random(90)).unwrap(),
        }
        if damaged != text
            && let Ok(decoded) = requests(&String::from_utf8(damaged).unwrap())
        {
            wrong += u32::from(decoded != [request.clone()]);
        }
    }
    // One in 65,536 of those whose structure is still right.
    assert!(wrong <= 1 + cases / 30_000, "{wrong} of {cases}");
}
