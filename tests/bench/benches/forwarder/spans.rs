//! Both sides must have written the same telemetry, or their figures say nothing.

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use wire::{Request, Traces};

/// Fails unless both have this number of spans, with the same resources and scopes.
pub(crate) fn are_equal(spans: u64, ours: &Request, peer: &Request) -> anyhow::Result<()> {
    let (ours, peer) = (decode(ours)?, decode(peer)?);
    let counts = [ours.len() as u64, peer.len() as u64];
    ensure!(counts == [spans; 2], "{counts:?} of {spans} spans in ours and the peer's");
    let different = ours.iter().zip(&peer).find(|(ours, peer)| ours != peer);
    ensure!(different.is_none(), "a span differs: {different:#?}");
    Ok(())
}

/// The spans by their ids, each with its resource and scope.
fn decode(request: &Request) -> anyhow::Result<Vec<(Resource, InstrumentationScope, Span)>> {
    let mut spans = Vec::new();
    let request = request.decode::<Traces>().context("no traces")??;
    for ResourceSpans { resource, scope_spans, .. } in request.resource_spans {
        let mut resource = resource.unwrap_or_default();
        // A set: the peer writes it in the order of a hash map.
        resource.attributes.sort_by(|left, right| left.key.cmp(&right.key));
        for ScopeSpans { scope, spans: of_scope, .. } in scope_spans {
            let scope = scope.unwrap_or_default();
            let of_scope = of_scope.into_iter();
            spans.extend(of_scope.map(|span| (resource.clone(), scope.clone(), span)));
        }
    }
    spans.sort_by(|left, right| left.2.span_id.cmp(&right.2.span_id));
    Ok(spans)
}
