//! Compressed data inflate again within the limit, and broken streams report their error.

use super::*;
use std::io::Read as _;

#[test]
fn output_of_exactly_the_limit_is_accepted() {
    let gzip = compress(6, &[7; 5000]);
    assert_eq!(inflate(&gzip, 5000).unwrap().len(), 5000);
    assert_eq!(inflate(&gzip, 4999), Err(InflateError::TooLarge { max_bytes: 4999 }));
    let mut out = Vec::new();
    assert_eq!(reader(gzip.as_slice(), 5000).read_to_end(&mut out).unwrap(), 5000);
    let error = reader(gzip.as_slice(), 4999).read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "gzip stream inflates to more than 4999 bytes");
}

#[test]
fn the_largest_number_is_a_limit_too() {
    // RFC 1951: an empty final block with fixed codes.
    let mut out = Vec::new();
    assert_eq!(inflate_with_dictionary(&[], &[3, 0], usize::MAX, &mut out), Ok(2));
    assert_eq!(out, b"");
}

#[test]
fn the_buffer_of_a_bomb_stays_within_the_limit() {
    let max_bytes = 3 * 1024 * 1024;
    let gzip = compress(6, &vec![0; 2 * max_bytes]);
    // RFC 1952: a header of 10 bytes, and a trailer of 8.
    let deflated = &gzip[10..gzip.len() - 8];
    let mut out = Vec::new();
    let read = inflate_with_dictionary(&[], deflated, max_bytes, &mut out);
    assert_eq!(read, Err(InflateError::TooLarge { max_bytes }));
    // The last byte shows that there are more.
    assert!(out.capacity() <= max_bytes + 1, "{} bytes", out.capacity());
}

#[cfg(feature = "bulk")]
#[test]
fn inflate_plain_declines_truncated_corrupt_or_oversized_input() {
    let check = |gzip: &[u8], max_bytes, expected: Option<usize>| {
        assert_eq!(inflate_plain(gzip, max_bytes).map(|out| out.len()), expected);
    };
    let gzip = compress(6, &[7; 5000]);
    check(&gzip, 5000, Some(5000));
    check(&gzip, 4999, None);
    check(&gzip[..gzip.len() - 1], 5000, None);
    check(&[], 5000, None);
    check(b"text", 5000, None);
    let mut corrupt = gzip.clone();
    corrupt[20] ^= 1;
    check(&corrupt, 5000, None);
    // Two members are read completely or not at all. The size that the last one states does not matter.
    let two = [gzip.as_slice(), gzip.as_slice()].concat();
    let read = inflate_plain(&two, 10_000).map(|out| out.len());
    assert!(read.is_none_or(|read| read == 10_000), "{read:?}");
}

#[test]
fn all_members_are_inflated_and_trailing_garbage_is_ignored() {
    let two = [compress(6, b"one"), compress(6, b"two")].concat();
    assert_eq!(inflate(&two, 100).unwrap(), b"onetwo");
    // Both members state the same size.
    let ten_thousand = compress(6, &[7; 10_000]);
    let noise: Vec<u8> =
        (0..2_500u32).flat_map(|n| crc32fast::hash(&n.to_le_bytes()).to_le_bytes()).collect();
    for other in [&ten_thousand, &compress(6, &noise)] {
        let two = [ten_thousand.as_slice(), other].concat();
        assert_eq!(inflate(&two, 20_000).unwrap().len(), 20_000);
    }
    let garbage = [compress(6, b"one"), b"garbage".to_vec()].concat();
    assert_eq!(inflate(&garbage, 100).unwrap(), b"one");
}

#[test]
fn deflate_is_inflated_with_and_without_a_zlib_header() {
    use flate2::write::{DeflateEncoder, ZlibEncoder};
    use std::io::Write as _;
    let input: Vec<u8> = (0..50_000u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
    for level in 0..=9 {
        let level = flate2::Compression::new(level);
        let (mut zlib, mut bare) =
            (ZlibEncoder::new(Vec::new(), level), DeflateEncoder::new(Vec::new(), level));
        zlib.write_all(&input).unwrap();
        bare.write_all(&input).unwrap();
        for deflated in [zlib.finish().unwrap(), bare.finish().unwrap()] {
            assert_eq!(inflate_deflate(&deflated, input.len()).unwrap(), input);
            let max_bytes = input.len() - 1;
            let too_large = Err(InflateError::TooLarge { max_bytes });
            assert_eq!(inflate_deflate(&deflated, max_bytes), too_large);
            let cut = &deflated[..deflated.len() / 2];
            assert_eq!(inflate_deflate(cut, input.len()), Err(InflateError::EndsEarly));
        }
    }
    assert_eq!(inflate_deflate(b"", 10), Err(InflateError::EndsEarly));
    assert_eq!(inflate_deflate(b"\x78\x9cnonsense", 10), Err(InflateError::Corrupt));
}

#[test]
fn a_member_truncated_at_any_byte_reports_an_early_end() {
    use flate2::GzBuilder;
    use std::io::Write as _;
    let header = GzBuilder::new().extra("extra").filename("name").comment("comment");
    let mut writer = header.write(Vec::new(), flate2::Compression::default());
    writer.write_all(b"some text").unwrap();
    let with_all = writer.finish().unwrap();
    // The same with a checksum of the header (RFC 1952, 2.3: the two low bytes of its CRC32).
    let header_len = 10 + 2 + 5 + 5 + 8;
    let mut checked = with_all.clone();
    checked[3] |= 2;
    let checksum = crc32fast::hash(&checked[..header_len]).to_le_bytes();
    checked.splice(header_len..header_len, [checksum[0], checksum[1]]);
    for gzip in [compress(6, b"some text"), with_all, checked] {
        for end in 0..gzip.len() {
            assert_eq!(inflate(&gzip[..end], 1000), Err(InflateError::EndsEarly), "{end}");
            let read = reader(&gzip[..end], 1000).read_to_end(&mut Vec::new());
            assert_eq!(read.unwrap_err().to_string(), "gzip stream ends early", "{end}");
        }
        assert_eq!(inflate(&gzip, 1000).unwrap(), b"some text");
        assert_eq!(inflate(&gzip.repeat(2), 1000).unwrap(), b"some textsome text");
    }
}

#[test]
fn a_broken_stream_does_not_affect_the_next_one() {
    let gzip = compress(6, b"some text that is long enough to be cut somewhere");
    for broken in [&gzip[..gzip.len() - 9], b"\x1f\x8b\x08\0\0\0\0\0\0\xffnonsense"] {
        assert!(inflate(broken, 1000).is_err());
        assert!(inflate(&[&gzip[..], &gzip[..]].concat(), 1000).is_ok());
    }
}

#[test]
fn empty_members_count_towards_the_member_limit() {
    let empty = super::compress(6, b"");
    let many = |members: usize| [empty.repeat(members), super::compress(6, b"order")].concat();
    assert_eq!(super::inflate(&many(1000), 100).unwrap(), b"order");
    assert_eq!(super::inflate(&many(100_000), 100), Err(InflateError::TooManyMembers));
}
