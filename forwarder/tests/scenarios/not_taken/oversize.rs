//! Items, lines, records and messages that are larger than a queue message: they never hold back their neighbours.

use super::*;
use backend::Profile;
use std::sync::LazyLock;
use wire::protobuf::Writer;

const NEIGHBOURS: usize = 50;

/// More than a message holds: a message has four characters for three bytes, and noise has six bits in a byte.
static LARGE: LazyLock<String> = LazyLock::new(|| noise(1_100_000, 1));

/// Encodes an item, or a resource, a scope or a metric with one item.
struct Shape {
    name: &'static str,
    kind: SignalKind,
    level: Level,
    /// Appends the large fields.
    write: fn(&mut Writer<'_>),
}

/// The message to which the large fields belong.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Container,
    Resource,
    ScopeContainer,
    Scope,
    Metric,
    /// A span, a log record, or the data point of a metric with this number.
    Item(u32),
}

const SPAN: Level = Level::Item(0);
const RECORD: Level = Level::Item(0);
const GAUGE: Level = Level::Item(5);
const HISTOGRAM: Level = Level::Item(9);
const EXPONENTIAL: Level = Level::Item(10);
const SUMMARY: Level = Level::Item(11);

/// Different text for each number below 25,000.
fn word(number: usize) -> &'static str {
    LARGE.get(44 * number..44 * number + 44).unwrap()
}

/// Attributes whose keys and values are words.
fn attributes(out: &mut Writer<'_>, number: u32) {
    for at in 0..12_000 {
        out.text_attribute(number, word(2 * at), word(2 * at + 1));
    }
}

fn one_attribute(out: &mut Writer<'_>, number: u32, write: impl FnOnce(&mut Writer<'_>)) {
    out.message(number, |pair| {
        pair.string(1, "key");
        pair.message(2, write);
    });
}

fn numbers(count: usize) -> impl ExactSizeIterator<Item = u64> {
    (0..count).map(|at| (at as u64).wrapping_mul(6_364_136_223_846_793_005))
}

const SHAPES: &[Shape] = {
    use SignalKind::{Logs, Metrics, Traces};
    const fn shape(
        name: &'static str,
        kind: SignalKind,
        level: Level,
        write: fn(&mut Writer<'_>),
    ) -> Shape {
        Shape { name, kind, level, write }
    }
    &[
        shape("name", Traces, SPAN, |out| out.string(5, &LARGE)),
        shape("trace state", Traces, SPAN, |out| out.string(3, &LARGE)),
        shape("status", Traces, SPAN, |out| {
            out.message(15, |status| status.string(2, &LARGE));
        }),
        shape("value", Traces, SPAN, |out| {
            out.text_attribute(9, "key", &LARGE);
        }),
        shape("key", Traces, SPAN, |out| out.text_attribute(9, &LARGE, "value")),
        shape("keys", Traces, SPAN, |out| attributes(out, 9)),
        shape("array", Traces, SPAN, |out| {
            one_attribute(out, 9, |value| {
                value.message(5, |array| {
                    for at in 0..24_000 {
                        array.message(1, |value| value.string(1, word(at)));
                    }
                });
            });
        }),
        shape("map", Traces, SPAN, |out| {
            one_attribute(out, 9, |value| value.message(6, |map| attributes(map, 1)));
        }),
        shape("bytes", Traces, SPAN, |out| {
            one_attribute(out, 9, |value| value.bytes(7, LARGE.as_bytes()));
        }),
        shape("links", Traces, SPAN, |out| {
            for at in 0..60_000 {
                out.message(13, |link| {
                    link.bytes(1, &LARGE.as_bytes()[16 * at..][..16]);
                    link.bytes(2, &LARGE.as_bytes()[16 * at..][..8]);
                });
            }
        }),
        shape("a link", Traces, SPAN, |out| {
            out.message(13, |link| {
                link.bytes(1, &[1; 16]);
                link.bytes(2, &[2; 8]);
                attributes(link, 4);
            });
        }),
        shape("events", Traces, SPAN, |out| {
            for at in 0..24_000 {
                out.message(11, |event| event.string(2, word(at)));
            }
        }),
        shape("unknown fields", Traces, SPAN, |out| {
            for at in 0..24_000 {
                out.string(100 + at, word(at as usize));
            }
        }),
        shape("body", Logs, RECORD, |out| {
            out.message(5, |body| body.string(1, &LARGE));
        }),
        shape("severity", Logs, RECORD, |out| out.string(3, &LARGE)),
        shape("event name", Logs, RECORD, |out| out.string(12, &LARGE)),
        shape("keys", Logs, RECORD, |out| attributes(out, 6)),
        shape("keys", Metrics, GAUGE, |out| attributes(out, 7)),
        shape("exemplars", Metrics, GAUGE, |out| {
            for at in 0..40_000 {
                out.message(5, |exemplar| exemplar.bytes(5, &LARGE.as_bytes()[27 * at..][..27]));
            }
        }),
        shape("buckets", Metrics, HISTOGRAM, |out| {
            out.packed_fixed64(6, numbers(100_000));
            out.packed_fixed64(7, numbers(99_999));
        }),
        shape("unpacked buckets", Metrics, HISTOGRAM, |out| {
            numbers(100_000).for_each(|count| out.always_fixed64(6, count));
        }),
        shape("buckets", Metrics, EXPONENTIAL, |out| {
            out.message(8, |buckets| buckets.packed_varint(2, numbers(100_000)));
        }),
        shape("quantiles", Metrics, SUMMARY, |out| {
            for bits in numbers(100_000) {
                out.message(6, |quantile| quantile.always_fixed64(2, bits));
            }
        }),
        shape("name", Metrics, Level::Metric, |out| out.string(1, &LARGE)),
        shape("description", Metrics, Level::Metric, |out| out.string(2, &LARGE)),
        shape("metadata", Metrics, Level::Metric, |out| attributes(out, 12)),
        shape("value of the resource", Logs, Level::Resource, |out| {
            out.text_attribute(1, "key", &LARGE);
        }),
        shape("keys of the resource", Logs, Level::Resource, |out| attributes(out, 1)),
        shape("entities of the resource", Logs, Level::Resource, |out| {
            for at in 0..24_000 {
                out.message(3, |entity| entity.string(1, word(at)));
            }
        }),
        shape("schema of the resource", Logs, Level::Container, |out| {
            out.string(3, &LARGE);
        }),
        shape("name of the scope", Traces, Level::Scope, |out| {
            out.string(1, &LARGE);
        }),
        shape("keys of the scope", Traces, Level::Scope, |out| attributes(out, 3)),
        shape("schema of the scope", Traces, Level::ScopeContainer, |out| {
            out.string(3, &LARGE);
        }),
    ]
};

impl Shape {
    /// Writes the large fields if they belong to this level.
    fn at(&self, level: Level, out: &mut Writer<'_>) {
        if self.level == level {
            (self.write)(out);
        }
    }

    /// The bytes of a request with this number of items under one resource and scope, of which the first one may be large.
    fn request(&self, items: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).message(1, |container| {
            container.message(1, |resource| {
                resource.text_attribute(1, "service.name", "orders");
                self.at(Level::Resource, resource);
            });
            self.at(Level::Container, container);
            container.message(2, |scopes| {
                scopes.message(1, |scope| self.at(Level::Scope, scope));
                self.at(Level::ScopeContainer, scopes);
                (0..items).for_each(|number| self.item(number, scopes));
            });
        });
        bytes
    }

    fn item(&self, number: usize, scopes: &mut Writer<'_>) {
        let large = |out: &mut Writer<'_>| {
            if let (0, Level::Item(_)) = (number, self.level) {
                (self.write)(out);
            }
        };
        scopes.message(2, |out| match self.kind {
            SignalKind::Traces => {
                out.bytes(1, &[1; 16]);
                out.bytes(2, &[2; 8]);
                out.string(5, "GET /");
                out.fixed64(7, NOW);
                out.fixed64(8, NOW + 1);
                large(out);
            }
            SignalKind::Logs => {
                out.fixed64(1, NOW);
                large(out);
            }
            SignalKind::Metrics => {
                out.string(1, "latency");
                if number == 0 {
                    self.at(Level::Metric, out);
                }
                let data = match self.level {
                    Level::Item(data) => data,
                    _ => 5,
                };
                out.message(data, |data| {
                    data.message(1, |point| {
                        point.fixed64(3, NOW);
                        // The value, or the number of values.
                        point.fixed64(4, 1);
                        large(point);
                    });
                });
            }
        });
    }
}

fn small(kind: SignalKind) -> Vec<u8> {
    Shape { name: "small", kind, level: GAUGE, write: |_| {} }.request(NEIGHBOURS)
}

/// An event with a line of this request, and one of neighbours.
fn event_with(request: &[u8], kind: SignalKind) -> Event {
    let lines = [line_of(request, kind.as_str()), line_of(&small(kind), kind.as_str())];
    incoming(&payload("/aws/lambda/orders", &lines.each_ref().map(String::as_str)))
}

/// Rejects the content of items with more bytes than all neighbours have together.
fn rejects_large(request: &Request) -> Outcome {
    let is_large = request.bytes().len() > 100_000;
    if request.items() == 1 {
        return if is_large { refuses(request, 400, Fate::DeadLetter) } else { takes(request) };
    }
    if !is_large {
        return takes(request);
    }
    let (first, others) = request.clone().split_at(1);
    let mut outcome = rejects_large(&first);
    outcome += rejects_large(&others);
    outcome
}

/// A stack whose backend gets requests unchanged.
fn stack<F: Fn(&Request) -> Outcome + Sync>(backend: F) -> Stack<Backend<F>> {
    let config = DestinationConfig { profile: Profile::Otlp, ..config().destination };
    let policy = IngestPolicy::any_time();
    let destination = Destination::new("default", Backend(backend), &config, policy);
    Stack::with(vec![destination], default_options())
}

#[track_caller]
fn check_message_sizes<E: Export>(stack: &Stack<E>) {
    let bodies = [stack.dead_letters.bodies(), stack.retry.bodies()].concat();
    let largest = bodies.iter().map(String::len).max().unwrap_or_default();
    assert!(largest <= MAX_MESSAGE_BYTES, "{largest} bytes");
}

#[tokio::test(start_paused = true)]
async fn an_oversize_item_is_dead_lettered_in_short_and_never_returned() {
    for shape in SHAPES {
        let what = format!("{} of {}", shape.name, shape.kind);
        let stack = stack(rejects_large);
        let report = stack.forward(event_with(&shape.request(1), shape.kind)).await;
        let ledger = report.ledger();
        assert_eq!((ledger.accepted, ledger.returned), (NEIGHBOURS, 0), "{what}");
        assert_eq!(ledger.dead_lettered, 1, "{what}");
        assert_eq!(report.undelivered[0].kept_in, KeptIn::DeadLetterQueue, "{what}");
        check_message_sizes(&stack);
        let letters = stack.dead_letters();
        let [letter] = letters.as_slice() else { panic!("{what}: {letters:?}") };
        let Content::Request(request) = &letter.content else { panic!("{what}: {letter:?}") };
        assert_eq!((request.kind(), request.items()), (shape.kind, 1), "{what}");
        assert!(letter.reason.contains("; shortened from "), "{what}: {}", letter.reason);
        // As much as has a place is kept; buckets are kept or left out together.
        let keeps_nothing = ["buckets", "unpacked buckets"].contains(&shape.name);
        assert!(keeps_nothing || request.bytes().len() > 100_000, "{what}: {request:?}");
        // Only data points have attributes.
        let text = String::from_utf8_lossy(request.bytes());
        let is_marked =
            text.contains("lambda_otlp.truncated") || text.contains(" bytes truncated]");
        let needs_mark = shape.name != "metadata";
        assert_eq!(is_marked, needs_mark, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn items_of_an_oversize_resource_scope_or_metric_are_queued_for_retry_in_short() {
    for shape in SHAPES.iter().filter(|shape| !matches!(shape.level, Level::Item(_))) {
        let what = format!("{} of {}", shape.name, shape.kind);
        let is_up = Mutex::new(false);
        let stack = stack(|request: &Request| {
            let is_up = *is_up.lock().unwrap();
            if is_up { takes(request) } else { refuses(request, 503, Fate::Park) }
        });
        let report = stack.forward(event_with(&shape.request(NEIGHBOURS), shape.kind)).await;
        assert_eq!(report.ledger().parked, 2 * NEIGHBOURS, "{what}: {:?}", report.undelivered);
        check_message_sizes(&stack);
        *is_up.lock().unwrap() = true;
        let mut accepted = 0;
        while !stack.retry.is_empty() {
            let report = stack.redrive().await;
            assert_eq!(report.ledger().returned, 0, "{what}");
            accepted += report.ledger().accepted;
        }
        assert_eq!(accepted, 2 * NEIGHBOURS, "{what}");
    }
}

/// Content without items that a backend could reject.
#[tokio::test(start_paused = true)]
async fn oversize_lines_and_records_are_dead_lettered_in_short_and_never_returned() {
    let large = LARGE.as_str();
    let undecodable =
        format!(r#"{{"__otel_otlp_stdout":"0.1.0","endpoint":"/v1/traces","payload":"!{large}"}}"#);
    let mut span = Vec::new();
    Writer::new(&mut span).message(1, |container| {
        container.message(2, |scope| {
            scope.message(2, |span| {
                span.bytes(1, &[1; 16]);
                span.string(5, large);
            });
        });
    });
    let without_span_id = line_of(&span, "traces");
    let neighbours = line_of(&small(SignalKind::Logs), "logs");
    let delivery = |line: &str| payload("/aws/lambda/orders", &[line, &neighbours]);
    let text = |line: &str| gzip_base64(&delivery(line).to_string());
    let mut of_large_id = delivery(&undecodable);
    of_large_id["logEvents"][0]["id"] = LARGE.as_str().into();
    let unreadable = gzip_base64(&format!("{}{large}", delivery("a line")));
    let rows: Vec<(&str, Event, usize)> = vec![
        ("undecodable", incoming(&delivery(&undecodable)), NEIGHBOURS + 1),
        ("without span id", incoming(&delivery(&without_span_id)), NEIGHBOURS),
        ("event id", incoming(&of_large_id), NEIGHBOURS + 1),
        ("rest of an event", event_of(&format!("{}{large}", delivery("a line"))), NEIGHBOURS + 1),
        ("record", kinesis_event([unreadable, text("a line")]), 2 * (NEIGHBOURS + 1)),
        ("no text", kinesis_event([base64_of(large), text("a line")]), NEIGHBOURS + 1),
    ];
    for (what, event, accepted) in rows {
        let stack = Stack::new(Backend(takes));
        let report = stack.forward(event).await;
        let ledger = report.ledger();
        assert_eq!((ledger.accepted, ledger.returned), (accepted, 0), "{what}");
        assert_eq!((ledger.dead_lettered, ledger.dropped), (1, 0), "{what}");
        assert!(lambda_otlp_forwarder::answer(&report).is_ok(), "{what}");
        check_message_sizes(&stack);
        let [letter] = &stack.dead_letters()[..] else { panic!("{what}") };
        assert!(letter.reason.contains(" bytes (SHA-256 "), "{what}: {}", letter.reason);
    }
}

/// Bytes that are neither gzip nor text.
fn base64_of(text: &str) -> String {
    let bytes = [b"\xff", text.as_bytes()].concat();
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

#[tokio::test(start_paused = true)]
async fn a_forged_message_is_dead_lettered_whatever_its_size() {
    let large = noise(1_000_000, 1);
    let request = logs(std::iter::once("an order".to_owned()));
    let original = parked("default", Content::Request(request), 1);
    let messages = original.into_messages(MAX_MESSAGE_BYTES);
    let forged = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut message = serde_json::from_str(&messages[0].body).unwrap();
        change(&mut message);
        message.to_string()
    };
    let with_stream = |stream: &str| forged(&|message| message["stream"] = stream.into());
    let rows = [
        ("no message", large.clone(), "not a queue message"),
        ("body", forged(&|message| message["body"] = large.as_str().into()), "queued request"),
        ("destination", forged(&|it| it["destination"] = large.as_str().into()), "`destination`"),
        ("long stream", with_stream(&large), "`stream`"),
        ("empty stream", with_stream(""), "`stream`"),
        ("stream with a line break", with_stream("orders\r\nauthorization: x"), "`stream`"),
        ("stream in another script", with_stream("Aufträge"), "`stream`"),
    ];
    for (what, body, reason) in rows {
        let stack = Stack::new(Backend(takes));
        stack.retry.send_batch(&[body], Duration::ZERO);
        let report = stack.redrive().await;
        assert_eq!((report.ledger().accepted, report.ledger().dead_lettered), (0, 1), "{what}");
        assert!(stack.retry.is_empty(), "{what}");
        check_message_sizes(&stack);
        let [letter] = &stack.dead_letters()[..] else { panic!("{what}") };
        assert!(letter.reason.contains(reason), "{what}: {}", letter.reason);
    }
}
