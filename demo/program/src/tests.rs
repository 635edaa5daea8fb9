//! Checks of one run of the demo. Without Python, the checks of "shop" are skipped.

use crate::Arguments;
use crate::accounting::{Accounts, ItemKind, compare};
use crate::functions::{CHECKOUT, PARCELS, STOCK};
use crate::run::Run;
use crate::stored::{Arrived, is_partial, number, service};
use console::waterfall::{PLATFORM_SCOPE, text};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use test_support::openobserve::{StoredLogRecord, StoredSpan, point_attributes};

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(crate::run::run(&Arguments::default())).unwrap()
});

/// The accounts after this change of the items in the backend, which must not balance.
#[track_caller]
fn accounts_after(change: impl FnOnce(&mut Arrived)) -> Accounts {
    let mut arrived = RUN.arrived.clone();
    change(&mut arrived);
    let accounts = compare(&RUN.ledger, &RUN.others, &arrived.items());
    assert!(!accounts.balance());
    accounts
}

fn functions() -> BTreeSet<&'static str> {
    RUN.invocations.iter().map(|invocation| invocation.function).collect()
}

#[test]
fn every_service_stores_its_items_exactly_once() {
    assert!(RUN.accounts().balance(), "{:?}", RUN.accounts());
    let services: BTreeSet<String> = RUN.arrived.spans.iter().map(service).collect();
    assert_eq!(services, functions().into_iter().map(str::to_owned).collect());
}

#[test]
fn an_uninstrumented_functions_calls_are_in_its_trace() {
    let own = |kind: SpanKind| {
        let spans = RUN.arrived.spans.iter().filter(move |span| span.item.kind == kind as i32);
        spans.filter(|span| service(span) == STOCK)
    };
    let children = |parent: &StoredSpan, kind: SpanKind| -> Vec<&StoredSpan> {
        let is_child = |span: &&StoredSpan| {
            span.item.parent_span_id == parent.item.span_id
                && span.item.trace_id == parent.item.trace_id
        };
        own(kind).filter(is_child).collect()
    };
    let invocations = if functions().contains(STOCK) { 4 } else { 0 };
    assert_eq!(own(SpanKind::Server).count(), invocations);
    for server in own(SpanKind::Server) {
        assert_eq!(children(server, SpanKind::Client).len(), 1, "{server:?}");
        // Powertools' subsegment is below the extension's span.
        let [of_extension] = children(server, SpanKind::Internal)[..] else { panic!("{server:?}") };
        assert_eq!(of_extension.scope.name, PLATFORM_SCOPE);
        let subsegments = children(of_extension, SpanKind::Internal).len();
        assert_eq!(subsegments, usize::from(!is_partial(server)), "{server:?}");
    }
}

#[test]
fn parcels_batches_link_to_the_sending_spans_of_checkout() {
    let of = |function: &str, kind: SpanKind| -> Vec<&StoredSpan> {
        let own = RUN.arrived.spans.iter().filter(|span| service(span) == function);
        let own = own.filter(|span| span.scope.name != PLATFORM_SCOPE);
        own.filter(|span| span.item.kind == kind as i32).collect()
    };
    let checkout = of(CHECKOUT, SpanKind::Server);
    assert_eq!(checkout.len(), 1);
    assert_eq!(checkout[0].item.name, "POST /checkouts/{id}", "axum's route, not the gateway's");
    let sent = of(CHECKOUT, SpanKind::Producer);
    assert!(sent.iter().all(|span| span.item.trace_id == checkout[0].item.trace_id));
    let batches = of(PARCELS, SpanKind::Consumer);
    let links = |span: &StoredSpan| -> BTreeSet<Vec<u8>> {
        span.item.links.iter().map(|link| link.span_id.clone()).collect()
    };
    let senders: BTreeSet<Vec<u8>> = sent.iter().map(|span| span.item.span_id.clone()).collect();
    assert_eq!((sent.len(), batches.len(), links(batches[0])), (3, 2, senders.clone()));
    let again = links(batches[1]);
    assert!(again.len() == 1 && again.is_subset(&senders), "the one that was dropped");
    let drawn: Vec<String> = crate::view::waterfalls(&RUN)
        .into_iter()
        .flat_map(|trace| trace.rows)
        .flat_map(|row| row.links)
        .collect();
    assert_eq!(drawn.len(), 4);
    assert!(
        drawn.iter().all(|link| link.starts_with("send parcel of checkout, trace ")),
        "{drawn:?}"
    );
}

#[test]
fn only_records_outside_an_invocation_have_no_trace_id() {
    let without: Vec<String> = RUN
        .arrived
        .log_records
        .iter()
        .filter(|record| record.item.trace_id.is_empty())
        .map(|record| record.item.body.as_ref().map(text).unwrap_or_default())
        .collect();
    let is_outside = |body: &String| body.starts_with("TELEMETRY") || body.starts_with("EXTENSION");
    assert!(!without.is_empty() && without.iter().all(is_outside), "{without:#?}");
}

#[test]
fn a_lost_item_is_reported_by_number() {
    let check = |what: ItemKind, number: Option<String>, accounts: &Accounts| {
        if let Some(number) = number {
            let [missing] = &accounts.by_kind[&what].missing[..] else { panic!("{accounts:?}") };
            assert_eq!(missing.split(' ').next(), Some(&*number), "{what:?}");
        }
    };
    for (at, lost) in RUN.arrived.spans.iter().enumerate() {
        let accounts = accounts_after(|arrived| drop(arrived.spans.remove(at)));
        let what = if is_partial(lost) { ItemKind::PartialSpan } else { ItemKind::Span };
        check(what, number(&lost.item.attributes), &accounts);
    }
    for (at, lost) in RUN.arrived.log_records.iter().enumerate() {
        let accounts = accounts_after(|arrived| drop(arrived.log_records.remove(at)));
        check(ItemKind::LogRecord, number(&lost.item.attributes), &accounts);
    }
    let at = RUN.arrived.spans.iter().position(|span| !span.item.links.is_empty()).unwrap();
    let accounts = accounts_after(|arrived| drop(arrived.spans[at].item.links.pop()));
    assert_eq!(accounts.by_kind[&ItemKind::Link].missing.len(), 1);
    let mut points = 0;
    for (at, metric) in RUN.arrived.metrics.iter().enumerate() {
        for point in 0..point_attributes(metric.item.data.as_ref()).len() {
            accounts_after(|arrived| remove_point(&mut arrived.metrics[at].item, point));
            points += 1;
        }
    }
    assert!(points > 40, "{points}");
}

#[test]
fn a_lost_attribute_or_log_body_is_detected() {
    let mut attributes = 0;
    for (at, span) in RUN.arrived.spans.iter().enumerate() {
        if number(&span.item.attributes).is_none() || is_partial(span) {
            continue;
        }
        for key in 0..span.item.attributes.len() {
            accounts_after(|arrived| drop(arrived.spans[at].item.attributes.remove(key)));
            attributes += 1;
        }
    }
    assert!(attributes > 100, "{attributes}");
    let numbered = |record: &StoredLogRecord| number(&record.item.attributes).is_some();
    let at = RUN.arrived.log_records.iter().position(numbered).unwrap();
    accounts_after(|arrived| drop(arrived.log_records[at].item.attributes.pop()));
    accounts_after(|arrived| arrived.log_records[at].item.body = None);
}

#[test]
fn a_duplicate_or_second_item_is_detected() {
    for span in &RUN.arrived.spans {
        accounts_after(|arrived| arrived.spans.push(span.clone()));
    }
    for record in &RUN.arrived.log_records {
        accounts_after(|arrived| arrived.log_records.push(record.clone()));
    }
    for metric in &RUN.arrived.metrics {
        accounts_after(|arrived| arrived.metrics.push(metric.clone()));
    }
    let is_platform = |span: &StoredSpan| span.scope.name == PLATFORM_SCOPE;
    let platform = RUN.arrived.spans.iter().position(is_platform).unwrap();
    accounts_after(|arrived| arrived.spans[platform].item.kind = SpanKind::Server as i32);
}

fn remove_point(metric: &mut Metric, at: usize) {
    match metric.data.as_mut().unwrap() {
        Data::Gauge(gauge) => drop(gauge.data_points.remove(at)),
        Data::Sum(sum) => drop(sum.data_points.remove(at)),
        Data::Histogram(histogram) => drop(histogram.data_points.remove(at)),
        other => panic!("nobody makes {other:?}"),
    }
}
