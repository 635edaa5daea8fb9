//! Inflates zstd, of one frame or more, to a bounded number of bytes.
//!
//! Checksums are ignored: loopback is reliable, and protobuf and JSON are checked anyway.
//!
//! Source: RFC 8878.

use ruzstd::decoding::StreamingDecoder;
use std::io::Read as _;
use wire::gzip::InflateError;

/// The largest window that a decoder should take (RFC 8878, 3.1.1.1.2): a frame may say less than it needs, but not more.
const MAX_WINDOW_BYTES: u64 = 8 * 1024 * 1024;

pub(super) fn inflate(mut input: &[u8], max_bytes: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    loop {
        let frame = StreamingDecoder::new_with_max_window_size(&mut input, MAX_WINDOW_BYTES);
        let room = max_bytes - out.len();
        // One byte more than allowed tells a frame of exactly that size from a longer one.
        let mut frame = frame.map_err(|_| InflateError::Corrupt)?.take(room as u64 + 1);
        frame.read_to_end(&mut out).map_err(|_| InflateError::Corrupt)?;
        if out.len() > max_bytes {
            return Err(InflateError::TooLarge { max_bytes });
        }
        if input.is_empty() {
            return Ok(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"an order is an order is an order, says the order";
    /// That, by `zstd -19 --check` 1.5.
    const FRAME: &[u8] = b"\x28\xb5\x2f\xfd\x04\x68\x15\x01\x00\xe0\x61\x6e\x20\x6f\x72\x64\x65\x72\x20\x69\x73\x20\x2c\x20\
        \x73\x61\x79\x73\x20\x74\x68\x65\x20\x6f\x72\x64\x65\x72\x01\x00\xa7\x4b\x12\xa4\xc1\x55\xdc";

    #[test]
    fn all_zstd_frames_are_inflated_up_to_the_limit() {
        assert_eq!(inflate(FRAME, TEXT.len()).unwrap(), TEXT);
        let two = [FRAME, FRAME].concat();
        assert_eq!(inflate(&two, 2 * TEXT.len()).unwrap(), [TEXT, TEXT].concat());
        let too_large = |max_bytes| Err(InflateError::TooLarge { max_bytes });
        assert_eq!(inflate(FRAME, TEXT.len() - 1), too_large(TEXT.len() - 1));
        assert_eq!(inflate(&two, 2 * TEXT.len() - 1), too_large(2 * TEXT.len() - 1));
    }

    #[test]
    fn invalid_frames_and_oversized_windows_are_corrupt() {
        for bytes in 0..FRAME.len() {
            assert_eq!(inflate(&FRAME[..bytes], 1000), Err(InflateError::Corrupt), "{bytes}");
        }
        assert_eq!(inflate(&[FRAME, b"x"].concat(), 1000), Err(InflateError::Corrupt));
        // The sixth byte is the window's size: here 128 MiB.
        let mut large = FRAME.to_vec();
        large[5] = 0x88;
        assert_eq!(inflate(&large, 1000), Err(InflateError::Corrupt));
    }
}
