//! Both forwarders must have sent the same spans, or their figures say nothing.

use crate::drivers::Bodies;
use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use wire::{Limits, Request, SignalKind, Traces};

/// Fails unless both hold these many spans, with the same resources and scopes.
pub(crate) fn same_spans(spans: u64, ours: &Bodies, peer: &Bodies) -> anyhow::Result<()> {
    let (ours, peer) = (decode(ours)?, decode(peer)?);
    let counts = [ours.len() as u64, peer.len() as u64];
    ensure!(counts == [spans; 2], "{counts:?} of {spans} spans in ours and the peer's");
    let different = ours.iter().zip(&peer).find(|(ours, peer)| ours != peer);
    ensure!(different.is_none(), "a span differs: {different:#?}");
    Ok(())
}

pub(crate) fn items(bodies: &Bodies) -> anyhow::Result<[usize; 3]> {
    let mut items = [0; 3];
    for (kind, items) in SignalKind::ALL.into_iter().zip(&mut items) {
        for (_, _, body) in bodies.iter().filter(|(signal, ..)| signal == kind.as_str()) {
            *items += Request::check(kind, body.clone(), &limits())?.items();
        }
    }
    Ok(items)
}

fn limits() -> Limits {
    Limits { items: usize::MAX, messages: usize::MAX, ..Limits::default() }
}

fn decode(bodies: &Bodies) -> anyhow::Result<Vec<(Resource, InstrumentationScope, Span)>> {
    let mut spans = Vec::new();
    for (_, _, body) in bodies.iter().filter(|(signal, ..)| signal == "traces") {
        let request = Request::check(SignalKind::Traces, body.clone(), &limits())?;
        let request = request.decode::<Traces>().context("no traces")??;
        for ResourceSpans { resource, scope_spans, .. } in request.resource_spans {
            let mut resource = resource.unwrap_or_default();
            resource.attributes.sort_by(|left, right| left.key.cmp(&right.key));
            for ScopeSpans { scope, spans: of_scope, .. } in scope_spans {
                let scope = scope.unwrap_or_default();
                let of_scope = of_scope.into_iter();
                spans.extend(of_scope.map(|span| (resource.clone(), scope.clone(), span)));
            }
        }
    }
    spans.sort_by(|left, right| left.2.span_id.cmp(&right.2.span_id));
    Ok(spans)
}
