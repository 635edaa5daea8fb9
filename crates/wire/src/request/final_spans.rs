//! Removes partial spans from a request if complete versions of them exist.

use super::Request;
use super::items::{count, each_item};
use crate::protobuf::{Reader, Value, Writer};
use crate::signal::SignalKind;

/// The identity of a span: ids and start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SpanKey {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    start_unix_nano: u64,
}

impl SpanKey {
    /// `None` for a span with invalid ids, which has no identity.
    fn of(span: &[u8]) -> Option<Self> {
        let (mut trace_id, mut span_id, mut start_unix_nano) = (None, None, 0);
        for field in Reader::new(span).map_while(Result::ok) {
            match (field.number, field.value) {
                (1, Value::Len(id)) => trace_id = id.try_into().ok(),
                (2, Value::Len(id)) => span_id = id.try_into().ok(),
                (7, Value::Fixed64(start)) => start_unix_nano = start,
                _ => {}
            }
        }
        Some(Self { trace_id: trace_id?, span_id: span_id?, start_unix_nano })
    }
}

impl Request {
    /// Returns the request without spans that `others` contain with the same ids and start, and the number of removed spans.
    /// Other signals stay unchanged.
    #[must_use]
    pub fn without_spans_of(self, others: &[Self]) -> (Self, usize) {
        if self.kind != SignalKind::Traces {
            return (self, 0);
        }
        let path = self.kind.path_to_items();
        let mut own = Vec::new();
        each_item(&self.bytes, path, &mut |span| own.extend(SpanKey::of(span)));
        own.sort_unstable();
        let mut of_others = Vec::new();
        for other in others.iter().filter(|other| other.kind == SignalKind::Traces) {
            each_item(&other.bytes, path, &mut |span| {
                let key = SpanKey::of(span);
                of_others.extend(key.filter(|key| own.binary_search(key).is_ok()));
            });
        }
        if of_others.is_empty() {
            return (self, 0);
        }
        of_others.sort_unstable();
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let taken = without(&self.bytes, path, &of_others, &mut bytes);
        (Self::trusted(self.kind, bytes), taken)
    }
}

/// Copies `message` without these (sorted) spans and without messages that become empty. Returns the number of removed spans.
fn without(message: &[u8], path: &[&[u32]], spans: &[SpanKey], out: &mut Vec<u8>) -> usize {
    let Some((level, deeper)) = path.split_first() else { return 0 };
    let mut taken = 0;
    for field in Reader::new(message).map_while(Result::ok) {
        let inner = field.as_len().filter(|_| level.contains(&field.number));
        let Some(inner) = inner else {
            out.extend_from_slice(field.raw);
            continue;
        };
        if deeper.is_empty() {
            if SpanKey::of(inner).is_some_and(|key| spans.binary_search(&key).is_ok()) {
                taken += 1;
            } else {
                out.extend_from_slice(field.raw);
            }
            continue;
        }
        let mut left = Vec::new();
        let taken_here = without(inner, deeper, spans, &mut left);
        taken += taken_here;
        if taken_here == 0 {
            out.extend_from_slice(field.raw);
        } else if count(&left, deeper) > 0 {
            Writer::new(out).always_bytes(field.number, &left);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Signal, Traces};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    /// Each scope is a word of span ids, each resource a list of scopes.
    fn request(text: &str) -> Request {
        let span = |id: char| Span {
            trace_id: vec![1; 16],
            span_id: vec![id as u8; 8],
            start_time_unix_nano: u64::from(id == '9'),
            name: id.to_string(),
            ..Span::default()
        };
        let scope = |word: &str| ScopeSpans {
            spans: word.chars().map(span).collect(),
            ..ScopeSpans::default()
        };
        let resource = |scopes: &str| ResourceSpans {
            scope_spans: scopes.split_whitespace().map(scope).collect(),
            ..ResourceSpans::default()
        };
        let resources = text.split('|').map(resource).collect();
        Request::encode::<Traces>(&Traces::request(resources))
    }

    #[test]
    fn only_partial_spans_with_a_final_span_are_removed() {
        let check = |partial: &str, others: &[&str], expected: &str, expected_taken: usize| {
            let others: Vec<Request> = others.iter().map(|text| request(text)).collect();
            let (left, taken) = request(partial).without_spans_of(&others);
            assert_eq!((left.items(), taken), (request(expected).items(), expected_taken));
            let left = left.decode::<Traces>().unwrap().unwrap();
            assert_eq!(left, request(expected).decode::<Traces>().unwrap().unwrap(), "{partial}");
        };
        check("ab c|d", &[], "ab c|d", 0);
        check("ab c|d", &["x", "y z"], "ab c|d", 0);
        check("ab c|d", &["xb"], "a c|d", 1);
        check("ab c|d", &["c", "d|x"], "ab", 2);
        let (nothing, taken) = request("a").without_spans_of(&[request("a")]);
        assert_eq!((nothing.bytes().len(), nothing.items(), taken), (0, 0, 1));
    }

    #[test]
    fn a_final_span_must_match_signal_and_start_time() {
        let mut other = Span { trace_id: vec![1; 16], span_id: vec![b'a'; 8], ..Span::default() };
        other.start_time_unix_nano = 7;
        let scope_spans = vec![ScopeSpans { spans: vec![other], ..ScopeSpans::default() }];
        let resource = ResourceSpans { scope_spans, ..ResourceSpans::default() };
        let other = Request::encode::<Traces>(&Traces::request(vec![resource]));
        assert_eq!(request("a").without_spans_of(&[other]).1, 0);
        let logs = Request::trusted(SignalKind::Logs, request("a").bytes().to_vec());
        assert_eq!(request("a").without_spans_of(std::slice::from_ref(&logs)).1, 0);
        assert_eq!(logs.without_spans_of(&[request("a")]).1, 0);
    }
}
