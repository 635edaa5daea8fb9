//! Exact round trips of random requests.

use super::{CompactError, Context, Encoder, decode};
use crate::random_request::Random;
use crate::request::{Limits, Request};
use proptest::prelude::*;
use std::cell::RefCell;

const CONTEXT: Context<'_> = Context {
    function: "orders-api",
    account: "012345678901",
    log_stream: "2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef",
    region: "eu-west-1",
};

thread_local! {
    static ENCODER: RefCell<Encoder> = RefCell::default();
}

fn decoded(requests: &[&Request]) -> Result<Vec<Request>, CompactError> {
    let text = ENCODER.with_borrow_mut(|encoder| encoder.text(&CONTEXT, requests));
    decode(&text, &CONTEXT, &Limits::default())
}

proptest! {
    #[test]
    fn a_line_decodes_to_the_encoded_requests(seed: u64, count in 1..4_usize, copies in 0..3_usize) {
        let mut random = Random::new(seed);
        let mut encoded: Vec<Request> = (0..count).map(|_| random.request()).collect();
        encoded.extend(std::iter::repeat_n(encoded[0].clone(), copies));
        prop_assert_eq!(decoded(&encoded.iter().collect::<Vec<_>>()), Ok(encoded));
    }

    /// Bytes that are not as encoders write them: unknown fields, other types, lengths with needless bytes, no protobuf at all.
    #[test]
    fn unusual_request_bytes_round_trip_or_are_rejected(seed: u64, changes in 1..4, insert: bool) {
        let mut random = Random::new(seed);
        let request = random.request();
        let mut bytes = request.bytes().to_vec();
        for _ in 0..changes {
            let at = random.below(bytes.len() + 1);
            let value = random.below(256).to_le_bytes()[0];
            match bytes.get_mut(at) {
                Some(byte) if !insert => *byte = value,
                _ => bytes.insert(at, value),
            }
        }
        let checked = Request::check(request.kind(), bytes.clone(), &Limits::default());
        let expected = checked.map(|request| vec![request]).map_err(CompactError::Malformed);
        prop_assert_eq!(decoded(&[&Request::unchecked(request.kind(), bytes)]), expected);
    }
}
