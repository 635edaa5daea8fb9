//! Deflated data inflate again with a complete implementation of deflate.

use crate::huffman::Code;
use crate::{Codes, Deflater, Preset};
use proptest::prelude::*;
use std::io::Write as _;
use std::ops::Range;

fn round_trip(deflater: &mut Deflater, level: u32, input: &[u8]) -> usize {
    deflated(deflater, level, input, 0..0).len()
}

/// Deflates the input, checks that it inflates again, and returns the result.
fn deflated(deflater: &mut Deflater, level: u32, input: &[u8], repeated: Range<usize>) -> Vec<u8> {
    let mut out = b"before".to_vec();
    deflater.deflate(level, input, repeated, usize::MAX, &mut out).unwrap();
    let written = out.strip_prefix(b"before").unwrap();
    let mut reader = flate2::write::DeflateDecoder::new(Vec::new());
    reader.write_all(written).unwrap();
    assert!(reader.finish().unwrap() == input, "level {level}");
    written.to_vec()
}

/// Bytes as in telemetry: repeated pieces, changed or not, and unique ids.
fn bytes(pieces: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(prop::sample::select(&b"ab"[..]), 0..400),
        (any::<u8>(), 0..70_000_usize).prop_map(|(byte, count)| vec![byte; count]),
        Just(b"http.request.method\x12\x03GET".to_vec()),
    ];
    let order = prop::collection::vec(any::<prop::sample::Index>(), 0..pieces);
    (prop::collection::vec(piece, 1..12), order)
        .prop_map(|(pieces, order)| order.iter().flat_map(|at| at.get(&pieces).clone()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// One state for all, as in the exporter.
    #[test]
    fn deflated_data_inflates_unchanged(inputs in prop::collection::vec((bytes(40), 0..11_u32), 1..4)) {
        let mut deflater = Deflater::default();
        for (input, level) in &inputs {
            round_trip(&mut deflater, *level, input);
        }
    }

    /// Regardless of earlier inputs' parts.
    #[test]
    fn a_cached_part_does_not_change_the_output(
        part in bytes(20),
        inputs in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..40), bytes(20), any::<bool>(), 0..11_u32),
            1..6,
        ),
    ) {
        let mut deflater = Deflater::default();
        for (before, after, has_part, level) in inputs {
            // As long as the part, and different.
            let other = part.iter().map(|byte| byte ^ 1).collect();
            let part = if has_part { &part } else { &other };
            let input = [before.as_slice(), part, &after].concat();
            let place = before.len()..before.len() + part.len();
            let known = deflated(&mut deflater, level, &input, place.clone());
            let anew = deflated(&mut Deflater::default(), level, &input, place);
            prop_assert!(known == anew);
        }
    }

    /// A decodable code: no symbol's bits are a prefix of another's, and none are unused (Kraft's sum is one).
    #[test]
    fn huffman_codes_are_complete_and_within_the_length_limit(
        counts in prop::collection::vec(prop_oneof![Just(0), 1..10_u32, (0..17_u32).prop_map(|n| 1 << n)], 2..286),
    ) {
        let used = counts.iter().filter(|&&count| count > 0).count();
        for limit in [9, 15] {
            let mut code = Code::<512>::default();
            code.build(&counts, limit);
            let lengths: Vec<u32> = (0..counts.len()).map(|symbol| code.length(symbol)).collect();
            prop_assert!(lengths.iter().all(|&length| length as usize <= limit));
            let sum: u64 = lengths.iter().filter(|&&length| length > 0).map(|length| 1 << (16 - length)).sum();
            prop_assert_eq!(sum, if used == 0 { 0 } else { 1 << 16 });
            prop_assert!(counts.iter().zip(&lengths).all(|(&count, &length)| count == 0 || length > 0));
        }
    }
}

#[test]
fn inputs_at_window_block_and_part_boundaries_round_trip() {
    let mut deflater = Deflater::default();
    let numbers: Vec<u8> = (0..60_000_u32).flat_map(u32::to_le_bytes).collect();
    for input in [
        &[][..],
        &[7],
        &[7, 7, 7],
        &[7; 258],
        &[7; 259],
        vec![7; 100_000].as_slice(),
        numbers.as_slice(),
        [numbers.as_slice(); 3].concat().as_slice(),
        [&numbers[..32_768]; 2].concat().as_slice(),
        [&numbers[..32_769]; 2].concat().as_slice(),
    ] {
        for level in [0, 1, 6, 9] {
            round_trip(&mut deflater, level, input);
        }
    }
    round_trip(&mut deflater, 6, &vec![7; crate::PART_BYTES + 100]);
    round_trip(&mut deflater, 0, &vec![7; crate::PART_BYTES]);
}

/// Bytes without repetitions, whose first bits are zeros.
fn noise(count: usize, zeros: u32) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> (u64::BITS - 8 + zeros)) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn copies_reach_back_32768_bytes_and_no_further() {
    let mut deflater = Deflater::default();
    let mark = b"a mark that is long enough to be worth a copy";
    let mut saved = |distance: usize| {
        // Six bits a byte, so that no block is stored, and the mark as the only copy.
        let between = noise(distance - mark.len(), 2);
        let once = [mark.as_slice(), &between].concat();
        let twice = [mark.as_slice(), &between, mark].concat();
        round_trip(&mut deflater, 9, &twice) - round_trip(&mut deflater, 9, &once)
    };
    assert!(saved(32_768) < 10);
    assert!(saved(32_769) > 30);
}

#[test]
fn earlier_inputs_do_not_change_the_deflated_size() {
    let mut deflater = Deflater::default();
    let first: Vec<u8> = (0..2000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
    let alone = round_trip(&mut Deflater::default(), 6, &first);
    for _ in 0..3 {
        assert_eq!(round_trip(&mut deflater, 6, &first), alone);
    }
    // The position numbers are used up.
    deflater.matches.end_numbers();
    for _ in 0..3 {
        assert_eq!(round_trip(&mut deflater, 6, &first), alone);
    }
}

#[test]
fn incompressible_data_is_stored_with_little_overhead() {
    let deflated = round_trip(&mut Deflater::default(), 6, &noise(200_000, 0));
    assert!(deflated <= 200_000 + 5 * 16, "{deflated}");
}

#[test]
fn a_part_shared_by_several_inputs_is_searched_once() {
    let mut deflater = Deflater::default();
    let part: Vec<u8> = (0..500_u16).flat_map(u16::to_le_bytes).collect();
    let mut places = Vec::new();
    for number in 0..3_u8 {
        let input = [&[number; 7], part.as_slice(), b"what follows"].concat();
        deflated(&mut deflater, 6, &input, 7..7 + part.len());
        places.push(deflater.matches.places());
    }
    // Of the first input, the part and the whole; then each time the whole.
    assert_eq!(places, [2019, 3038, 4057].map(|bytes: u32| bytes + 1));
}

#[test]
fn repeated_parts_out_of_range_are_ignored() {
    let input = vec![7; 10_000];
    for place in [0..10_000, 33..43, 9_999..10_001, 20_000..20_001] {
        let with = deflated(&mut Deflater::default(), 6, &input, place.clone());
        assert_eq!(with, deflated(&mut Deflater::default(), 6, &input, 0..0), "{place:?}");
    }
}

/// Inflates with a dictionary.
fn inflated(dictionary: &[u8], deflated: &[u8]) -> Vec<u8> {
    let mut state = flate2::Decompress::new(false);
    if !dictionary.is_empty() {
        state.set_dictionary(dictionary).unwrap();
    }
    let mut out = Vec::with_capacity(1 << 20);
    state.decompress_vec(deflated, &mut out, flate2::FlushDecompress::Finish).unwrap();
    out
}

/// Codes of all symbols, of which most are as long as in deflate's fixed ones.
fn codes() -> Codes {
    let bits = |symbol| match symbol {
        256 => 7,
        0..62 => 9,
        62..286 => 8,
        286..288 => 4,
        _ => 5,
    };
    Codes::new(&std::array::from_fn(bits))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn data_deflated_with_a_dictionary_inflates_unchanged(
        dictionary in bytes(20),
        inputs in prop::collection::vec(bytes(20), 1..4),
    ) {
        let dictionary: &'static [u8] = dictionary.leak();
        let preset = Preset::new(dictionary);
        let header = codes().header().unwrap();
        let mut deflater = Deflater::default();
        for input in inputs.iter().map(Vec::as_slice).chain([dictionary]).filter(|input| input.len() < 1 << 20) {
            let mut out = Vec::new();
            if deflater.deflate_with(&preset, Some(&codes()), input, usize::MAX, &mut out).unwrap() {
                out.splice(0..0, header.iter().copied());
            }
            prop_assert!(inflated(preset.bytes(), &out) == input);
        }
    }
}

#[test]
fn a_block_in_shared_codes_has_no_header() {
    let mut out = Vec::new();
    let deflater = &mut Deflater::default();
    let preset = Preset::new(b"method");
    assert!(deflater.deflate_with(&preset, Some(&codes()), b"abcdefgh", 99, &mut out).unwrap());
    // Eight bits for each byte, and seven for the end of the block.
    assert_eq!(out.len(), 9);
}
