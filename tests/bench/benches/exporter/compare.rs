//! Both exporters must have written the same telemetry, or their figures say nothing.

use crate::drivers::Workload;
use anyhow::{Context as _, bail};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use wire::{Limits, Traces};

/// Decoding all lines would take longer than writing them.
const COMPARED_LINES: usize = 5;

/// Fails unless there is a line an export, and the lines hold the same resources, scopes and spans.
pub(crate) fn same_spans(
    workload: &Workload,
    ours: &[String],
    peer: &[String],
) -> anyhow::Result<()> {
    if ours.len() as u64 != workload.exported || peer.len() as u64 != workload.exported {
        bail!("{} lines of ours, {} of the peer's", ours.len(), peer.len());
    }
    for (our_line, peer_line) in ours.iter().zip(peer).take(COMPARED_LINES) {
        let (our_spans, peer_spans) = (decode(our_line)?, decode(peer_line)?);
        let counts = [our_spans.len() as u64, peer_spans.len() as u64];
        if counts != [workload.spans; 2] {
            bail!("{counts:?} spans in a line of ours and of the peer's");
        }
        if let Some((ours, peer)) =
            our_spans.iter().zip(&peer_spans).find(|(ours, peer)| ours != peer)
        {
            bail!("a span differs, ours: {ours:#?}, the peer's: {peer:#?}");
        }
    }
    Ok(())
}

/// A span with its resource and scope; schema URLs belong to these.
type OwnedSpan = (Resource, String, InstrumentationScope, String, Span);

/// The spans of a line by their ids, each with its resource and scope.
fn decode(line: &str) -> anyhow::Result<Vec<OwnedSpan>> {
    let reading = wire::read_line(line, &Limits::default()).context("no OTLP line")?;
    let [decoded] = reading.decoded.as_slice() else {
        bail!("{} requests in a line", reading.decoded.len());
    };
    let request = decoded.decode::<Traces>().context("no traces")??;
    let mut spans = Vec::new();
    for ResourceSpans { resource, scope_spans, schema_url: of_resource } in request.resource_spans {
        let mut resource = resource.unwrap_or_default();
        // A set: the peer writes it in the order of a hash map.
        resource.attributes.sort_by(|left, right| left.key.cmp(&right.key));
        for ScopeSpans { scope, spans: of_scope, schema_url } in scope_spans {
            let scope = scope.unwrap_or_default();
            spans.extend(of_scope.into_iter().map(|span| {
                (resource.clone(), of_resource.clone(), scope.clone(), schema_url.clone(), span)
            }));
        }
    }
    spans.sort_by(|left, right| left.4.span_id.cmp(&right.4.span_id));
    Ok(spans)
}
