//! Checks of one run of the demo. Without Python, the checks of "shop" are skipped.

use crate::Arguments;
use crate::accounting::{Accounts, ItemKind, compare};
use crate::functions::STOCK;
use crate::run::Run;
use crate::stored::{Arrived, is_partial, number, service};
use console::waterfall::{PLATFORM_SCOPE, value_text};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::collections::BTreeSet;
use std::sync::LazyLock;
use test_support::openobserve::{StoredSpan, point_attributes};

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
fn only_records_outside_an_invocation_have_no_trace_id() {
    let without: Vec<String> = RUN
        .arrived
        .log_records
        .iter()
        .filter(|record| record.item.trace_id.is_empty())
        .map(|record| record.item.body.as_ref().map(value_text).unwrap_or_default())
        .collect();
    let is_outside = |body: &String| body.starts_with("TELEMETRY") || body.starts_with("EXTENSION");
    assert!(!without.is_empty() && without.iter().all(is_outside), "{without:#?}");
}

#[test]
fn a_lost_changed_or_repeated_item_is_noticed() {
    for (at, span) in RUN.arrived.spans.iter().enumerate() {
        let accounts = accounts_after(|arrived| drop(arrived.spans.remove(at)));
        if let Some(number) = number(&span.item.attributes) {
            let what = if is_partial(span) { ItemKind::PartialSpan } else { ItemKind::Span };
            let [missing] = &accounts.by_kind[&what].missing[..] else { panic!("{accounts:?}") };
            assert_eq!(missing.split(' ').next(), Some(&*number), "{what:?}");
        }
        accounts_after(|arrived| arrived.spans.push(span.clone()));
        if number(&span.item.attributes).is_some() && !is_partial(span) {
            for key in 0..span.item.attributes.len() {
                accounts_after(|arrived| drop(arrived.spans[at].item.attributes.remove(key)));
            }
        }
    }
    for (at, record) in RUN.arrived.log_records.iter().enumerate() {
        accounts_after(|arrived| drop(arrived.log_records.remove(at)));
        accounts_after(|arrived| arrived.log_records.push(record.clone()));
    }
    let mut points = 0;
    for (at, metric) in RUN.arrived.metrics.iter().enumerate() {
        for point in 0..point_attributes(metric.item.data.as_ref()).len() {
            accounts_after(|arrived| remove_point(&mut arrived.metrics[at].item, point));
            points += 1;
        }
        accounts_after(|arrived| arrived.metrics.push(metric.clone()));
    }
    assert!(points > 40, "{points}");
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
